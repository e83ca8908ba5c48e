"""Every setting, typed, by its group; a group is a section of the TOML file.

A setting is one field, here or in `kafka_settings.py`. `termijn deploy write` writes its row on the page
and its entry in the JSON Schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from services.app.kafka_settings import KafkaSettings
from services.app.setting_field import (
    colon_separated_paths,
    database_url,
    lifetime_seconds,
    non_negative_int,
    one_of,
    port_number,
    positive_int,
    positive_seconds,
    seconds,
    setting,
    shown_url,
)

_DATA = Path(".termijn")


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings:
    """Where state is."""

    data: Path = setting(
        "TERMIJN_DATA", _DATA, "Directory of embedded state: ledger, key, logs.", Path
    )
    ledger_url: str = setting(
        "TERMIJN_LEDGER_URL",
        "",
        "SQLAlchemy URL of the ledger; SQLite in the data directory unless given.",
        database_url,
        secret=True,
    )
    policy: Path | None = setting(
        "TERMIJN_POLICY", None, "Policy file; the shipped one unless given.", Path
    )
    schemas: tuple[Path, ...] = setting(
        "TERMIJN_SCHEMAS",
        (),
        "Directories with further .avsc files, colon-separated.",
        colon_separated_paths,
    )
    key_file: Path | None = setting(
        "TERMIJN_KEY_FILE",
        None,
        "Key that seals dead letters; made in the data directory unless given.",
        Path,
    )
    request_key_file: Path | None = setting(
        "TERMIJN_REQUEST_KEY_FILE",
        None,
        "Key that seals the keys of requests; made in the data directory if neither is given.",
        Path,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagging:
    """What is believed of an event."""

    history_seconds: float = setting(
        "TERMIJN_HISTORY_SECONDS",
        604_800.0,
        "A live event that is older than its arrival by more is held back until it is released.",
        lifetime_seconds,
    )

    @property
    def bound(self) -> timedelta:
        """The same as a length of time."""
        return timedelta(seconds=self.history_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleterSettings:
    """How the deleter works."""

    claim_records: int = setting(
        "TERMIJN_CLAIM_RECORDS", 5_000, "Most records a claim looks at.", positive_int
    )
    dispatch_batch: int = setting(
        "TERMIJN_DISPATCH_BATCH", 1_000, "Most commands a relay sends at once.", positive_int
    )
    idle_seconds: float = setting(
        "TERMIJN_IDLE_SECONDS", 0.2, "Rest between rounds with nothing to do, in seconds.", seconds
    )
    commands_per_hour: int = setting(
        "TERMIJN_COMMANDS_PER_HOUR",
        100_000,
        "Cap on first sends an hour; at it the deleter stops until resumed. 0 is no cap.",
        non_negative_int,
    )
    retry_seconds: float = setting(
        "TERMIJN_RETRY_SECONDS",
        60.0,
        "Wait before the second attempt; it doubles.",
        positive_seconds,
    )
    retry_cap_seconds: float = setting(
        "TERMIJN_RETRY_CAP_SECONDS", 21_600.0, "Longest wait between attempts.", positive_seconds
    )
    validity_seconds: float = setting(
        "TERMIJN_VALIDITY_SECONDS",
        604_800.0,
        "How long an attempt may be obeyed.",
        positive_seconds,
    )
    clock_tolerance_seconds: float = setting(
        "TERMIJN_CLOCK_TOLERANCE_SECONDS",
        1.0,
        "Largest difference from the database's clock at which anything is commanded.",
        seconds,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSettings:
    """How requests are answered."""

    interval_seconds: float = setting(
        "TERMIJN_REQUESTS_INTERVAL_SECONDS",
        5.0,
        "Time between looks at the open requests, in seconds.",
        positive_seconds,
    )
    margin_seconds: float = setting(
        "TERMIJN_REQUESTS_MARGIN_SECONDS",
        259_200.0,
        "How long before the statutory limit a request is answered as it stands, or refused.",
        seconds,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningSettings:
    """Who is believed on the bus."""

    keys: Path | None = setting(
        "TERMIJN_KEYS",
        None,
        "Directory with the keys that sign and verify; made in the data directory unless given.",
        Path,
    )
    mode: str = setting(
        "TERMIJN_SIGNING",
        "required",
        "`required`, or `off` for trying out: then whoever reaches the bus can command an erasure.",
        one_of("required", "off"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptionSettings:
    """Where the keys of encrypted fields are, for publishers and `termijn vault`."""

    vault_url: str = setting(
        "TERMIJN_VAULT_URL",
        "",
        "SQLAlchemy URL of the vault; SQLite in the data directory unless given.",
        database_url,
        secret=True,
    )
    master_keys: Path | None = setting(
        "TERMIJN_MASTER_KEYS",
        None,
        "Directory with the master keys; with the embedded vault made in the data directory.",
        Path,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationsSettings:
    """What ops sees."""

    metrics_host: str = setting(
        "TERMIJN_METRICS_HOST",
        "127.0.0.1",
        "Address on which /metrics is served; in a container 0.0.0.0.",
    )
    metrics_port: int = setting(
        "TERMIJN_METRICS_PORT",
        0,
        "Port of /metrics; 0 takes the role's own.",
        port_number,
    )
    metrics_interval_seconds: float = setting(
        "TERMIJN_METRICS_INTERVAL_SECONDS",
        5.0,
        "Time between looks at the ledger for the metrics, in seconds.",
        positive_seconds,
    )
    liveness_timeout_seconds: float = setting(
        "TERMIJN_LIVENESS_TIMEOUT_SECONDS",
        120.0,
        "A loop that has not gone round for longer hangs: /livez says so.",
        positive_seconds,
    )
    tracing: str = setting(
        "TERMIJN_TRACING",
        "",
        "Where spans go, OTLP over HTTP; none: traces are passed on, and no spans are made.",
        shown_url,
    )
    log_format: str = setting(
        "TERMIJN_LOG",
        "auto",
        "Log form: console or json; auto is console on a terminal, json elsewhere.",
        one_of("auto", "console", "json"),
    )
    operator: str = setting(
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
