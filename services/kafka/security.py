"""How the bus is reached: TLS, who we are there, and what that is called in librdkafka's settings. Pure.

`services.operations.watch.faust_credentials` says the same to Faust. A broker's certificate and name are
always verified: no setting turns that off.
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
    """What the operator calls each setting, for errors."""

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
    """How the brokers are reached, and as whom."""

    protocol: Protocol = "PLAINTEXT"
    ca_file: Path | None = None
    """Who may vouch for the brokers; the machine's own authorities unless given."""
    certificate_file: Path | None = None
    """Ours, with its chain, PEM."""
    key_file: Path | None = None
    """The key of that certificate, PEM, not encrypted."""
    mechanism: Mechanism | None = None
    username: str = ""
    password: str = field(default="", repr=False)
    names: SettingNames = SettingNames()

    @property
    def is_encrypted(self) -> bool:
        """Whether nobody on the way can read or change what is said."""
        return self.protocol in ("SSL", "SASL_SSL")

    @property
    def uses_sasl(self) -> bool:
        """Whether we say who we are by a user and a password."""
        return self.protocol in ("SASL_PLAINTEXT", "SASL_SSL")

    @property
    def principal(self) -> str:
        """As whom the brokers know us, in words."""
        if self.uses_sasl:
            return f"user {self.username!r} ({self.mechanism})"
        return "our certificate" if self.certificate_file else "nobody in particular"


PLAINTEXT: Final = Security()


def validate(security: Security) -> Iterator[tuple[str, str]]:
    """What is missing, or given in vain: the field of `Security`, and why. No file is looked at."""
    sasl = ("mechanism", "username", "password")
    for name in sasl:
        is_given = bool(getattr(security, name))
        if security.uses_sasl and not is_given:
            yield name, f"is missing: {security.protocol} needs it"
        if is_given and not security.uses_sasl:
            yield name, f"is given, and {security.protocol} uses none: SASL_SSL does"
    for name in ("ca_file", "certificate_file", "key_file"):
        if getattr(security, name) is not None and not security.is_encrypted:
            yield name, f"is given, and {security.protocol} uses none: SSL and SASL_SSL do"
    if security.certificate_file and not security.key_file:
        yield "key_file", "is missing: a certificate is of use with its key only"
    if security.key_file and not security.certificate_file:
        yield "certificate_file", "is missing: a key is of use with its certificate only"


def librdkafka_config(security: Security) -> dict[str, str | bool]:
    """librdkafka's settings; nothing for a bus that is reached in the clear."""
    config: dict[str, str | bool] = {}
    if security.protocol != "PLAINTEXT":
        config["security.protocol"] = security.protocol
    if security.is_encrypted:
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


def explain_error(security: Security, errors: Iterable[str]) -> str | None:
    """What is wrong with how we reach the brokers, with the setting to mend; None: nothing that we know.

    `said` is what librdkafka reported, newest last; none of it holds a password.
    """
    names = security.names
    for text in reversed(list(errors)):
        if "nsupported SASL mechanism" in text:
            return f"the brokers do not offer {security.mechanism}: mend {names.mechanism}"
        if "uthentication failed" in text:
            return f"the brokers refuse {security.principal}: mend {names.username} or {names.password}"
        if "certificate verify failed" in text:
            return (
                "the brokers' certificate is not vouched for, or is another's: mend"
                f" {names.ca_file} or {names.bootstrap_servers}"
            )
        if "SSL alert number" in text:
            refusal = (
                "refuse our certificate"
                if security.certificate_file
                else "want a certificate of ours"
            )
            return f"the brokers {refusal}: mend {names.certificate_file}"
        if "SSL handshake failed" in text:
            return f"TLS with the brokers fails: mend {names.protocol} or {names.certificate_file}"
    return None


def remote_addresses(bootstrap_servers: str) -> list[str]:
    """Those of the addresses that are not on this machine: without TLS others can read on the way."""
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
    """The problems by the operator's name of the setting."""
    return {getattr(security.names, name): problem for name, problem in problems}
