"""`termijn gaps`: messages that Kafka deleted before a role read them."""

from __future__ import annotations

import click

from services.app.cli.options import json_option, operator_option, reason_option, show
from services.app.cli.session import run_in_transaction
from services.storage import gaps as storage_gaps


@click.group()
def gaps() -> None:
    """Messages that Kafka deleted before a role read them: it waits until an operator accepts."""


@gaps.command("list")
@json_option
def list_gaps(as_json: bool) -> None:
    """List the gaps that are not accepted yet."""
    open_gaps = run_in_transaction(lambda connection, _: storage_gaps.open_gaps(connection))
    rows = (
        {
            "role": gap.role,
            "topic": gap.log.topic,
            "partition": gap.log.partition,
            "expected": gap.expected,
            "low": gap.low,
            "high": gap.high,
        }
        for gap in open_gaps
    )
    columns = ("role", "topic", "partition", "expected", "low", "high")
    show(rows, as_json=as_json, title="Gaps", columns=columns)


@gaps.command("accept")
@click.argument("role")
@click.argument("topic")
@click.argument("partition", type=int)
@operator_option
@reason_option
def accept_gap(role: str, topic: str, partition: int, operator: str, reason: str) -> None:
    """Let ROLE continue at the first offset that Kafka still has of TOPIC's PARTITION."""
    place = (role, topic, partition)
    at = run_in_transaction(
        lambda connection, now: storage_gaps.accept_gap(
            connection, place, operator=operator, reason=reason, now=now
        )
    )
    click.echo(f"{role} continues at offset {at} of {topic}[{partition}]")
