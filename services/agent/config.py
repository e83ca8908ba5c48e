"""The agent's file: read and checked as a whole; every problem is one line with file, line and key.

Secrets stand elsewhere: in a variable of the environment, or in a file of their own, which it names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import URL, make_url

from schemas.errors import TermijnError
from services.agent.adapters.sql.config import ColumnChange, Strict, TableConfig, validate_table
from services.kafka.addresses import HIDDEN, why_no_database, why_no_web_address, why_not_shown
from services.kafka.security import Mechanism, Protocol, Security, SettingNames
from services.kafka.security import validate as problems_of_reaching
from services.policy.pydantic_errors import translate_errors
from services.policy.yaml_source import (
    DocumentPath,
    InvalidYaml,
    PolicyProblem,
    SourceLines,
    decode_utf8,
    parse_yaml,
    validation_path,
)

_BUS_NAMES = SettingNames(
    bootstrap_servers="bus.bootstrap_servers",
    protocol="bus.security_protocol",
    ca_file="bus.ca_file",
    certificate_file="bus.certificate_file",
    key_file="bus.key_file",
    mechanism="bus.sasl_mechanism",
    username="bus.sasl_username",
    password="bus.sasl_password",
)
_BY_REFERENCE = "name it by `env` or `file` instead"
_SYSTEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""It is part of topics and of file names."""
_DAY = 86_400.0
_PORTS = range(1, 2**16)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRef(Strict):
    """Where a secret stands."""

    env: str | None = None
    """A variable of the environment."""
    file: str | None = None
    """A file that holds nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaConfig(Strict):
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
class InboxConfig(Strict):
    """Where the agent keeps what it was told: nobody else writes there."""

    url: str | SecretRef
    """SQLAlchemy URL, `sqlite:///…` or `postgresql+psycopg://…`."""
    key_file: str
    """The key that seals what lies there; it is made at first use."""
    keep_days: int = 30
    """How long an answered command is remembered after it has expired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsConfig(Strict):
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
class HookConfig(Strict):
    """An executable of the team's own."""

    command: tuple[str, ...]
    """Program and arguments; relative paths are relative to this file."""
    timeout_seconds: float = 60.0
    environment: tuple[str, ...] = ()
    """Variables that the hook gets from the agent's environment, besides PATH, HOME and LANG."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback(Strict):
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
class Webhook(Strict):
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
class SqlConfig(Strict):
    """The system's own database."""

    url: str | SecretRef
    tables: Mapping[str, TableConfig]
    """In the order in which they are changed: what refers to others first."""
    without_rows: tuple[str, ...] = ()
    """Event types of which this database holds nothing."""
    pseudonym_key: SecretRef | None = None
    """The key of the hashes that stand for what was pseudonymised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultConfig(Strict):
    """The keys of encrypted fields: the system is the log itself."""

    url: str | SecretRef
    """The vault's database; no master key is needed to destroy what is in it."""
    encrypted_since: datetime | None = None
    """Events before it went onto the bus in clear, and are gone by the topics' retention."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterConfig(Strict):
    """One of the ways to the system."""

    hook: HookConfig | None = None
    webhook: Webhook | None = None
    sql: SqlConfig | None = None
    vault: VaultConfig | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig(Strict):
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


class InvalidConfiguration(TermijnError):
    """The agent's file cannot be used; nothing was started.

    The team mends the lines that it names.
    """

    def __init__(self, problems: tuple[PolicyProblem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedConfig:
    """A checked file, with what is needed to follow its references."""

    configuration: AgentConfig
    base: Path
    """The file's directory, to which paths in it are relative."""
    environment: Mapping[str, str] = field(repr=False)
    lines: SourceLines = field(repr=False)

    def path(self, written: str) -> Path:
        """A path in the file."""
        return self.base / written

    def database_url(self, written: str | SecretRef, *where: str | int) -> URL:
        """The URL of a database; SQLite's file is relative to this one, as other paths are.

        Raises:
            InvalidConfiguration: as `text`, or it is no URL that can be used.
        """
        text = self.text(written, *where)
        if problems := list(_check_url(where, text, secret=isinstance(written, SecretRef))):
            raise self.invalid(problems)
        url = make_url(text)
        if url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:"):
            return url.set(database=str(self.base / str(url.database)))
        return url

    def text(self, written: str | SecretRef, *where: str | int) -> str:
        """A setting, or the secret that it refers to.

        Raises:
            InvalidConfiguration: there is no such variable or file, or nothing in it.
        """
        if isinstance(written, str):
            return written
        if written.env is not None:
            secret = self.environment.get(written.env)
            if not secret or not secret.strip():
                raise self.invalid([((*where, "env"), f"{written.env} is not set")])
            return secret
        try:
            text = self.path(written.file or "").read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as cause:
            why = f"cannot be read: {type(cause).__name__}"
            raise self.invalid([((*where, "file"), why)]) from cause
        if not text:
            raise self.invalid([((*where, "file"), "holds nothing but blanks")])
        return text

    def security(self) -> Security:
        """How the bus is reached, with the password that the file refers to.

        Raises:
            InvalidConfiguration: as `text`, or a file that it names cannot be read.
        """
        bus = self.configuration.bus
        password = self.text(bus.sasl_password, "bus", "sasl_password") if bus.sasl_password else ""
        security = _security(bus, password, self.base)
        files = {
            name: getattr(security, name) for name in ("ca_file", "certificate_file", "key_file")
        }
        for name, file in files.items():
            try:
                _ = file and file.read_bytes()
            except OSError as cause:
                why = f"cannot be read: {type(cause).__name__}"
                raise self.invalid([(("bus", name), why)]) from cause
        return security

    def invalid(self, problems: Iterable[tuple[DocumentPath, str]]) -> InvalidConfiguration:
        """The error that names these problems, in place."""
        return InvalidConfiguration(
            tuple(self.lines.problem_at(path, why) for path, why in problems)
        )


_ADAPTER = TypeAdapter(AgentConfig)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of an agent's file."""
    schema = _ADAPTER.json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def load(path: Path, environment: Mapping[str, str]) -> LoadedConfig:
    """The agent's file.

    Raises:
        InvalidConfiguration: naming every problem that was found.
    """
    try:
        document, lines = parse_yaml(decode_utf8(path.read_bytes(), str(path)), str(path))
    except InvalidYaml as cause:
        raise InvalidConfiguration((cause.problem,)) from cause
    except (OSError, ValueError) as cause:  # a name with a NUL is a ValueError
        why = f"cannot be read: {getattr(cause, 'strerror', None) or cause}"
        raise InvalidConfiguration(
            (PolicyProblem(file=str(path), line=0, key="", why=why),)
        ) from cause
    try:
        configuration = _ADAPTER.validate_python(document)
    except ValidationError as cause:
        raise InvalidConfiguration(tuple(translate_errors(cause, lines, _place))) from cause
    loaded = LoadedConfig(
        configuration=configuration,
        base=path.resolve().parent,
        environment=environment,
        lines=lines,
    )
    if problems := list(_check(configuration)):
        raise loaded.invalid(problems)
    return loaded


def _check(config: AgentConfig) -> Iterator[tuple[DocumentPath, str]]:
    """What a schema cannot say."""
    adapter = config.adapter
    kinds = ("hook", "webhook", "sql", "vault")
    chosen = [name for name in kinds if getattr(adapter, name) is not None]
    if len(chosen) != 1:
        yield ("adapter",), "names not exactly one of hook, webhook, sql and vault"
    yield from _check_bus(config.bus)
    yield from _check_url(("inbox", "url"), config.inbox.url)
    for path, value, maximum in _bounded(config):
        if not 0 < value <= maximum:  # which NaN is not either
            yield path, f"is not above 0, and at most {maximum:g}"
    if not _SYSTEM.fullmatch(config.system):
        yield (
            ("system",),
            "is no name of letters, digits, ., - and _: topics and files are called after it",
        )
    if not 0 <= config.metrics_port < _PORTS.stop:
        yield ("metrics_port",), "is no port"
    for name, address in (
        (("bus", "schema_registry_url"), config.bus.schema_registry_url),
        (("tracing",), config.tracing),
    ):
        if why := why_not_shown(address):
            yield name, f"{why}: it has no place there"
    where = ("bus", "schema_registry_login")
    yield from _check_reference(where, config.bus.schema_registry_login)
    if adapter.webhook:
        yield from _check_webhook(adapter.webhook)
    if adapter.hook and not adapter.hook.command:
        yield ("adapter", "hook", "command"), "names no program"
    if adapter.sql:
        yield from _check_sql(adapter.sql)
    if adapter.vault:
        yield from _check_vault(adapter.vault)


def _bounded(config: AgentConfig) -> Iterator[tuple[DocumentPath, float, float]]:
    """Every number that must be above 0, and the most that it may be."""
    limits, adapter = config.limits, config.adapter
    yield ("limits", "at_once"), limits.at_once, 1_000
    yield ("limits", "per_second"), limits.per_second, 1_000_000
    yield ("limits", "burst"), limits.burst, 1_000_000
    yield ("limits", "tries"), limits.tries, 1_000
    yield ("limits", "retry_seconds"), limits.retry_seconds, _DAY
    yield ("limits", "retry_cap_seconds"), limits.retry_cap_seconds, 7 * _DAY
    yield ("limits", "answer_bytes"), limits.answer_bytes, 1_000_000_000
    yield ("inbox", "keep_days"), config.inbox.keep_days, 36_525
    if adapter.hook:
        yield ("adapter", "hook", "timeout_seconds"), adapter.hook.timeout_seconds, _DAY
    if adapter.webhook:
        where: DocumentPath = ("adapter", "webhook")
        yield (*where, "timeout_seconds"), adapter.webhook.timeout_seconds, _DAY
        if callback := adapter.webhook.callback:
            yield (*where, "callback", "ask_again_hours"), callback.ask_again_hours, 8_784


def _check_webhook(webhook: Webhook) -> Iterator[tuple[DocumentPath, str]]:
    where: DocumentPath = ("adapter", "webhook")
    yield from _check_reference((*where, "hmac"), webhook.hmac)
    if why := why_no_web_address(webhook.url, insecure=webhook.insecure):
        yield (*where, "url"), why
    if callback := webhook.callback:
        if why := why_no_web_address(callback.url, insecure=callback.insecure):
            yield (*where, "callback", "url"), why
        if callback.port not in _PORTS:
            yield (*where, "callback", "port"), "is no port"


def _check_bus(bus: KafkaConfig) -> Iterator[tuple[DocumentPath, str]]:
    yield from _check_reference(("bus", "sasl_password"), bus.sasl_password)
    for name, why in problems_of_reaching(_security(bus, "given" if bus.sasl_password else "")):
        key: str = getattr(_BUS_NAMES, name)
        yield tuple(key.split(".")), why


def _security(bus: KafkaConfig, password: str, base: Path = Path()) -> Security:
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
        names=_BUS_NAMES,
    )


def _check_sql(sql: SqlConfig) -> Iterator[tuple[DocumentPath, str]]:
    yield from _check_url(("adapter", "sql", "url"), sql.url)
    yield from _check_reference(("adapter", "sql", "pseudonym_key"), sql.pseudonym_key)
    if not sql.tables:
        yield ("adapter", "sql", "tables"), "declares no table"
    for name, declared in sql.tables.items():
        for path, why in validate_table(name, declared):
            yield ("adapter", "sql", "tables", *path), why
        if (
            isinstance(declared.pseudonymise, ColumnChange)
            and declared.pseudonymise.hash
            and sql.pseudonym_key is None
        ):
            yield (
                ("adapter", "sql", "tables", name, "pseudonymise", "hash"),
                "needs adapter.sql.pseudonym_key",
            )
        for kind in set(declared.events) & set(sql.without_rows):
            where = ("adapter", "sql", "tables", name, "events")
            yield where, f"{kind} is said to have no rows here"


def _check_vault(vault: VaultConfig) -> Iterator[tuple[DocumentPath, str]]:
    yield from _check_url(("adapter", "vault", "url"), vault.url)
    since = vault.encrypted_since
    if since is not None and since.tzinfo is None:
        where = ("adapter", "vault", "encrypted_since")
        yield where, "is no instant with its offset such as 2026-01-01T00:00:00Z"


def _check_url(
    path: DocumentPath, url: str | SecretRef, *, secret: bool = False
) -> Iterator[tuple[DocumentPath, str]]:
    if isinstance(url, SecretRef):
        yield from _check_reference(path, url)
        return
    why = why_no_database(url, secret=secret)
    if why:
        yield path, f"{why}: {_BY_REFERENCE}" if why == HIDDEN else why


def _check_reference(
    path: DocumentPath, reference: SecretRef | None
) -> Iterator[tuple[DocumentPath, str]]:
    if reference is not None and (reference.env is None) == (reference.file is None):
        yield path, "names not exactly one of env and file"


def _place(loc: tuple[int | str, ...]) -> DocumentPath:
    """Where it is in the file: what pydantic says about which alternative it tried is left out."""
    return tuple(
        part
        for part in validation_path(loc)
        if str(part) not in ("str", "Reference", "Change", "Flag")
    )
