"""`termijn up`: run everything on this machine in one process tree, and show its state live."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Event
from time import monotonic

import click
from rich.console import Group
from rich.live import Live
from sqlalchemy import Connection

from services.agent.simulated.store import StoreCounts
from services.app import settings_loader
from services.app.cli.output import cell, console, table, visible
from services.app.kafka_settings import SECURITY_FIELDS
from services.app.process_tree import ProcessTree
from services.app.wiring import resources
from services.app.wiring.required_topics import required_topics
from services.app.wiring.resources import Resources, catch_up_check, utc_now
from services.app.wiring.simulated_systems import simulated_systems
from services.events.publisher import Publisher
from services.events.sample_events import sample_events
from services.kafka.embedded_broker import EmbeddedBroker
from services.ledger import backfills, migrate
from services.ledger.command_state import CARRIED_OUT, OUTSTANDING
from services.ledger.state_changes import resend_outstanding
from services.operations.ports import LEDGER_ROLES
from services.operations.status import LedgerStatus, RecentCommand, latest_commands, read_status
from services.policy.loader import hash_policy
from services.policy.model import Policy
from services.storage.database import Database, database_now
from services.storage.operator_log import log_operator_action

_SCREEN_INTERVAL = 1.0
_LINE_INTERVAL = 10.0
_RECENT_COMMANDS = 8
_SAMPLE_INTERVAL = 5.0
_CATCH_UP_TIMEOUT = timedelta(minutes=2)
_GLANCE_TIMEOUT = timedelta(seconds=1)
_SAMPLE_RETRY_SECONDS = "5"
_SAMPLE_PREFIX = "sample-"
"""The prefix of the names of imports with sample events."""
_OPERATOR = "termijn up --sample"


@click.command()
@click.option("--sample", is_flag=True, help="Publish sample events, and simulate the systems.")
def up(sample: bool) -> None:
    """Run everything on embedded defaults: broker, SQLite, all roles. Ctrl-C stops it; the ledger stays."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with EmbeddedBroker() as broker:
        environment = settings_loader.environment() | {
            "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap,
            "TERMIJN_KAFKA_CLUSTER_ID": broker.cluster_id,
            "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT",
        }
        for variable in SECURITY_FIELDS:  # the embedded broker has neither TLS nor users
            environment.pop(variable, None)
        environment.pop("TERMIJN_METRICS_PORT", None)  # each role has its own
        if sample:
            environment.setdefault("TERMIJN_RETRY_SECONDS", _SAMPLE_RETRY_SECONDS)
        chosen = settings_loader.load(environment)
        with resources.open_resources(chosen) as opened:
            migrate.migrate(opened.owned_ledger())
            ledger = opened.ledger()
            policy = opened.wait_for_active_policy(ledger)
            _warn_if_not_active(opened.policy(), policy)
            ledger.run_in_transaction(
                lambda connection: resend_outstanding(connection, database_now(connection))
            )
            broker.create_topics(topic.name for topic in required_topics(policy).all)
            opened.dead_letter_cipher()
            opened.request_keys()
            signatures = opened.signing()
            signatures.signer()
            if sample:
                signatures.simulated_signers(policy.systems)
            if not signatures.required:
                click.echo(
                    "UNSIGNED: anyone who can reach this broker can command an erasure", err=True
                )
            with ProcessTree(chosen.storage.data / "logs", environment) as tree:
                for role in LEDGER_ROLES:
                    tree.start(role)
                if sample:
                    tree.start("sample-systems")
                _run_screen(opened, ledger, policy, tree, stop, sample=sample)


def _warn_if_not_active(configured: Policy, active: Policy) -> None:
    if hash_policy(configured) != hash_policy(active):
        click.echo(
            f"policy: the roles run with the ledger's active one, {active.policy} {active.version}, got"
            f" {configured.policy} {configured.version}; `termijn policy activate` makes it the active one",
            err=True,
        )


def _run_screen(
    opened: Resources,
    ledger: Database,
    policy: Policy,
    tree: ProcessTree,
    stop: Event,
    *,
    sample: bool,
) -> None:
    terminal = console()
    systems = simulated_systems(opened.settings, policy) if sample else None
    count_rows: Callable[[], Mapping[str, StoreCounts]] = systems.count_rows if systems else dict
    sample_feed = _publish_sample(opened, ledger, policy) if sample else iter(())
    url = ledger.engine.url.set(query={}).render_as_string(hide_password=True)
    terminal.print(
        f"termijn up: {', '.join(tree.roles())}; ledger {url};"
        f" logs {opened.settings.storage.data / 'logs'}; Ctrl-C ends it\n"
        "other commands reach it with"
        f" KAFKA_BOOTSTRAP_SERVERS={opened.settings.kafka.bootstrap_servers}"
        f" TERMIJN_KAFKA_CLUSTER_ID={opened.settings.kafka.cluster_id}",
        soft_wrap=True,
    )

    def read_state() -> tuple[LedgerStatus, Sequence[RecentCommand], Policy]:
        active = opened.active_policy(ledger)
        with ledger.transaction() as connection:
            status = read_status(connection, active, database_now(connection))
            return status, latest_commands(connection, _RECENT_COMMANDS), active

    if terminal.is_terminal:
        with Live(console=terminal, refresh_per_second=2) as live:
            while not stop.wait(_SCREEN_INTERVAL):
                tree.check()
                next(sample_feed, None)
                status, recent, active = read_state()
                live.update(render_screen(status, recent, count_rows(), active))
        return
    printed_at = float("-inf")
    while not stop.wait(_SCREEN_INTERVAL):
        tree.check()
        next(sample_feed, None)
        if monotonic() - printed_at >= _LINE_INTERVAL:
            terminal.print(visible(_status_line(read_state()[0], count_rows())), soft_wrap=True)
            printed_at = monotonic()


def _publish_sample(opened: Resources, ledger: Database, policy: Policy) -> Iterator[int]:
    """Publish the sample history if the ledger is empty, then more events every few seconds."""
    bus = opened.kafka_client()
    check = catch_up_check(bus, ledger, required_topics(policy), _CATCH_UP_TIMEOUT)

    def hold_back() -> None:
        check.lagging_partitions()  # waits; what is unread afterwards is far less than the broker keeps

    publisher = Publisher(
        policy=policy,
        codec=opened.codec(policy),
        sender=bus.open_producer(),
        encryption=opened.field_encryption(policy),
        wait_until_recorded=hold_back,
    )
    with ledger.transaction() as connection:
        started = read_status(connection, policy, database_now(connection)).events > 0
    if not started:
        yield from _publish_events(publisher, policy, utc_now(), companies=12)
    unreleased = True  # a previous run may have stopped before it released its samples
    published_at = monotonic()
    glance = catch_up_check(bus, ledger, required_topics(policy), _GLANCE_TIMEOUT)
    while True:
        if unreleased and not glance.lagging_partitions():
            ledger.run_in_transaction(_release_history)
            unreleased = False
        if monotonic() - published_at >= _SAMPLE_INTERVAL:
            yield from _publish_events(publisher, policy, utc_now(), companies=1)
            unreleased, published_at = True, monotonic()
        yield 0


def _release_history(connection: Connection) -> None:
    """Release the recorded samples; they are imports, since most of their events are years old."""
    now = database_now(connection)
    for backfill in backfills.pending_backfills(connection):
        if backfill.backfill.startswith(_SAMPLE_PREFIX):
            backfills.release(connection, backfill.backfill, _OPERATOR, now)
            log_operator_action(
                connection,
                "backfill release",
                backfill.backfill,
                operator=_OPERATOR,
                reason="it is a sample",
                now=now,
            )


def _publish_events(
    publisher: Publisher, policy: Policy, now: datetime, companies: int
) -> Iterator[int]:
    seed = int(now.timestamp())
    events = sample_events(policy, now, seed=seed, companies=companies)
    name = f"{_SAMPLE_PREFIX}{seed}"
    for acknowledged in publisher.send_batches(
        publisher.build_message(replace(event, backfill=name)) for event in events
    ):
        yield len(acknowledged)


def render_screen(
    status: LedgerStatus,
    recent: Sequence[RecentCommand],
    stores: Mapping[str, StoreCounts],
    policy: Policy,
) -> Group:
    """Return the screen of a terminal: each system, and the latest commands."""
    numbers = ("holds", "restricted", "waits", "answered", "proven", "refused", "escalated")
    systems = table("Systems", ("system", "role", *numbers), right=numbers)
    for name, system in policy.systems.items():
        store = stores.get(name, StoreCounts(rows=0, restricted=0))
        waits = sum(status.commands.get((name, state), 0) for state in OUTSTANDING)
        row = (
            name,
            system.role,
            store.rows if stores else None,
            store.restricted if stores else None,
            waits,
            sum(status.commands.get((name, state), 0) for state in CARRIED_OUT),
            status.commands.get((name, "erased"), 0),
            status.commands.get((name, "refused"), 0),
            status.escalated.get(name, 0),
        )
        systems.add_row(*map(cell, row))
    pauses = "; ".join(f"{pause.scope} {pause.state}: {pause.reason}" for pause in status.pauses)
    columns = ("at", "system", "action", "rules", "records", "attempt", "state")
    latest = table("Latest commands", columns)
    for command in recent:
        at = f"{command.created_at:%H:%M:%S}"
        cells = (
            at,
            command.system,
            command.action,
            command.rules,
            command.records,
            command.attempt,
            command.state,
        )
        latest.add_row(*map(cell, cells))
    stopped = f"stopped: {pauses}" if pauses else ""
    return Group(cell(_summary(status)), systems, latest, cell(stopped))


def _status_line(status: LedgerStatus, stores: Mapping[str, StoreCounts]) -> str:
    rows = sum(store.rows for store in stores.values())
    return f"{status.at:%H:%M:%S} {_summary(status)}; rows held by systems {rows}"


def _summary(status: LedgerStatus) -> str:
    commands = sum(status.commands.values())
    answered = sum(n for (_, state), n in status.commands.items() if state in CARRIED_OUT)
    parked = sum(status.dead_letters.values())
    return (
        f"events recorded {status.events}; due now {status.due}; commands {commands},"
        f" answered {answered}; overdue {status.overdue}; dead letters {parked}"
    )
