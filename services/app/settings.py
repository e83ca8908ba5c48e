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
    surge_factor,
)

_DATA = Path(".termijn")


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings:
    """Where state is stored."""

    data: Path = setting(
        "TERMIJN_DATA", _DATA, "The directory of embedded state: ledger, keys, logs.", Path
    )
    ledger_url: str = setting(
        "TERMIJN_LEDGER_URL",
        "",
        "SQLAlchemy URL of the ledger; by default SQLite in the data directory.",
        database_url,
        secret=True,
    )
    policy: Path | None = setting(
        "TERMIJN_POLICY", None, "The policy file; by default the one that ships with Termijn.", Path
    )
    schemas: tuple[Path, ...] = setting(
        "TERMIJN_SCHEMAS",
        (),
        "Directories with more .avsc files, separated by colons.",
        colon_separated_paths,
    )
    key_file: Path | None = setting(
        "TERMIJN_KEY_FILE",
        None,
        "The key that encrypts dead letters; by default created in the data directory.",
        Path,
    )
    request_key_file: Path | None = setting(
        "TERMIJN_REQUEST_KEY_FILE",
        None,
        "The key that encrypts the keys of requests; required if TERMIJN_KEY_FILE is set.",
        Path,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagging:
    """How old a live event may be."""

    history_seconds: float = setting(
        "TERMIJN_HISTORY_SECONDS",
        604_800.0,
        "Live events that are older than this when they arrive are held back until released, in seconds.",
        lifetime_seconds,
    )

    @property
    def bound(self) -> timedelta:
        """The maximum age as a `timedelta`."""
        return timedelta(seconds=self.history_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleterSettings:
    """Limits, waits and retries of the deleter."""

    claim_records: int = setting(
        "TERMIJN_CLAIM_RECORDS",
        5_000,
        "The maximum number of records that a claim reads.",
        positive_int,
    )
    dispatch_batch: int = setting(
        "TERMIJN_DISPATCH_BATCH",
        1_000,
        "The maximum number of commands that are sent at once.",
        positive_int,
    )
    idle_seconds: float = setting(
        "TERMIJN_IDLE_SECONDS",
        0.2,
        "The pause of the deleter when there is nothing to do, in seconds.",
        seconds,
    )
    commands_per_hour: int = setting(
        "TERMIJN_COMMANDS_PER_HOUR",
        100_000,
        "The maximum of first attempts an hour; the deleter pauses there until resumed. 0: no limit.",
        non_negative_int,
    )
    surge_factor: float = setting(
        "TERMIJN_SURGE_FACTOR",
        3.0,
        "How often as much as was forecast may be due of a rule in a system on a day; the deleter pauses"
        " there until resumed. 0: any amount.",
        surge_factor,
    )
    retry_seconds: float = setting(
        "TERMIJN_RETRY_SECONDS",
        60.0,
        "The wait before the second attempt, in seconds; it doubles with each attempt.",
        positive_seconds,
    )
    retry_cap_seconds: float = setting(
        "TERMIJN_RETRY_CAP_SECONDS",
        21_600.0,
        "The maximum wait between attempts, in seconds.",
        positive_seconds,
    )
    validity_seconds: float = setting(
        "TERMIJN_VALIDITY_SECONDS",
        604_800.0,
        "How long an agent may carry out an attempt after it was issued, in seconds.",
        positive_seconds,
    )
    clock_tolerance_seconds: float = setting(
        "TERMIJN_CLOCK_TOLERANCE_SECONDS",
        1.0,
        "The maximum difference from the database's clock, in seconds; beyond it no command is sent.",
        seconds,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSettings:
    """When requests of data subjects are answered."""

    interval_seconds: float = setting(
        "TERMIJN_REQUESTS_INTERVAL_SECONDS",
        5.0,
        "The time between two checks of the open requests, in seconds.",
        positive_seconds,
    )
    margin_seconds: float = setting(
        "TERMIJN_REQUESTS_MARGIN_SECONDS",
        259_200.0,
        "How long before its statutory limit a request is answered as it is, or refused, in seconds.",
        seconds,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningSettings:
    """Whose messages are trusted."""

    keys: Path | None = setting(
        "TERMIJN_KEYS",
        None,
        "The directory of the signing keys; by default created in the data directory.",
        Path,
    )
    mode: str = setting(
        "TERMIJN_SIGNING",
        "required",
        "`required`, or `off` for trying out: then anyone who can write to Kafka can command an erasure.",
        one_of("required", "off"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptionSettings:
    """Where the keys of encrypted fields are, for publishers and `termijn vault`."""

    vault_url: str = setting(
        "TERMIJN_VAULT_URL",
        "",
        "SQLAlchemy URL of the vault; by default SQLite in the data directory.",
        database_url,
        secret=True,
    )
    master_keys: Path | None = setting(
        "TERMIJN_MASTER_KEYS",
        None,
        "The directory of the master keys; for the embedded vault created in the data directory.",
        Path,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationsSettings:
    """Metrics, health, traces, logs and the operator's name."""

    metrics_host: str = setting(
        "TERMIJN_METRICS_HOST",
        "127.0.0.1",
        "The address of /metrics; in a container 0.0.0.0.",
    )
    metrics_port: int = setting(
        "TERMIJN_METRICS_PORT",
        0,
        "The port of /metrics; 0 is the role's default.",
        port_number,
    )
    metrics_interval_seconds: float = setting(
        "TERMIJN_METRICS_INTERVAL_SECONDS",
        5.0,
        "The time between two measurements of the ledger for metrics, in seconds.",
        positive_seconds,
    )
    liveness_timeout_seconds: float = setting(
        "TERMIJN_LIVENESS_TIMEOUT_SECONDS",
        120.0,
        "A loop without a heartbeat for longer is stalled, in seconds; /livez reports it.",
        positive_seconds,
    )
    tracing: str = setting(
        "TERMIJN_TRACING",
        "",
        "The URL for spans, OTLP over HTTP; without it traces are passed on, but no spans are created.",
        shown_url,
    )
    log_format: str = setting(
        "TERMIJN_LOG",
        "auto",
        "The log format: console or json; auto is console on a terminal, json elsewhere.",
        one_of("auto", "console", "json"),
    )
    operator: str = setting(
        "TERMIJN_OPERATOR",
        "",
        "The operator who is responsible for a command, unless --operator is given.",
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
        """The URL of the ledger."""
        return self.storage.ledger_url or f"sqlite:///{self.storage.data / 'ledger.sqlite'}"

    @property
    def key_file(self) -> Path:
        """The file of the key that encrypts dead letters."""
        return self.storage.key_file or self.storage.data / "dead-letters.key"

    @property
    def request_key_file(self) -> Path:
        """The file of the key that encrypts the keys of requests."""
        return self.storage.request_key_file or self.storage.data / "requests.key"

    @property
    def vault_url(self) -> str:
        """The URL of the vault, which has the keys of encrypted fields."""
        return self.encrypting.vault_url or f"sqlite:///{self.storage.data / 'vault.sqlite'}"

    @property
    def master_keys(self) -> Path:
        """The directory of the master keys, which wrap the keys of encrypted fields."""
        return self.encrypting.master_keys or self.storage.data / "master-keys"

    @property
    def keys(self) -> Path:
        """The directory of the keys that sign and verify messages."""
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
