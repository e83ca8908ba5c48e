"""One command a role, for production: each runs until it is asked to stop."""

from __future__ import annotations

import signal
from collections.abc import Callable
from threading import Event

import click

from services.app import settings
from services.app.wiring import root
from services.app.wiring import watch as bootstrap_watch


def run_until_signal(run: Callable[[Event], None]) -> None:
    """Run a role until SIGTERM or Ctrl-C."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(stop)


def _consumer(role: root.ConsumerRole, meaning: str) -> click.Command:
    def run() -> None:
        run_until_signal(lambda stop: root.run_consumer(settings.load(), role, stop))

    return click.Command(role, callback=run, help=meaning)


tagger = _consumer(
    "tagger",
    "Tag business events with purposes and windows, and pass them on without their bodies."
    " Any number may run; Kafka shares the partitions out.",
)
recorder = _consumer(
    "recorder",
    "Write tagged events and dead letters into the ledger. Any number may run on PostgreSQL.",
)
acknowledgements = _consumer(
    "acknowledgements", "Take in what the systems answer. Any number may run on PostgreSQL."
)


@click.command()
def deleter() -> None:
    """Claim what is due, command the systems, and repeat until each has answered.

    Any number may run on PostgreSQL; on SQLite one.
    """
    run_until_signal(lambda stop: root.run_deleter(settings.load(), stop))


@click.command()
def rights() -> None:
    """Answer the requests of data subjects in time, or refuse them; hand corrections on.

    Any number may run on PostgreSQL.
    """
    run_until_signal(lambda stop: root.run_rights(settings.load(), stop))


@click.command()
def watch() -> None:
    """Show how each system fares with its commands, live: tables, metrics and a page on loopback.

    Any number may run; each watches a part. Nothing else depends on it.
    """
    run_until_signal(lambda stop: bootstrap_watch.run_watch(settings.load(), stop))


@click.command("sample-systems", hidden=True)
@click.option("--silent", multiple=True, help="A system that never answers.")
def sample_systems(silent: tuple[str, ...]) -> None:
    """The simulated systems of `termijn up --sample`."""
    run_until_signal(lambda stop: root.run_sample_systems(settings.load(), stop, silent))
