"""Every setting, typed, from the environment and a TOML file. Nothing else reads the environment.

The environment wins over the file that `TERMIJN_SETTINGS` names; a section of the file is a group here.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

from schemas.errors import TermijnError
from services.kafka.addresses import why_no_database, why_not_shown
from services.kafka.security import MECHANISMS, PROTOCOLS, Security, validate, with_setting_names

FILE = "TERMIJN_SETTINGS"
SECURITY_FIELDS = (
    "KAFKA_SSL_CA_FILE",
    "KAFKA_SSL_CERTIFICATE_FILE",
    "KAFKA_SSL_KEY_FILE",
    "KAFKA_SASL_MECHANISM",
    "KAFKA_SASL_USERNAME",
    "KAFKA_SASL_PASSWORD_FILE",
    "KAFKA_SASL_PASSWORD",
)
"""What is given in vain to brokers that are reached in the clear."""
_DATA = Path(".termijn")
_LIFETIME = 100 * 365.25 * 86_400
"""Seconds in a hundred years."""
_SHOWN = 64  # characters of a value in an error
_MOST_AT_ONCE = 1_000_000  # messages that the Kafka client takes at once
_MOST_AN_HOUR = 1_000_000_000
_LONGEST_SECONDS = 315_576_000.0  # ten years; what waits for longer is a typing error
_LONGEST_WAIT = 3_600.0  # the Kafka client counts milliseconds in 32 bits
_CREDENTIALS = re.compile(r"//[^/\s]*@")


class InvalidSetting(TermijnError):
    """A setting cannot be used; nothing was started.

    The operator mends the variable, or the key of the file, that it names.
    """

    def __init__(self, where: str, key: str, why: str) -> None:
        super().__init__(f"{where}: {key}: {why}")
        self.where = where
        self.key = key


def _paths(text: str) -> tuple[Path, ...]:
    return tuple(Path(part) for part in text.split(":") if part)


def _whole(text: str, least: int, most: int) -> int:
    try:
        value = int(text)
    except ValueError as cause:
        raise ValueError("is no whole number") from cause
    if value < least:
        raise ValueError(f"is below {least}")
    if value > most:
        raise ValueError(f"is above {most:,}")
    return value


def _natural(text: str) -> int:
    return _whole(text, 0, _MOST_AN_HOUR)


def _positive(text: str) -> int:
    return _whole(text, 1, _MOST_AT_ONCE)


def _port(text: str) -> int:
    return _whole(text, 0, 2**16 - 1)


def _some_seconds(text: str) -> float:
    value = _seconds(text)
    if value == 0:
        raise ValueError("is no length of time")
    return value


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError as cause:
        raise ValueError("is no number of seconds") from cause
    if not 0 <= value < float("inf"):
        raise ValueError("is no length of time")
    if value > _LONGEST_SECONDS:
        raise ValueError("is longer than ten years")
    return value


def _wait(text: str) -> float:
    value = _seconds(text)
    if value > _LONGEST_WAIT:
        raise ValueError("is longer than an hour")
    return value


def _bound(text: str) -> float:
    value = _some_seconds(text)
    if value > _LIFETIME:
        raise ValueError("is more than a hundred years")
    return value


def _database(text: str) -> str:
    if why := why_no_database(text, secret=True):
        raise ValueError(why)
    return text


def _address(text: str) -> str:
    if why := why_not_shown(text):
        raise ValueError(f"{why}, and it is shown to everybody")
    return text


def _form(text: str) -> str:
    if text not in ("auto", "console", "json"):
        raise ValueError("is not one of auto, console and json")
    return text


def _signing(text: str) -> str:
    if text not in ("required", "off"):
        raise ValueError("is neither required nor off")
    return text


def _one_of(*known: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in known:
            raise ValueError(f"is not one of {', '.join(known)}")
        return text

    return parse


def _setting(  # returns a dataclass field, as `field` itself does
    variable: str,
    default: Any,
    meaning: str,
    parse: Callable[[str], Any] = str,
    *,
    secret: bool = False,
    in_file: bool = True,
) -> Any:
    metadata = {
        "variable": variable,
        "meaning": meaning,
        "parse": parse,
        "secret": secret,
        "in_file": in_file,
    }
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    """The bus."""

    bootstrap_servers: str = _setting(
        "KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092", "Brokers, host:port, comma-separated."
    )
    cluster_id: str = _setting(
        "TERMIJN_KAFKA_CLUSTER_ID",
        "",
        "The cluster's id, for brokers that tell none (the embedded one); else the broker's own.",
    )
    security_protocol: str = _setting(
        "KAFKA_SECURITY_PROTOCOL",
        "PLAINTEXT",
        "How brokers are reached: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.",
        _one_of(*PROTOCOLS),
    )
    ca_file: Path | None = _setting(
        "KAFKA_SSL_CA_FILE",
        None,
        "Who may vouch for the brokers, PEM; the machine's own authorities unless given.",
        Path,
    )
    certificate_file: Path | None = _setting(
        "KAFKA_SSL_CERTIFICATE_FILE", None, "Our certificate with its chain, PEM.", Path
    )
    key_file: Path | None = _setting(
        "KAFKA_SSL_KEY_FILE", None, "The key of our certificate, PEM, not encrypted.", Path
    )
    sasl_mechanism: str = _setting(
        "KAFKA_SASL_MECHANISM",
        "",
        "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.",
        _one_of(*MECHANISMS),
    )
    sasl_username: str = _setting("KAFKA_SASL_USERNAME", "", "As whom the brokers know us.")
    sasl_password_file: Path | None = _setting(
        "KAFKA_SASL_PASSWORD_FILE",
        None,
        "The file that holds the password, and nothing else.",
        Path,
    )
    sasl_password: str = _setting(
        "KAFKA_SASL_PASSWORD",
        "",
        "The password itself, where there can be no file; from the environment only.",
        secret=True,
        in_file=False,
    )
    group: str = _setting("TERMIJN_KAFKA_GROUP", "termijn", "Prefix of the consumer groups.")
    schema_registry_url: str = _setting(
        "SCHEMA_REGISTRY_URL",
        "",
        "Confluent-compatible registry; none: single-object encoding.",
        _address,
    )
    schema_registry_login: Path | None = _setting(
        "SCHEMA_REGISTRY_LOGIN",
        None,
        "File with the registry's `user:password`, where it asks for one (basic authentication).",
        Path,
    )
    schema_registry_ca: Path | None = _setting(
        "SCHEMA_REGISTRY_CA",
        None,
        "File with the certificates to trust the registry by; the usual ones unless given.",
        Path,
    )
    batch: int = _setting("TERMIJN_BATCH", 2_000, "Most messages a batch.", _positive)
    batch_seconds: float = _setting(
        "TERMIJN_BATCH_SECONDS", 0.2, "Longest wait for a batch, in seconds.", _wait
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings:
    """Where state is."""

    data: Path = _setting(
        "TERMIJN_DATA", _DATA, "Directory of embedded state: ledger, key, logs.", Path
    )
    ledger_url: str = _setting(
        "TERMIJN_LEDGER_URL",
        "",
        "SQLAlchemy URL of the ledger; SQLite in the data directory unless given.",
        _database,
        secret=True,
    )
    policy: Path | None = _setting(
        "TERMIJN_POLICY", None, "Policy file; the shipped one unless given.", Path
    )
    schemas: tuple[Path, ...] = _setting(
        "TERMIJN_SCHEMAS", (), "Directories with further .avsc files, colon-separated.", _paths
    )
    key_file: Path | None = _setting(
        "TERMIJN_KEY_FILE",
        None,
        "Key that seals dead letters; made in the data directory unless given.",
        Path,
    )
    request_key_file: Path | None = _setting(
        "TERMIJN_REQUEST_KEY_FILE",
        None,
        "Key that seals the keys of requests; made in the data directory if neither is given.",
        Path,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagging:
    """What is believed of an event."""

    history_seconds: float = _setting(
        "TERMIJN_HISTORY_SECONDS",
        604_800.0,
        "A live event that is older than its arrival by more is held back until it is released.",
        _bound,
    )

    @property
    def bound(self) -> timedelta:
        """The same as a length of time."""
        return timedelta(seconds=self.history_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleterSettings:
    """How the deleter works."""

    claim: int = _setting("TERMIJN_CLAIM", 5_000, "Most records a claim looks at.", _positive)
    relay: int = _setting("TERMIJN_RELAY", 1_000, "Most commands a relay sends at once.", _positive)
    rest_seconds: float = _setting(
        "TERMIJN_REST_SECONDS", 0.2, "Rest between rounds with nothing to do, in seconds.", _seconds
    )
    commands_per_hour: int = _setting(
        "TERMIJN_COMMANDS_PER_HOUR",
        100_000,
        "Cap on first sends an hour; at it the deleter stops until resumed. 0 is no cap.",
        _natural,
    )
    retry_seconds: float = _setting(
        "TERMIJN_RETRY_SECONDS", 60.0, "Wait before the second attempt; it doubles.", _some_seconds
    )
    retry_cap_seconds: float = _setting(
        "TERMIJN_RETRY_CAP_SECONDS", 21_600.0, "Longest wait between attempts.", _some_seconds
    )
    validity_seconds: float = _setting(
        "TERMIJN_VALIDITY_SECONDS", 604_800.0, "How long an attempt may be obeyed.", _some_seconds
    )
    clock_tolerance_seconds: float = _setting(
        "TERMIJN_CLOCK_TOLERANCE_SECONDS",
        1.0,
        "Largest difference from the database's clock at which anything is commanded.",
        _seconds,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSettings:
    """How requests are answered."""

    round_seconds: float = _setting(
        "TERMIJN_ANSWER_SECONDS",
        5.0,
        "Time between looks at the open requests, in seconds.",
        _some_seconds,
    )
    margin_seconds: float = _setting(
        "TERMIJN_ANSWER_MARGIN_SECONDS",
        259_200.0,
        "How long before the statutory limit a request is answered as it stands, or refused.",
        _seconds,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningSettings:
    """Who is believed on the bus."""

    keys: Path | None = _setting(
        "TERMIJN_KEYS",
        None,
        "Directory with the keys that sign and verify; made in the data directory unless given.",
        Path,
    )
    mode: str = _setting(
        "TERMIJN_SIGNING",
        "required",
        "`required`, or `off` for trying out: then whoever reaches the bus can command an erasure.",
        _signing,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptionSettings:
    """Where the keys of encrypted fields are, for publishers and `termijn vault`."""

    vault_url: str = _setting(
        "TERMIJN_VAULT_URL",
        "",
        "SQLAlchemy URL of the vault; SQLite in the data directory unless given.",
        _database,
        secret=True,
    )
    master_keys: Path | None = _setting(
        "TERMIJN_MASTER_KEYS",
        None,
        "Directory with the master keys; with the embedded vault made in the data directory.",
        Path,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationsSettings:
    """What ops sees."""

    metrics_host: str = _setting(
        "TERMIJN_METRICS_HOST",
        "127.0.0.1",
        "Address on which /metrics is served; in a container 0.0.0.0.",
    )
    metrics_port: int = _setting(
        "TERMIJN_METRICS_PORT",
        0,
        "Port of /metrics; 0 takes the role's own.",
        _port,
    )
    measure_seconds: float = _setting(
        "TERMIJN_MEASURE_SECONDS",
        5.0,
        "Time between looks at the ledger for the metrics, in seconds.",
        _some_seconds,
    )
    hang_seconds: float = _setting(
        "TERMIJN_HANG_SECONDS",
        120.0,
        "A loop that has not gone round for longer hangs: /livez says so.",
        _some_seconds,
    )
    tracing: str = _setting(
        "TERMIJN_TRACING",
        "",
        "Where spans go, OTLP over HTTP; none: traces are passed on, and no spans are made.",
        _address,
    )
    log_form: str = _setting(
        "TERMIJN_LOG",
        "auto",
        "Log form: console or json; auto is console on a terminal, json elsewhere.",
        _form,
    )
    operator: str = _setting(
        "TERMIJN_OPERATOR", "", "Who answers for an operator's command, unless --operator says."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings."""

    kafka: KafkaSettings
    storage: StorageSettings
    tagging: Tagging
    deleting: DeleterSettings
    answering: RequestSettings
    signing: SigningSettings
    encrypting: EncryptionSettings
    operating: OperationsSettings

    @property
    def ledger_url(self) -> str:
        """Where the ledger is."""
        return self.storage.ledger_url or f"sqlite:///{self.storage.data / 'ledger.sqlite'}"

    @property
    def key_file(self) -> Path:
        """Where the key that seals dead letters is."""
        return self.storage.key_file or self.storage.data / "dead-letters.key"

    @property
    def request_key_file(self) -> Path:
        """Where the key that seals the keys of requests is."""
        return self.storage.request_key_file or self.storage.data / "requests.key"

    @property
    def vault_url(self) -> str:
        """Where the keys of encrypted fields are."""
        return self.encrypting.vault_url or f"sqlite:///{self.storage.data / 'vault.sqlite'}"

    @property
    def master_keys(self) -> Path:
        """Where the keys are that wrap those."""
        return self.encrypting.master_keys or self.storage.data / "master-keys"

    @property
    def keys(self) -> Path:
        """Where the keys are that sign and verify."""
        return self.signing.keys or self.storage.data / "keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingView:
    """One setting as `termijn settings` lists it; a secret's value is not shown."""

    variable: str
    key: str
    value: str
    source: str
    meaning: str


GROUPS: Mapping[str, type[Any]] = {
    "kafka": KafkaSettings,
    "storage": StorageSettings,
    "tagging": Tagging,
    "deleting": DeleterSettings,
    "answering": RequestSettings,
    "signing": SigningSettings,
    "encrypting": EncryptionSettings,
    "operating": OperationsSettings,
}
"""The groups of settings, by the name of their section in the file."""


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process.

    Raises:
        InvalidSetting: a value is not of its kind, or the file has a key that is not known.
    """
    values, _ = _collect(os.environ if environment is None else environment)
    return Settings(**{name: group(**values[name]) for name, group in GROUPS.items()})


def list_settings(environment: Mapping[str, str] | None = None) -> Iterator[SettingView]:
    """Every setting with its value, where that came from, and what it means.

    Raises:
        InvalidSetting: as `load`.
    """
    values, sources = _collect(os.environ if environment is None else environment)
    for name, group in GROUPS.items():
        for one in fields(group):
            value = values[name].get(one.name, one.default)
            hidden = one.metadata["secret"] and value
            yield SettingView(
                variable=one.metadata["variable"],
                key=f"{name}.{one.name}",
                value="(set)" if hidden else _CREDENTIALS.sub("//(hidden)@", _display(value)),
                source=sources.get((name, one.name), "default"),
                meaning=one.metadata["meaning"],
            )


def security(kafka: KafkaSettings) -> Security:
    """How the bus is reached, with the password read from its file.

    Raises:
        InvalidSetting: naming what is missing, given in vain, or cannot be read.
    """
    if kafka.sasl_password and kafka.sasl_password_file:
        why = "is given, and KAFKA_SASL_PASSWORD too: which is it?"
        raise InvalidSetting("kafka", "KAFKA_SASL_PASSWORD_FILE", why)
    found = Security(
        protocol=kafka.security_protocol,  # type: ignore[arg-type]  # parsed to be one of them
        ca_file=kafka.ca_file,
        certificate_file=kafka.certificate_file,
        key_file=kafka.key_file,
        mechanism=kafka.sasl_mechanism or None,  # type: ignore[arg-type]  # likewise
        username=kafka.sasl_username,
        password=kafka.sasl_password or _read_secret_file(kafka.sasl_password_file),
    )
    for name, why in with_setting_names(found, validate(found)).items():
        raise InvalidSetting("kafka", name, why)
    for name, file in (
        (found.names.ca_file, found.ca_file),
        (found.names.certificate_file, found.certificate_file),
        (found.names.key_file, found.key_file),
    ):
        if file is not None:
            _read_value(file, name)
    return found


def _read_secret_file(file: Path | None) -> str:
    if file is None:
        return ""
    secret = _read_value(file, "KAFKA_SASL_PASSWORD_FILE").strip()
    if not secret:
        raise InvalidSetting("kafka", "KAFKA_SASL_PASSWORD_FILE", f"{file} is empty")
    return secret


def _read_value(file: Path, name: str) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        why = f"{file} cannot be read: {type(cause).__name__}"
        raise InvalidSetting("kafka", name, why) from cause


def environment() -> dict[str, str]:
    """The environment of this process, for child processes that get more of it."""
    return dict(os.environ)


def _collect(
    environment: Mapping[str, str],
) -> tuple[dict[str, dict[str, Any]], dict[tuple[str, str], str]]:
    file = environment.get(FILE)
    document = _load_toml(Path(file)) if file else {}
    values: dict[str, dict[str, Any]] = {name: {} for name in GROUPS}
    sources: dict[tuple[str, str], str] = {}
    for name, group in GROUPS.items():
        section = document.pop(name, {})
        if not isinstance(section, dict):
            raise InvalidSetting(str(file), name, "is not a section")
        for one in fields(group):
            variable = one.metadata["variable"]
            if one.name in section and not one.metadata["in_file"]:
                why = f"is no setting of a file: name another one, or set {variable}"
                raise InvalidSetting(str(file), f"{name}.{one.name}", why)
            if one.name in section:
                raw = section.pop(one.name)
                values[name][one.name] = _parse_value(one, raw, str(file), f"{name}.{one.name}")
                sources[name, one.name] = str(file)
            if environment.get(variable):
                raw = environment[variable]
                values[name][one.name] = _parse_value(one, raw, "environment", variable)
                sources[name, one.name] = variable
        for key in section:
            raise InvalidSetting(str(file), f"{name}.{key}", "is no setting")
    for key in document:
        raise InvalidSetting(str(file), key, "is no group of settings")
    return values, sources


def _load_toml(path: Path) -> dict[str, Any]:
    try:
        raw = path.read_bytes()
        return tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as cause:
        line = raw.count(b"\n", 0, cause.start) + 1
        why = f"line {line} is not UTF-8; write the file in UTF-8"
        raise InvalidSetting(str(path), "file", why) from cause
    except RecursionError as cause:
        raise InvalidSetting(str(path), "file", "is nested too deeply") from cause
    except (OSError, ValueError) as cause:  # ValueError: not TOML, or a name with a NUL
        why = getattr(cause, "strerror", None) or str(cause)
        raise InvalidSetting(str(path), "file", f"cannot be read: {why}") from cause


def _parse_value(one: Field[Any], raw: Any, where: str, key: str) -> Any:
    text = ":".join(map(str, raw)) if isinstance(raw, list) else str(raw)
    try:
        return one.metadata["parse"](text)
    except ValueError as cause:
        hidden = one.metadata["secret"] or one.metadata["parse"] is _address
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        what = "what is set" if hidden else repr(shown)
        raise InvalidSetting(where, key, f"{what} cannot be used: {cause}") from cause


def _display(value: Any) -> str:
    if isinstance(value, tuple):
        return ":".join(map(str, value))
    return "" if value is None else str(value)
