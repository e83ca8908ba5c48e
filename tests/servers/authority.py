"""A certificate authority for tests, which signs certificates for servers on loopback and for clients."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_MINUTES = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedCertificate:
    """A certificate and its key, PEM."""

    certificate: str
    key: str

    def written(self, directory: Path, name: str) -> tuple[Path, Path]:
        """Write certificate and key to files and return their paths; only the owner may read the key."""
        certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
        certificate.write_text(self.certificate, "ascii")
        key.touch(mode=0o600)
        key.write_text(self.key, "ascii")
        return certificate, key


class Authority:
    """Signs the certificates that a test asks for, valid from five minutes before `now` (UTC)."""

    def __init__(self, now: datetime, lasts: timedelta = timedelta(days=365)) -> None:
        """Make the authority's own key and certificate."""
        self._now = now
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("the tests' authority")
        builder = self._builder(self._name, self._key, lasts).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.certificate = _pem(builder.sign(self._key, hashes.SHA256()))

    def issue(self, name: str, lasts: timedelta = timedelta(days=365)) -> IssuedCertificate:
        """Issue a certificate for this common name; a server's certificate is for 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        builder = self._builder(_name(name), key, lasts).add_extension(here, critical=False)
        written = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        signed = builder.sign(self._key, hashes.SHA256())
        return IssuedCertificate(certificate=_pem(signed), key=written.decode())

    def _builder(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, lasts: timedelta
    ) -> x509.CertificateBuilder:
        ends = self._now + lasts
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(self._now, ends) - _MINUTES)
            .not_valid_after(ends)
        )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
