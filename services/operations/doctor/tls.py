"""The doctor at how the bus is reached: in the clear or not, and how long certificates last."""

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
    """Whether others can read on the way, and whether each certificate holds; `now` is UTC."""
    names = security.names
    elsewhere = unencrypted_hosts(servers)
    if security.is_encrypted:
        yield ok("tls", f"brokers are reached by {security.protocol}")
    elif elsewhere:
        yield warning(
            "tls",
            f"brokers on other machines are reached by {security.protocol}: who is on the way can"
            " read and change everything" + (", and the password" if security.is_named else ""),
            f"give the brokers a listener with TLS, and set {names.protocol}=SASL_SSL",
            ",".join(elsewhere),
        )
    else:
        yield ok("tls", "brokers are on this machine, and reached in the clear")
    if security.ca_file:
        mend = f"get the new authority from whoever runs the brokers, and mend {names.ca_file}"
        yield _check_expiry(security.ca_file, now, mend)
    if security.certificate_file and security.key_file:
        mend = f"have a new certificate made, and mend {names.certificate_file}"
        yield _check_expiry(security.certificate_file, now, mend)
        yield from _key_matches_certificate(
            security.certificate_file, security.key_file, names.key_file
        )


def _check_expiry(file: Path, now: datetime, mend: str) -> Finding:
    """Whether what a file holds is valid: of a chain its first, of several authorities the last to end."""
    try:
        found = x509.load_pem_x509_certificates(file.read_bytes())
    except (ValueError, OSError):
        return error("certificates", "holds no certificate that can be read (PEM)", mend, str(file))
    authorities = all(one.issuer == one.subject for one in found)
    one = max(found, key=lambda one: one.not_valid_after_utc) if authorities else found[0]
    ends = f"{one.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    if one.not_valid_after_utc <= now:
        return error("certificates", f"ended at {ends}", mend, str(file))
    if one.not_valid_before_utc > now:
        begins = f"{one.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}"
        return error("certificates", f"begins at {begins} only", mend, str(file))
    if one.not_valid_after_utc <= now + EXPIRY_WARNING:
        return warning("certificates", f"ends at {ends}", mend, str(file))
    return ok("certificates", f"holds until {ends}", str(file))


def _key_matches_certificate(certificate: Path, key: Path, name: str) -> Iterator[Finding]:
    """Whether the key is the certificate's own."""
    mend = f"mend {name}: the key that the certificate was asked for with, PEM, not encrypted"
    try:
        private = load_pem_private_key(key.read_bytes(), password=None)
        vouched = x509.load_pem_x509_certificates(certificate.read_bytes())[0].public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm, OSError):
        yield error("certificates", "holds no key that can be used", mend, str(key))
        return
    if private.public_key().public_bytes(*_SPKI) != vouched.public_bytes(*_SPKI):
        yield error("certificates", f"is not the key of {certificate}", mend, str(key))
