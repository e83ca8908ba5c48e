"""`termijn publish`: a file of CloudEvents onto the bus."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from services import bootstrap, settings
from services.bootstrap import Root
from services.cli.operating import show_forecast
from services.deleter.sight import BusSight
from services.publishing import Publisher

_PATIENCE = timedelta(minutes=10)


class _NotRecorded(click.ClickException):
    """What was published is on the bus, and the ledger does not have it in time."""


@click.command()
@click.argument("events", type=click.Path(path_type=Path), metavar="EVENTS.jsonl")
@click.option("--wait", is_flag=True, help="Return only when all of it is recorded.")
@click.option(
    "--backfill",
    is_flag=True,
    help="It is history: record it, show what would leave at once, and wait for `termijn release`.",
)
@click.option("--name", help="The backfill's name; made from the time unless given.")
def publish(events: Path, wait: bool, backfill: bool, name: str | None) -> None:
    """Publish the events of a file: CloudEvents 1.0 in structured mode, one JSON object a line.

    The whole file is checked first; nothing is sent if a line of it cannot be. Fields that the policy
    names go out encrypted, each under the keys of its record.
    """
    if name and not backfill:
        raise click.UsageError("--name goes with --backfill")
    called = (name or f"backfill-{bootstrap.now():%Y%m%dT%H%M%SZ}") if backfill else None
    with bootstrap.root(settings.load()) as opened:
        count = _send(opened, events, called, wait=wait or backfill)
    click.echo(f"published {count} events")
    if called:
        show_forecast(called, as_json=False)
        click.echo(f"held back; let it go with: termijn release {called} --operator NAME")


def _send(opened: Root, events: Path, backfill: str | None, *, wait: bool) -> int:
    bus, policy = opened.bus(), opened.policy()
    needed = bootstrap.topics(policy)
    sight: BusSight | None = None
    if wait or bus.is_embedded:
        sight = bootstrap.sight(bus, opened.ledger(), needed, _PATIENCE)

    def hold_back() -> None:
        if sight is not None and (spots := sight.blind_spots()):
            raise _NotRecorded(f"not recorded in time: {spots[0]} ({len(spots)} partitions)")

    publisher = Publisher(
        policy=policy,
        codec=opened.codec(),
        sender=bus.sender(),
        encryption=opened.encryption(policy),
        hold_back=hold_back if bus.is_embedded else None,
    )
    total = sum(1 for _ in publisher.of_file(events, backfill))
    bus.ensure(needed.all)
    sent = 0
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("publishing", total=total)
        for taken in publisher.send(publisher.of_file(events, backfill)):
            sent += taken
            progress.update(task, advance=taken)
    if wait:
        hold_back()
    return sent
