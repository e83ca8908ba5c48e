"""The shape of the agent's YAML file: its sections, their keys and defaults.

Secrets are not in it: it names an environment variable or a file that holds each.
"""

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
    """A reference to a secret: exactly one of an environment variable and a file."""

    env: str | None = None
    """The name of an environment variable."""
    file: str | None = None
    """The path of a file that contains the secret only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaConfig(StrictModel):
    """How Kafka is reached."""

    bootstrap_servers: str
    security_protocol: Protocol = "PLAINTEXT"
    ca_file: str | None = None
    """The CA certificates that may sign the brokers' certificates; by default those of the machine."""
    certificate_file: str | None = None
    key_file: str | None = None
    """The key of that certificate, not encrypted."""
    sasl_mechanism: Mechanism | None = None
    sasl_username: str = ""
    sasl_password: SecretRef | None = None
    schema_registry_url: str = ""
    schema_registry_login: SecretRef | None = None
    """The registry's `user:password`, where it requires a login."""
    schema_registry_ca: str | None = None
    """The CA certificates to trust for the registry; by default those of the machine."""
    cluster_id: str = ""
    """The cluster's id, for brokers that do not report one."""
    group: str = "termijn-agent"
    """The consumer group is this, a hyphen, and the system's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxConfig(StrictModel):
    """The database of the agent's inbox, in which nothing else writes."""

    url: str | SecretRef
    """SQLAlchemy URL, `sqlite:///…` or `postgresql+psycopg://…`."""
    key_file: str
    """The file of the key that encrypts the inbox; it is created at the first start."""
    keep_days: int = 30
    """How many days a completed command is kept after it has expired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsConfig(StrictModel):
    """How much load the agent may put on the system."""

    at_once: int = 4
    """How many commands may run in parallel; those of one subject run one after the other."""
    batch: int = 200
    """How many commands are carried out at once: by `sql` on PostgreSQL, in one transaction, and by a hook
    or webhook with `batch: true`."""
    per_second: float = 50.0
    burst: int = 50
    tries: int = 5
    """Tries of one attempt before it is acknowledged as `failed`; the controller then repeats it."""
    retry_seconds: float = 1.0
    """The delay before the second try, in seconds; it doubles with each."""
    retry_cap_seconds: float = 60.0
    answer_bytes: int = 900_000
    """The largest acknowledgement that Kafka accepts, in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookConfig(StrictModel):
    """An executable of the team that carries out commands."""

    command: tuple[str, ...]
    """Program and arguments; relative paths are relative to this file."""
    timeout_seconds: float = 60.0
    environment: tuple[str, ...] = ()
    """Environment variables of the agent that the hook gets too, besides PATH, HOME and LANG."""
    batch: bool = False
    """Whether one run carries out many commands with one action."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback(StrictModel):
    """Where the service reports the result of a command later that it answered with HTTP 202."""

    host: str = "127.0.0.1"
    port: int
    url: str
    """The URL by which the service reaches it."""
    insecure: bool = False
    """Whether `url` may be http: the command's token is then sent in clear."""
    ask_again_hours: float = 24.0
    """After how many hours without a callback the command is posted again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook(StrictModel):
    """A service that is called over HTTP to carry out commands."""

    url: str
    hmac: SecretRef | None = None
    """The shared secret that signs requests; without one the agent's own Ed25519 key signs them."""
    insecure: bool = False
    """Whether `url` may be http: commands and disclosed data are then sent in clear."""
    timeout_seconds: float = 30.0
    """Seconds for the whole of a call."""
    ca_file: str | None = None
    """The CA certificates to trust; by default those of the machine."""
    callback: Callback | None = None
    batch: bool = False
    """Whether one call carries out many commands with one action."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlConfig(StrictModel):
    """The system's own database, in which the agent carries out commands itself."""

    url: str | SecretRef
    tables: Mapping[str, TableConfig]
    """By name, in the order in which they are changed: tables that refer to others first."""
    without_rows: tuple[str, ...] = ()
    """Types of events of which this database has no rows."""
    pseudonym_key: SecretRef | None = None
    """The key of the hashes that replace pseudonymised values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultConfig(StrictModel):
    """The vault, for erasing from Kafka itself, by destroying the keys of encrypted fields."""

    url: str | SecretRef
    """The vault's database; destroying keys needs no master key."""
    encrypted_since: datetime | None = None
    """Earlier events were published in clear, and are deleted by the topics' retention."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterConfig(StrictModel):
    """How commands reach the system: exactly one of these."""

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
    """The directory with `<system>.private.jwks` of the system and `deleter.jwks` of the controller."""
    inbox: InboxConfig
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    adapter: AdapterConfig
    metrics_host: str = "127.0.0.1"
    """The address on which /metrics is served; in a container 0.0.0.0."""
    metrics_port: int = 0
    """The port of /metrics; 0 is the agent's default."""
    tracing: str = ""
    """The OTLP/HTTP endpoint of spans; empty: no tracing."""


def kafka_security(bus: KafkaConfig, password: str, base: Path = Path()) -> Security:
    def path(setting: str | None) -> Path | None:
        return None if setting is None else base / setting

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
