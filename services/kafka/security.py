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
    def is_named(self) -> bool:
        """Whether we say who we are by a user and a password."""
        return self.protocol in ("SASL_PLAINTEXT", "SASL_SSL")

    @property
    def who(self) -> str:
        """As whom the brokers know us, in words."""
        if self.is_named:
            return f"user {self.username!r} ({self.mechanism})"
        return "our certificate" if self.certificate_file else "nobody in particular"


PLAINTEXT: Final = Security()


def validate(one: Security) -> Iterator[tuple[str, str]]:
    """What is missing, or given in vain: the field of `Security`, and why. No file is looked at."""
    sasl = ("mechanism", "username", "password")
    for name in sasl:
        given = bool(getattr(one, name))
        if one.is_named and not given:
            yield name, f"is missing: {one.protocol} needs it"
        if given and not one.is_named:
            yield name, f"is given, and {one.protocol} uses none: SASL_SSL does"
    for name in ("ca_file", "certificate_file", "key_file"):
        if getattr(one, name) is not None and not one.is_encrypted:
            yield name, f"is given, and {one.protocol} uses none: SSL and SASL_SSL do"
    if one.certificate_file and not one.key_file:
        yield "key_file", "is missing: a certificate is of use with its key only"
    if one.key_file and not one.certificate_file:
        yield "certificate_file", "is missing: a key is of use with its certificate only"


def librdkafka(one: Security) -> dict[str, str | bool]:
    """librdkafka's settings; nothing for a bus that is reached in the clear."""
    found: dict[str, str | bool] = {}
    if one.protocol != "PLAINTEXT":
        found["security.protocol"] = one.protocol
    if one.is_encrypted:
        found["enable.ssl.certificate.verification"] = True
        found["ssl.endpoint.identification.algorithm"] = "https"
        files = (
            ("ssl.ca.location", one.ca_file),
            ("ssl.certificate.location", one.certificate_file),
            ("ssl.key.location", one.key_file),
        )
        found |= {name: str(file) for name, file in files if file is not None}
    if one.is_named:
        found["sasl.mechanisms"] = str(one.mechanism)
        found["sasl.username"] = one.username
        found["sasl.password"] = one.password
    return found


def explain_error(one: Security, said: Iterable[str]) -> str | None:
    """What is wrong with how we reach the brokers, with the setting to mend; None: nothing that we know.

    `said` is what librdkafka reported, newest last; none of it holds a password.
    """
    names = one.names
    for text in reversed(list(said)):
        if "nsupported SASL mechanism" in text:
            return f"the brokers do not offer {one.mechanism}: mend {names.mechanism}"
        if "uthentication failed" in text:
            return f"the brokers refuse {one.who}: mend {names.username} or {names.password}"
        if "certificate verify failed" in text:
            return (
                "the brokers' certificate is not vouched for, or is another's: mend"
                f" {names.ca_file} or {names.bootstrap_servers}"
            )
        if "SSL alert number" in text:
            what = (
                "refuse our certificate" if one.certificate_file else "want a certificate of ours"
            )
            return f"the brokers {what}: mend {names.certificate_file}"
        if "SSL handshake failed" in text:
            return f"TLS with the brokers fails: mend {names.protocol} or {names.certificate_file}"
    return None


def unencrypted_hosts(bootstrap_servers: str) -> list[str]:
    """Those of the addresses that are not on this machine: without TLS others can read on the way."""
    return [one for one in bootstrap_servers.split(",") if not _is_loopback(one.strip())]


def _is_loopback(address: str) -> bool:
    host = address.rpartition("://")[2].rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def with_setting_names(one: Security, found: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """The problems by the operator's name of the setting."""
    return {getattr(one.names, name): why for name, why in found}
