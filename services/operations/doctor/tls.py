"""Check how brokers are reached: encrypted or not, and until when certificates are valid."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from services.kafka.security import Security, remote_addresses
from services.operations.doctor.findings import Finding, error, ok, warning
from services.operations.doctor.keys import EXPIRY_WARNING

_SPKI = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def check_security(security: Security, servers: str, now: datetime) -> Iterator[Finding]:
    """Check that the connection is encrypted and that certificates are valid; `now` is UTC."""
    names = security.names
    remote_hosts = remote_addresses(servers)
    if security.uses_tls:
        yield ok("tls", f"brokers are reached by {security.protocol}")
    elif remote_hosts:
        yield warning(
            "tls",
            f"brokers on other machines are reached by {security.protocol}: everything"
            f"{', and the password,' if security.uses_sasl else ''} can be read and changed on the way",
            f"configure a TLS listener on the brokers, and set {names.protocol}=SASL_SSL",
            ",".join(remote_hosts),
        )
    else:
        yield ok("tls", "brokers are on this machine and reached unencrypted")
    if security.ca_file:
        fix = f"get the new CA from the team that runs the brokers, and fix {names.ca_file}"
        yield _check_expiry(security.ca_file, now, fix)
    if security.certificate_file and security.key_file:
        fix = f"request a new certificate, and fix {names.certificate_file}"
        yield _check_expiry(security.certificate_file, now, fix)
        yield from _check_key(security.certificate_file, security.key_file, names.key_file)


def _check_expiry(file: Path, now: datetime, fix: str) -> Finding:
    """Check a file's certificate: the first of a chain, or of several CAs the last to expire."""
    try:
        certificates = x509.load_pem_x509_certificates(file.read_bytes())
    except (ValueError, OSError):
        return error("certificates", "contains no readable certificate (PEM)", fix, str(file))
    authorities = all(certificate.issuer == certificate.subject for certificate in certificates)
    certificate = (
        max(certificates, key=lambda certificate: certificate.not_valid_after_utc)
        if authorities
        else certificates[0]
    )
    expires_at = f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    if certificate.not_valid_after_utc <= now:
        return error("certificates", f"expired at {expires_at}", fix, str(file))
    if certificate.not_valid_before_utc > now:
        valid_from = f"{certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}"
        return error("certificates", f"is valid only from {valid_from}", fix, str(file))
    if certificate.not_valid_after_utc <= now + EXPIRY_WARNING:
        return warning("certificates", f"expires at {expires_at}", fix, str(file))
    return ok("certificates", f"is valid until {expires_at}", str(file))


def _check_key(certificate: Path, key: Path, name: str) -> Iterator[Finding]:
    """Check that the key belongs to the certificate."""
    fix = f"fix {name}: it must be the certificate's private key, PEM, not encrypted"
    try:
        private = load_pem_private_key(key.read_bytes(), password=None)
        public = x509.load_pem_x509_certificates(certificate.read_bytes())[0].public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm, OSError):
        yield error("certificates", "contains no usable key", fix, str(key))
        return
    if private.public_key().public_bytes(*_SPKI) != public.public_bytes(*_SPKI):
        yield error("certificates", f"is not the key of {certificate}", fix, str(key))
