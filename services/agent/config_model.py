"""The shape of the agent's YAML file: its sections, their keys and defaults.

Secrets are not written in it: it names an environment variable or a file that holds each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from services.agent.adapters.sql.config import TableConfig
from services.kafka.security import Mechanism, Protocol, Security, SettingNames
from services.policy.strict_model import StrictModel

KAFKA_SETTING_NAMES = SettingNames(
    bootstrap_servers="bus.bootstrap_servers",
    protocol="bus.security_protocol",
    ca_file="bus.ca_file",
    certificate_file="bus.certificate_file",
    key_file="bus.key_file",
    mechanism="bus.sasl_mechanism",
    username="bus.sasl_username",
    password="bus.sasl_password",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRef(StrictModel):
    """Where a secret stands."""

    env: str | None = None
    """A variable of the environment."""
    file: str | None = None
    """A file that holds nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaConfig(StrictModel):
    """The bus."""

    bootstrap_servers: str
    security_protocol: Protocol = "PLAINTEXT"
    ca_file: str | None = None
    """Who may vouch for the brokers; the machine's own authorities unless given."""
    certificate_file: str | None = None
    key_file: str | None = None
    """The key of that certificate, not encrypted."""
    sasl_mechanism: Mechanism | None = None
    sasl_username: str = ""
    sasl_password: SecretRef | None = None
    schema_registry_url: str = ""
    schema_registry_login: SecretRef | None = None
    """The registry's `user:password`, where it asks for one."""
    schema_registry_ca: str | None = None
    """File of certificates to trust the registry by, instead of the usual ones."""
    cluster_id: str = ""
    """For brokers that tell none."""
    group: str = "termijn-agent"
    """The consumer group is this and the system's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxConfig(StrictModel):
    """Where the agent keeps what it was told: nobody else writes there."""

    url: str | SecretRef
    """SQLAlchemy URL, `sqlite:///…` or `postgresql+psycopg://…`."""
    key_file: str
    """The key that seals what lies there; it is made at first use."""
    keep_days: int = 30
    """How long an answered command is remembered after it has expired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsConfig(StrictModel):
    """How hard the system may be asked."""

    at_once: int = 4
    """Commands under way at once; those of one subject follow each other."""
    per_second: float = 50.0
    burst: int = 50
    tries: int = 5
    """Tries of one attempt before it is answered `failed`; the controller then repeats it."""
    retry_seconds: float = 1.0
    """Wait before the second try; it doubles."""
    retry_cap_seconds: float = 60.0
    answer_bytes: int = 900_000
    """Largest answer that the bus takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookConfig(StrictModel):
    """An executable of the team's own."""

    command: tuple[str, ...]
    """Program and arguments; relative paths are relative to this file."""
    timeout_seconds: float = 60.0
    environment: tuple[str, ...] = ()
    """Variables that the hook gets from the agent's environment, besides PATH, HOME and LANG."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback(StrictModel):
    """Where the service tells later what became of a command that it answered with 202."""

    host: str = "127.0.0.1"
    port: int
    url: str
    """How the service reaches it."""
    insecure: bool = False
    """Whether `url` may be http: the command's token then goes over the line in clear."""
    ask_again_hours: float = 24.0
    """After so much silence the command is posted once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook(StrictModel):
    """A service that is called."""

    url: str
    hmac: SecretRef | None = None
    """The secret that both know; without one the agent's own Ed25519 key signs."""
    insecure: bool = False
    """Whether `url` may be http: commands, and what is disclosed, then go over the line in clear."""
    timeout_seconds: float = 30.0
    """For the whole of a call."""
    ca_file: str | None = None
    """Certificates to trust, instead of the usual ones."""
    callback: Callback | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlConfig(StrictModel):
    """The system's own database."""

    url: str | SecretRef
    tables: Mapping[str, TableConfig]
    """In the order in which they are changed: what refers to others first."""
    without_rows: tuple[str, ...] = ()
    """Event types of which this database holds nothing."""
    pseudonym_key: SecretRef | None = None
    """The key of the hashes that stand for what was pseudonymised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultConfig(StrictModel):
    """The keys of encrypted fields: the system is the log itself."""

    url: str | SecretRef
    """The vault's database; no master key is needed to destroy what is in it."""
    encrypted_since: datetime | None = None
    """Events before it went onto the bus in clear, and are gone by the topics' retention."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterConfig(StrictModel):
    """One of the ways to the system."""

    hook: HookConfig | None = None
    webhook: Webhook | None = None
    sql: SqlConfig | None = None
    vault: VaultConfig | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig(StrictModel):
    """The agent of one system."""

    system: str
    bus: KafkaConfig
    keys: str
    """Directory with `<system>.private.jwks`, the system's own, and `deleter.jwks`, the controller's."""
    inbox: InboxConfig
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    adapter: AdapterConfig
    metrics_host: str = "127.0.0.1"
    """Address on which /metrics is served; in a container 0.0.0.0."""
    metrics_port: int = 0
    """Port of /metrics; 0 takes the agent's own."""
    tracing: str = ""
    """Where spans go, OTLP over HTTP; none: none are made."""


def kafka_security(bus: KafkaConfig, password: str, base: Path = Path()) -> Security:
    def path(written: str | None) -> Path | None:
        return None if written is None else base / written

    return Security(
        protocol=bus.security_protocol,
        ca_file=path(bus.ca_file),
        certificate_file=path(bus.certificate_file),
        key_file=path(bus.key_file),
        mechanism=bus.sasl_mechanism,
        username=bus.sasl_username,
        password=password,
        names=KAFKA_SETTING_NAMES,
    )
