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

from services.kafka.security import Security, unencrypted_hosts
from services.operations.doctor.findings import Finding, error, ok, warning
from services.operations.doctor.keys import EXPIRY_WARNING

_SPKI = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def check_security(security: Security, servers: str, now: datetime) -> Iterator[Finding]:
    """Check that the connection is encrypted and that certificates are valid; `now` is UTC."""
    names = security.names
    elsewhere = unencrypted_hosts(servers)
    if security.is_encrypted:
        yield ok("tls", f"brokers are reached by {security.protocol}")
    elif elsewhere:
        yield warning(
            "tls",
            f"brokers on other machines are reached by {security.protocol}: everything"
            f"{', and the password,' if security.is_named else ''} can be read and changed on the way",
            f"configure a TLS listener on the brokers, and set {names.protocol}=SASL_SSL",
            ",".join(elsewhere),
        )
    else:
        yield ok("tls", "brokers are on this machine and reached unencrypted")
    if security.ca_file:
        mend = f"get the new CA from the team that runs the brokers, and fix {names.ca_file}"
        yield _check_expiry(security.ca_file, now, mend)
    if security.certificate_file and security.key_file:
        mend = f"request a new certificate, and fix {names.certificate_file}"
        yield _check_expiry(security.certificate_file, now, mend)
        yield from _key_matches_certificate(
            security.certificate_file, security.key_file, names.key_file
        )


def _check_expiry(file: Path, now: datetime, mend: str) -> Finding:
    """Check a file's certificate: the first of a chain, or of several CAs the last to expire."""
    try:
        found = x509.load_pem_x509_certificates(file.read_bytes())
    except (ValueError, OSError):
        return error("certificates", "contains no readable certificate (PEM)", mend, str(file))
    authorities = all(one.issuer == one.subject for one in found)
    one = max(found, key=lambda one: one.not_valid_after_utc) if authorities else found[0]
    ends = f"{one.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    if one.not_valid_after_utc <= now:
        return error("certificates", f"expired at {ends}", mend, str(file))
    if one.not_valid_before_utc > now:
        begins = f"{one.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}"
        return error("certificates", f"is valid only from {begins}", mend, str(file))
    if one.not_valid_after_utc <= now + EXPIRY_WARNING:
        return warning("certificates", f"expires at {ends}", mend, str(file))
    return ok("certificates", f"is valid until {ends}", str(file))


def _key_matches_certificate(certificate: Path, key: Path, name: str) -> Iterator[Finding]:
    """Check that the key belongs to the certificate."""
    mend = f"fix {name}: it must be the certificate's private key, PEM, not encrypted"
    try:
        private = load_pem_private_key(key.read_bytes(), password=None)
        vouched = x509.load_pem_x509_certificates(certificate.read_bytes())[0].public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm, OSError):
        yield error("certificates", "contains no usable key", mend, str(key))
        return
    if private.public_key().public_bytes(*_SPKI) != vouched.public_bytes(*_SPKI):
        yield error("certificates", f"is not the key of {certificate}", mend, str(key))
