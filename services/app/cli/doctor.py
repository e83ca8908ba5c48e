"""`termijn doctor`: everything that a role needs, looked at before it starts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta

import click
from confluent_kafka import KafkaException

from schemas.errors import TermijnError
from services.app.cli.options import json_option, show
from services.app.cli.session import open_resources
from services.app.kafka_settings import kafka_security
from services.app.setting_field import InvalidSetting
from services.app.wiring.required_topics import required_topics
from services.app.wiring.resources import Resources, required_schemas, utc_now
from services.crypto.key_directory import KeyDirectory
from services.kafka.access import deployment_access
from services.kafka.client import KafkaAccessDenied, KafkaUnavailable
from services.kafka.security import Security
from services.kafka.topic_admin import TopicAdmin
from services.kafka.topic_retention import retention_requirements
from services.operations.doctor.acls import check_acls, check_own_acls
from services.operations.doctor.cluster import check_topics, describe_acls, describe_own_access
from services.operations.doctor.findings import Finding, error, ok, skipped
from services.operations.doctor.keys import (
    SealFiles,
    check_keys,
    check_requests,
    check_seals,
)
from services.operations.doctor.ledger import check_ledger
from services.operations.doctor.registry import check_registry
from services.operations.doctor.tls import check_security
from services.policy.loader import InvalidPolicy
from services.policy.model import Policy
from services.storage.database import open_database

_ROLES = ("tagger", "recorder", "deleter", "acknowledgements", "rights")
"""Those without which nothing is erased; the others may be named otherwise, or not run."""
_COLUMNS = ("check", "target", "state", "what", "mend")


class _Unwell(click.ClickException):
    """Something is wrong: no role should start yet."""


@click.command()
@json_option
@click.option("--faults", is_flag=True, help="Only what is wrong or should be looked at.")
def doctor(as_json: bool, faults: bool) -> None:
    """Look at brokers, certificates, topics, access rules, registry, database, clock, keys and policy.

    For each: what is wrong, and the command that mends it. Nothing is changed. Fails on a fault.
    """
    with open_resources() as opened:
        found = list(_examine(opened))
    shown = [one for one in found if not faults or one.state in ("fault", "warning")]
    show(map(asdict, shown), as_json=as_json, title="The doctor", columns=_COLUMNS)
    wrong = sum(1 for one in found if one.state == "fault")
    if wrong:
        raise _Unwell(f"{wrong} faults")


def _examine(opened: Resources) -> Iterator[Finding]:
    policy: Policy | None = None
    try:
        policy = opened.policy()
    except (InvalidPolicy, OSError) as cause:
        first, *others = str(cause).splitlines()
        more = f" (and {len(others)} more)" if others else ""
        yield error("policy", f"{first}{more}", "mend the lines that `termijn policy lint` names")
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
        yield error("settings", str(cause), "mend that setting: see deploy/kafka-tls.md")
        return
    yield from check_security(security, servers, utc_now())
    try:
        yield from _brokers(opened, policy, security)
    except KafkaAccessDenied as cause:
        why, _, mend = cause.why.partition(": mend ")
        yield error("credentials", why, f"mend {mend or 'the settings of the bus'}", servers)
    except (KafkaUnavailable, KafkaException, TimeoutError) as cause:
        yield error(
            "broker",
            f"does not answer: {cause}",
            "start the brokers, or point KAFKA_BOOTSTRAP_SERVERS at them",
            servers,
        )


def _brokers(opened: Resources, policy: Policy | None, security: Security) -> Iterator[Finding]:
    bus, servers = opened.kafka_client(), opened.settings.kafka.bootstrap_servers
    if bus.is_embedded:
        yield ok("broker", "the embedded one answers", servers)
        yield skipped("topics", "the embedded broker keeps no settings of topics")
        return
    yield ok("broker", f"answers as cluster {bus.cluster_id}", servers)
    if policy is None:
        yield skipped("topics", "which there should be, only a policy says")
        yield skipped("acls", "who should do what, only a policy says")
        return
    found = describe_acls(bus.admin)
    users = {one.user: one for one in deployment_access(policy, opened.settings.kafka.group)}
    if found.rules is None and (use := users.get(security.username)):
        yield skipped("topics", f"{use.user} may not see how long they keep what")
        yield from check_own_acls(describe_own_access(bus.admin, use), use)
        return
    needed = required_topics(policy).all
    try:
        there = TopicAdmin(admin=bus.admin).found([topic.name for topic in needed])
    except KafkaUnavailable as cause:
        if found.rules is not None:
            raise
        yield skipped("topics", str(cause))
    else:
        promised = retention_requirements(policy, needed, opened.plaintext_fields(policy))
        yield from check_topics(promised, there)
    roles = {opened.kafka_access(role, policy).user for role in _ROLES}
    deleter = opened.kafka_access("deleter", policy).user
    yield from check_acls(found, list(users.values()), users.keys() - roles, deleter)


def _registry(opened: Resources, policy: Policy | None) -> Iterator[Finding]:
    registry = opened.registry()
    if registry is None:
        yield ok("registry", "none is used: values are in single-object encoding")
        return
    if policy is None:
        yield skipped("registry", "which schemas there should be, only a policy says")
        return
    try:
        needed = required_schemas(opened, policy)
    except TermijnError as cause:
        yield error("registry", str(cause), "mend the file below TERMIJN_SCHEMAS that it names")
        return
    yield from check_registry(registry, needed)


def _ledger(opened: Resources, policy: Policy | None) -> Iterator[Finding]:
    ledger = open_database(opened.settings.ledger_url)  # not `Root.ledger`: nothing is made here
    opened.stack.callback(ledger.close)
    tolerance = timedelta(seconds=opened.settings.deleting.clock_tolerance_seconds)
    found = list(check_ledger(ledger, policy, utc_now, tolerance))
    yield from found
    if any(one.check == "migrations" and one.state == "sound" for one in found):
        yield from check_requests(ledger, _seal_files(opened))


def _keys(opened: Resources, policy: Policy | None) -> Iterator[Finding]:
    chosen = opened.settings
    yield from check_keys(
        KeyDirectory(path=chosen.keys),
        list(policy.systems) if policy else [],
        utc_now(),
        required=chosen.signing.mode == "required",
    )
    yield from check_seals(_seal_files(opened))


def _seal_files(opened: Resources) -> SealFiles:
    chosen = opened.settings
    return SealFiles(
        dead_letters=chosen.key_file,
        dead_letters_named=chosen.storage.key_file is not None,
        requests=chosen.request_key_file,
        requests_named=chosen.storage.request_key_file is not None,
    )
