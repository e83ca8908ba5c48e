"""Check the agent's file beyond its shape: bounds, addresses, and keys that exclude each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields

from services.agent.adapters.sql.config import ColumnChange, validate_table
from services.agent.config_model import (
    KAFKA_SETTING_NAMES,
    AgentConfig,
    KafkaConfig,
    SecretRef,
    SqlConfig,
    VaultConfig,
    Webhook,
    kafka_security,
)
from services.kafka.addresses import (
    HOLDS_PASSWORD,
    database_url_problem,
    secret_problem,
    web_address_problem,
)
from services.kafka.security import validate as validate_security
from services.policy.yaml_source import DocumentPath

_REFERENCE_ADVICE = "name it by `env` or `file` instead"
_SYSTEM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""The form of a system's name: it is part of topics and of file names."""
_DAY_SECONDS = 86_400.0
_PORTS = range(1, 2**16)


def validate_config(config: AgentConfig) -> Iterator[tuple[DocumentPath, str]]:
    """Yield the path of each problem in the file, with what is wrong there."""
    adapter = config.adapter
    *other_sections, last_section = (section.name for section in fields(adapter))
    chosen = [
        name for name in (*other_sections, last_section) if getattr(adapter, name) is not None
    ]
    if len(chosen) != 1:
        yield (
            ("adapter",),
            f"must name exactly one of {', '.join(other_sections)} and {last_section}",
        )
    yield from _check_bus(config.bus)
    yield from validate_url(("inbox", "url"), config.inbox.url)
    for path, value, maximum in _bounded_numbers(config):
        if not 0 < value <= maximum:  # not true of NaN either
            yield path, f"must be above 0 and at most {maximum:g}, got {value:g}"
    if not _SYSTEM_NAME.fullmatch(config.system):
        yield (
            ("system",),
            "must be of letters, digits, ., - and _, since topics and files are named after it",
        )
    if not 0 <= config.metrics_port < _PORTS.stop:
        yield ("metrics_port",), f"must be a port up to 65535, or 0, got {config.metrics_port}"
    for name, address in (
        (("bus", "schema_registry_url"), config.bus.schema_registry_url),
        (("tracing",), config.tracing),
    ):
        if why := secret_problem(address):
            yield name, f"{why}, which this key must not; remove it"
    path = ("bus", "schema_registry_login")
    yield from _check_reference(path, config.bus.schema_registry_login)
    if adapter.webhook:
        yield from _check_webhook(adapter.webhook)
    if adapter.hook and not adapter.hook.command:
        yield ("adapter", "hook", "command"), "names no program"
    if adapter.sql:
        yield from _check_sql(adapter.sql)
    if adapter.vault:
        yield from _check_vault(adapter.vault)


def _bounded_numbers(config: AgentConfig) -> Iterator[tuple[DocumentPath, float, float]]:
    """Yield each number that must be above 0, with its path and its maximum."""
    limits, adapter = config.limits, config.adapter
    yield ("limits", "at_once"), limits.at_once, 1_000
    yield ("limits", "batch"), limits.batch, 1_000
    yield ("limits", "per_second"), limits.per_second, 1_000_000
    yield ("limits", "burst"), limits.burst, 1_000_000
    yield ("limits", "tries"), limits.tries, 1_000
    yield ("limits", "retry_seconds"), limits.retry_seconds, _DAY_SECONDS
    yield ("limits", "retry_cap_seconds"), limits.retry_cap_seconds, 7 * _DAY_SECONDS
    yield ("limits", "answer_bytes"), limits.answer_bytes, 1_000_000_000
    yield ("inbox", "keep_days"), config.inbox.keep_days, 36_525
    if adapter.hook:
        yield ("adapter", "hook", "timeout_seconds"), adapter.hook.timeout_seconds, _DAY_SECONDS
    if adapter.webhook:
        where: DocumentPath = ("adapter", "webhook")
        yield (*where, "timeout_seconds"), adapter.webhook.timeout_seconds, _DAY_SECONDS
        if callback := adapter.webhook.callback:
            yield (*where, "callback", "ask_again_hours"), callback.ask_again_hours, 8_784


def _check_webhook(webhook: Webhook) -> Iterator[tuple[DocumentPath, str]]:
    path: DocumentPath = ("adapter", "webhook")
    yield from _check_reference((*path, "hmac"), webhook.hmac)
    if why := web_address_problem(webhook.url, insecure=webhook.insecure):
        yield (*path, "url"), why
    if callback := webhook.callback:
        if why := web_address_problem(callback.url, insecure=callback.insecure):
            yield (*path, "callback", "url"), why
        if callback.port not in _PORTS:
            yield (
                (*path, "callback", "port"),
                f"must be a port from 1 to 65535, got {callback.port}",
            )


def _check_bus(bus: KafkaConfig) -> Iterator[tuple[DocumentPath, str]]:
    yield from _check_reference(("bus", "sasl_password"), bus.sasl_password)
    for name, why in validate_security(kafka_security(bus, "given" if bus.sasl_password else "")):
        key: str = getattr(KAFKA_SETTING_NAMES, name)
        yield tuple(key.split(".")), why


def _check_sql(sql: SqlConfig) -> Iterator[tuple[DocumentPath, str]]:
    yield from validate_url(("adapter", "sql", "url"), sql.url)
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
            events_path = ("adapter", "sql", "tables", name, "events")
            yield (
                events_path,
                f"{kind} is listed under without_rows too; remove it from one of them",
            )


def _check_vault(vault: VaultConfig) -> Iterator[tuple[DocumentPath, str]]:
    yield from validate_url(("adapter", "vault", "url"), vault.url)
    since = vault.encrypted_since
    if since is not None and since.tzinfo is None:
        path = ("adapter", "vault", "encrypted_since")
        yield path, "must be an instant with an offset, such as 2026-01-01T00:00:00Z"


def validate_url(
    path: DocumentPath, url: str | SecretRef, *, secret: bool = False
) -> Iterator[tuple[DocumentPath, str]]:
    if isinstance(url, SecretRef):
        yield from _check_reference(path, url)
        return
    why = database_url_problem(url, secret=secret)
    if why:
        yield path, f"{why}; {_REFERENCE_ADVICE}" if why == HOLDS_PASSWORD else why


def _check_reference(
    path: DocumentPath, reference: SecretRef | None
) -> Iterator[tuple[DocumentPath, str]]:
    if reference is not None and (reference.env is None) == (reference.file is None):
        yield path, "must name exactly one of env and file"
