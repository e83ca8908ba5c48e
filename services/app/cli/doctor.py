"""`termijn doctor`: check everything that a role needs before it starts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import click
from confluent_kafka import KafkaException

from schemas.errors import TermijnError
from services.app.cli.check_failed import CheckFailed
from services.app.cli.options import json_option, show
from services.app.cli.session import open_resources
from services.app.kafka_settings import kafka_security
from services.app.setting_field import InvalidSetting
from services.app.wiring.required_topics import required_topics
from services.app.wiring.resources import Resources, required_schemas, utc_now
from services.crypto.key_directory import KeyDirectory
from services.kafka.access import deployment_access
from services.kafka.errors import KafkaAccessDenied, KafkaUnavailable
from services.kafka.security import Security
from services.kafka.topic_admin import TopicAdmin
from services.kafka.topic_retention import retention_requirements
from services.operations.doctor.acls import check_acls, check_own_acls
from services.operations.doctor.cluster import check_topics, describe_acls, describe_own_access
from services.operations.doctor.findings import Finding, error, ok, skipped
from services.operations.doctor.keys import (
    EncryptionKeyFiles,
    check_key_files,
    check_keys,
    check_requests,
)
from services.operations.doctor.ledger import check_ledger
from services.operations.doctor.registry import check_registry
from services.operations.doctor.tls import check_security
from services.operations.ports import LEDGER_ROLES
from services.policy.loader import InvalidPolicy
from services.policy.model import Policy
from services.storage.database import open_database

_COLUMNS = ("check", "target", "state", "result", "fix")


@click.command()
@json_option
@click.option("--problems", "only_problems", is_flag=True, help="Only errors and warnings.")
def doctor(as_json: bool, only_problems: bool) -> None:
    """Check brokers, certificates, topics, ACLs, registry, database, clock, keys and policy.

    Each error comes with the command that fixes it. Nothing is changed. Fails if a check failed.
    """
    with open_resources() as opened:
        findings = list(_run_checks(opened))
    printed = [
        finding
        for finding in findings
        if not only_problems or finding.state in ("error", "warning")
    ]
    rows = (finding.to_row() for finding in printed)
    show(rows, as_json=as_json, title="Checks", columns=_COLUMNS)
    failed = sum(1 for finding in findings if finding.state == "error")
    if failed:
        raise CheckFailed(f"{failed} checks failed")


def _run_checks(opened: Resources) -> Iterator[Finding]:
    policy: Policy | None = None
    try:
        policy = opened.policy()
    except (InvalidPolicy, OSError) as cause:
        first_line, *other_lines = str(cause).splitlines()
        remainder = f" (and {len(other_lines)} more)" if other_lines else ""
        yield error(
            "policy", f"{first_line}{remainder}", "fix the lines that `termijn policy lint` names"
        )
    else:
        yield ok("policy", f"{policy.policy} {policy.version}")
    yield from _cluster(opened, policy)
    yield from _registry(opened, policy)
    yield from _ledger(opened, policy)
    yield from _keys(opened, policy)


def _cluster(opened: Resources, policy: Policy | None) -> Iterator[Finding]:
    servers = opened.settings.kafka.bootstrap_servers
    try:
        security = kafka_security(opened.settings.kafka)
    except InvalidSetting as cause:
        yield error("settings", str(cause), "fix that setting: see deploy/kafka-tls.md")
        return
    yield from check_security(security, servers, utc_now())
    try:
        yield from _brokers(opened, policy, security)
    except KafkaAccessDenied as cause:
        settings = cause.settings or "the Kafka settings"
        yield error("credentials", cause.reason, f"fix {settings}", servers)
    except (KafkaUnavailable, KafkaException, TimeoutError) as cause:
        yield error(
            "broker",
            f"does not respond: {cause}",
            "start the brokers, or fix KAFKA_BOOTSTRAP_SERVERS",
            servers,
        )


def _brokers(opened: Resources, policy: Policy | None, security: Security) -> Iterator[Finding]:
    bus, servers = opened.kafka_client(), opened.settings.kafka.bootstrap_servers
    if bus.is_embedded:
        yield ok("broker", "the embedded broker responds", servers)
        yield skipped("topics", "the embedded broker has no topic settings")
        return
    yield ok("broker", f"responds as cluster {bus.cluster_id}", servers)
    if policy is None:
        yield skipped("topics", "needs a valid policy, which lists the topics")
        yield skipped("acls", "needs a valid policy, which lists the users")
        return
    acls = describe_acls(bus.admin)
    users = {
        access.user: access for access in deployment_access(policy, opened.settings.kafka.group)
    }
    if acls.rules is None and (own_access := users.get(security.username)):
        yield skipped("topics", f"{own_access.user} may not read their retention settings")
        yield from check_own_acls(describe_own_access(bus.admin, own_access), own_access)
        return
    required = required_topics(policy).all
    try:
        states = TopicAdmin(admin=bus.admin).describe_topics([topic.name for topic in required])
    except KafkaUnavailable as cause:
        if acls.rules is not None:
            raise
        yield skipped("topics", str(cause))
    else:
        requirements = retention_requirements(policy, required, opened.plaintext_fields(policy))
        yield from check_topics(requirements, states)
    roles = {opened.kafka_access(role, policy).user for role in LEDGER_ROLES}
    deleter = opened.kafka_access("deleter", policy).user
    yield from check_acls(acls, list(users.values()), users.keys() - roles, deleter)


def _registry(opened: Resources, policy: Policy | None) -> Iterator[Finding]:
    registry = opened.registry()
    if registry is None:
        yield ok("registry", "none is configured: values use single-object encoding")
        return
    if policy is None:
        yield skipped("registry", "needs a valid policy, which lists the schemas")
        return
    try:
        required = required_schemas(opened, policy)
    except TermijnError as cause:
        yield error("registry", str(cause), "fix the file in TERMIJN_SCHEMAS that it names")
        return
    yield from check_registry(registry, required)


def _ledger(opened: Resources, policy: Policy | None) -> Iterator[Finding]:
    ledger = open_database(
        opened.settings.ledger_url
    )  # not `Resources.ledger`: the doctor creates nothing
    opened.stack.callback(ledger.close)
    tolerance = timedelta(seconds=opened.settings.deleting.clock_tolerance_seconds)
    findings = list(check_ledger(ledger, policy, utc_now, tolerance))
    yield from findings
    if any(finding.check == "migrations" and finding.state == "ok" for finding in findings):
        yield from check_requests(ledger, _seal_files(opened))


def _keys(opened: Resources, policy: Policy | None) -> Iterator[Finding]:
    chosen = opened.settings
    yield from check_keys(
        KeyDirectory(path=chosen.keys),
        list(policy.systems) if policy else [],
        utc_now(),
        required=chosen.signing.mode == "required",
    )
    yield from check_key_files(_seal_files(opened))


def _seal_files(opened: Resources) -> EncryptionKeyFiles:
    chosen = opened.settings
    return EncryptionKeyFiles(
        dead_letters=chosen.key_file,
        dead_letters_named=chosen.storage.key_file is not None,
        requests=chosen.request_key_file,
        requests_named=chosen.storage.request_key_file is not None,
    )
