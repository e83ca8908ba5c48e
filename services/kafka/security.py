"""Kafka security: TLS and SASL, and their settings for librdkafka. Pure.

`services.operations.watch.faust_credentials` does the same for Faust. A broker's certificate and host name
are always verified: no setting turns that off.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal, get_args

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
PROTOCOLS: Final[tuple[Protocol, ...]] = get_args(Protocol)
MECHANISMS: Final[tuple[Mechanism, ...]] = get_args(Mechanism)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingNames:
    """The names of the settings, for errors: environment variables, or keys of an agent's file."""

    bootstrap_servers: str = "KAFKA_BOOTSTRAP_SERVERS"
    protocol: str = "KAFKA_SECURITY_PROTOCOL"
    ca_file: str = "KAFKA_SSL_CA_FILE"
    certificate_file: str = "KAFKA_SSL_CERTIFICATE_FILE"
    key_file: str = "KAFKA_SSL_KEY_FILE"
    mechanism: str = "KAFKA_SASL_MECHANISM"
    username: str = "KAFKA_SASL_USERNAME"
    password: str = "KAFKA_SASL_PASSWORD_FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """The protocol, certificates and credentials by which the brokers are reached."""

    protocol: Protocol = "PLAINTEXT"
    ca_file: Path | None = None
    """The CA certificates that sign the brokers' certificates; by default those of the machine."""
    certificate_file: Path | None = None
    """The client certificate with its chain, PEM."""
    key_file: Path | None = None
    """The private key of that certificate, PEM, not encrypted."""
    mechanism: Mechanism | None = None
    username: str = ""
    password: str = field(default="", repr=False)
    names: SettingNames = SettingNames()

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted by TLS."""
        return self.protocol in ("SSL", "SASL_SSL")

    @property
    def uses_sasl(self) -> bool:
        """Whether the client authenticates with a user name and a password."""
        return self.protocol in ("SASL_PLAINTEXT", "SASL_SSL")

    @property
    def principal(self) -> str:
        """Describe the identity that the brokers see."""
        if self.uses_sasl:
            return f"user {self.username!r} ({self.mechanism})"
        return "the client certificate" if self.certificate_file else "an anonymous client"


PLAINTEXT: Final = Security()


def validate(security: Security) -> Iterator[tuple[str, str]]:
    """Yield each field of `Security` that is missing or has no effect, and why; files are not read."""
    sasl = ("mechanism", "username", "password")
    for name in sasl:
        is_given = bool(getattr(security, name))
        if security.uses_sasl and not is_given:
            yield name, f"is not set, and {security.protocol} needs it"
        if is_given and not security.uses_sasl:
            yield (
                name,
                f"is set, but {security.protocol} does not use it; use SASL_SSL, or remove it",
            )
    for name in ("ca_file", "certificate_file", "key_file"):
        if getattr(security, name) is not None and not security.uses_tls:
            yield (
                name,
                f"is set, but {security.protocol} does not use it; use SSL or SASL_SSL, or remove it",
            )
    if security.certificate_file and not security.key_file:
        yield "key_file", "is not set, and the certificate needs its key"
    if security.key_file and not security.certificate_file:
        yield "certificate_file", "is not set, and the key needs its certificate"


def librdkafka_config(security: Security) -> dict[str, str | bool]:
    """Return librdkafka's settings; none for PLAINTEXT."""
    config: dict[str, str | bool] = {}
    if security.protocol != "PLAINTEXT":
        config["security.protocol"] = security.protocol
    if security.uses_tls:
        config["enable.ssl.certificate.verification"] = True
        config["ssl.endpoint.identification.algorithm"] = "https"
        files = (
            ("ssl.ca.location", security.ca_file),
            ("ssl.certificate.location", security.certificate_file),
            ("ssl.key.location", security.key_file),
        )
        config |= {name: str(file) for name, file in files if file is not None}
    if security.uses_sasl:
        config["sasl.mechanisms"] = str(security.mechanism)
        config["sasl.username"] = security.username
        config["sasl.password"] = security.password
    return config


def explain_error(security: Security, errors: Iterable[str]) -> tuple[str, str] | None:
    """Return why the brokers cannot be reached and which settings to check; None if the cause is unknown.

    `errors` is what librdkafka reported, newest last; no message contains a password.
    """
    names = security.names
    for text in reversed(list(errors)):
        if "nsupported SASL mechanism" in text:
            return f"the brokers do not offer {security.mechanism}", names.mechanism
        if "uthentication failed" in text:
            settings = f"{names.username} or {names.password}"
            return f"the brokers refuse {security.principal}", settings
        if "certificate verify failed" in text:
            return (
                "the brokers' certificate is not signed by a trusted CA, or is for another host name",
                f"{names.ca_file} or {names.bootstrap_servers}",
            )
        if "SSL alert number" in text:
            refusal = (
                "refuse the client certificate"
                if security.certificate_file
                else "require a client certificate"
            )
            return f"the brokers {refusal}", names.certificate_file
        if "SSL handshake failed" in text:
            settings = f"{names.protocol} or {names.certificate_file}"
            return "the TLS handshake with the brokers fails", settings
    return None


def remote_addresses(bootstrap_servers: str) -> list[str]:
    """Return the addresses on other machines: without TLS their traffic can be read on the network."""
    return [
        address for address in bootstrap_servers.split(",") if not _is_loopback(address.strip())
    ]


def _is_loopback(address: str) -> bool:
    host = address.rpartition("://")[2].rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def with_setting_names(
    security: Security, problems: Iterable[tuple[str, str]]
) -> Mapping[str, str]:
    """Return the problems by the name of their setting."""
    return {getattr(security.names, name): problem for name, problem in problems}
