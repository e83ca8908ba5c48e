"""`termijn publish`: publish a file of CloudEvents to Kafka."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from rich.progress import Progress

from services.app.cli.backfill import show_forecast
from services.app.cli.check_failed import CheckFailed
from services.app.cli.options import format_instant, show
from services.app.cli.output import console, say
from services.app.cli.session import open_resources
from services.app.wiring.required_topics import required_topics
from services.app.wiring.resources import Resources, catch_up_check, utc_now
from services.events.dry_run import DryRun, DryRunResult
from services.events.event_file import Source, open_rereadable
from services.events.history import is_group
from services.events.publisher import Publisher, unknown_field_problem
from services.events.sent_offsets import OffsetRecorder
from services.kafka.topic_state import Partition
from services.ledger.blind_spots import parked_offsets
from services.ledger.catch_up import KafkaCatchUpCheck
from services.storage.database import Database

_CATCH_UP_TIMEOUT = timedelta(minutes=10)


@click.command()
@click.argument("events", type=click.Path(path_type=Path), metavar="EVENTS.jsonl")
@click.option(
    "--wait",
    is_flag=True,
    help="Wait until every event is recorded; fail if some were parked instead.",
)
@click.option(
    "--backfill",
    is_flag=True,
    help="An import of history: record it, preview its commands, and hold it until"
    " `termijn backfill release`.",
)
@click.option("--name", help="The import's name; by default made from the time.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show what would happen to each event, and send nothing; needs no broker.",
)
@click.option(
    "--leave-out",
    is_flag=True,
    help="Drop fields that the schema does not have; otherwise such an event is rejected.",
)
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: one JSON object a line.")
def publish(
    events: Path,
    wait: bool,
    backfill: bool,
    name: str | None,
    dry_run: bool,
    leave_out: bool,
    as_json: bool,
) -> None:
    """Publish the events of a file: CloudEvents 1.0 in structured mode, one JSON object a line.

    `-` is standard input, which is read to its end before anything is sent. Events older than
    TERMIJN_HISTORY_SECONDS are held back until they are released, also without --backfill.

    The whole file is checked first. Nothing is sent if a line is invalid, or has a field that the schema
    does not have, since that may be a misspelt decision field. Fields that the policy names are encrypted
    with the keys of their record.

    With --dry-run the tagger's code checks each line, and the command fails if an event would not be
    recorded: a contract check for a publisher's own tests.
    """
    if name and not backfill:
        raise click.UsageError("--name needs --backfill")
    if name and is_group(name):
        raise click.UsageError("--name: this prefix is reserved for events that Termijn holds back")
    if as_json and not dry_run:
        raise click.UsageError("--json needs --dry-run")
    if wait and dry_run:
        raise click.UsageError("--wait cannot be used with --dry-run, which sends nothing")
    import_name = (name or f"backfill-{utc_now():%Y%m%dT%H%M%SZ}") if backfill else None
    with open_resources() as opened:
        if dry_run:
            _dry_run(opened, events, import_name, leave_out=leave_out, as_json=as_json)
            return
        count = _send(opened, events, import_name, wait=wait or backfill, leave_out=leave_out)
    say(f"published {count} events")
    if import_name:
        show_forecast(import_name, as_json=False)
        say(f"held back; release it with: termijn backfill release {import_name} --operator NAME")


def _dry_run(
    opened: Resources, events: Path, backfill: str | None, *, leave_out: bool, as_json: bool
) -> None:
    policy, bound = opened.policy(), opened.settings.tagging.bound
    dry_run = DryRun(policy, opened.schemas(policy), utc_now(), bound)
    failed: list[str] = []
    unknown_fields: list[str] = []
    count = with_unknown_fields = 0

    def rows(source: Source) -> Iterator[dict[str, Any]]:
        nonlocal count, with_unknown_fields
        for result in dry_run.run_file(source, backfill):
            count += 1
            with_unknown_fields += bool(result.left_out)
            if result.event is not None:
                problem = (
                    f"is not a field of {result.event.type}, and is left out"
                    if leave_out
                    else unknown_field_problem(result.event.type)
                )
                unknown_fields.extend(
                    f"{events}:{result.line}: {path}: {problem}" for path in result.left_out
                )
            if result.is_rejected:
                failed.append(
                    f"{events}:{result.line}: {result.key}: {result.why} ({result.reason})"
                )
            if as_json or not result.is_rejected:
                yield _json_row(result) if as_json else _table_row(result)

    columns = ("line", "event", "type", "subject", "outcome", "held_back", "purposes")
    with open_rereadable(events) as source:
        show(rows(source), as_json=as_json, title="What would be recorded", columns=columns)
    for line in (*unknown_fields, *failed):
        say(line, err=True)
    if failed:
        raise CheckFailed(f"{len(failed)} of {count} events would not be recorded")
    if with_unknown_fields and not leave_out:
        raise CheckFailed(
            f"{with_unknown_fields} of {count} events have fields that the schema does not have"
        )


def _json_row(result: DryRunResult) -> dict[str, Any]:
    event = result.event
    return {
        "line": result.line,
        "event": event.id if event else None,
        "source": event.source if event else None,
        "type": event.type if event else None,
        "subject": result.subject,
        "outcome": result.outcome,
        "held_back": result.held_back,
        "reason": result.reason or None,
        "key": result.key or None,
        "why": result.why or None,
        "left_out": list(result.left_out),
        "holdings": [
            {
                **holding,
                **{
                    at: format_instant(holding[at])
                    for at in ("anchor_at", "not_before", "erase_by")
                },
                "due_at": {system: format_instant(at) for system, at in holding["due_at"].items()},
            }
            for holding in result.holdings
        ],
    }


def _table_row(result: DryRunResult) -> dict[str, Any]:
    def until(holding: Mapping[str, Any]) -> str:
        erase_by = holding["erase_by"]
        return f"gone by {erase_by:%Y-%m-%d}" if erase_by else "open"

    purposes = [
        f"{holding['purpose']} ({holding['rule']}, {until(holding)})" for holding in result.holdings
    ]
    return {**_json_row(result), "purposes": purposes}


def _send(
    opened: Resources, events: Path, backfill: str | None, *, wait: bool, leave_out: bool
) -> int:
    bus, policy = opened.kafka_client(), opened.policy()
    required = required_topics(policy)
    check: KafkaCatchUpCheck | None = None
    if wait or bus.is_embedded:
        check = catch_up_check(bus, opened.ledger(), required, _CATCH_UP_TIMEOUT)
    ends: dict[Partition, int] = {}

    def hold_back() -> None:
        if check is not None and (spots := check.lagging_partitions(ends)):
            raise CheckFailed(f"not recorded in time: {spots[0]} ({len(spots)} partitions)")

    sender = OffsetRecorder(sender=bus.open_producer())
    publisher = Publisher(
        policy=policy,
        codec=opened.codec(policy),
        sender=sender,
        encryption=opened.field_encryption(policy),
        leave_out_unknown=leave_out,
        wait_until_recorded=hold_back if bus.is_embedded else None,
    )
    with open_rereadable(events) as source:
        counts = Counter(
            message.topic for message in publisher.messages_from_file(source, backfill)
        )
        total = counts.total()
        bus.ensure_topics(
            required.all if wait else [required.business[name] for name in sorted(counts)]
        )
        sent = 0
        terminal = console(err=True)
        with Progress(console=terminal, disable=not terminal.is_terminal) as progress:
            task = progress.add_task("publishing", total=total)
            for acknowledged in publisher.send_batches(
                publisher.messages_from_file(source, backfill)
            ):
                for message in acknowledged:
                    place = (message.topic, message.partition)
                    ends[place] = max(ends.get(place, 0), message.offset + 1)
                sent += len(acknowledged)
                progress.update(task, advance=len(acknowledged))
    if sent != total:
        raise CheckFailed(
            f"{events}: changed while it was read: {total} events checked, {sent} sent"
        )
    if wait:
        hold_back()
        _raise_if_parked(opened.ledger(), sender, sent)
    return sent


def _raise_if_parked(ledger: Database, sender: OffsetRecorder, sent_count: int) -> None:
    """Raise if some of the published events were parked instead of recorded."""
    with ledger.transaction() as connection:
        parked = sum(sender.contains(*place) for place in parked_offsets(connection, sender.topics))
    if parked:
        raise CheckFailed(
            f"{parked} of {sent_count} events were parked, not recorded: see `termijn dead-letters list`"
        )
