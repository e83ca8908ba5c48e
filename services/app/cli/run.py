"""One command for each role; it runs until SIGTERM or Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Callable
from threading import Event

import click

from services.app import settings_loader
from services.app.cli.lazy_group import import_attribute
from services.app.settings import Settings
from services.ledger.active_policy import PolicyMismatch
from services.operations import logs


def run_until_signal(run: Callable[[Event], None]) -> None:
    """Run a role until SIGTERM or Ctrl-C.

    If another policy becomes the ledger's active one, it ends as for a signal, and runs again with it.
    """
    ending, stop = Event(), Event()

    def end(*_: object) -> None:
        ending.set()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    while not ending.is_set():
        try:
            return run(stop)
        except PolicyMismatch as cause:
            logs.logger("policy").info(
                "changing over", policy=cause.active, former=cause.configured
            )
        stop = Event()  # a role of several threads has set the former one


def _command(name: str, run_path: str, help_text: str) -> click.Command:
    """Make the command of a role; what the role consists of is imported when it runs."""

    def run() -> None:
        run_role: Callable[[Settings, Event], None] = import_attribute(
            f"services.app.wiring.{run_path}"
        )
        run_until_signal(lambda stop: run_role(settings_loader.load(), stop))

    return click.Command(name, callback=run, help=help_text)


tagger = _command(
    "tagger",
    "tagger.run_tagger",
    "Tag business events with purposes and windows, and pass them on without their bodies."
    " Any number may run; Kafka distributes the partitions.",
)
recorder = _command(
    "recorder",
    "recorder.run_recorder",
    "Write tagged events and dead letters into the ledger. Any number may run on PostgreSQL.",
)
deleter = _command(
    "deleter",
    "deleter.run_deleter",
    "Claim due records, send commands to the systems, and repeat until acknowledged."
    "\n\nAny number may run on PostgreSQL; on SQLite one.",
)
acknowledgements = _command(
    "acknowledgements",
    "acknowledgements.run_acknowledgements",
    "Record the acknowledgements of the systems. Any number may run on PostgreSQL.",
)
rights = _command(
    "rights",
    "requests.run_rights",
    "Answer the requests of data subjects in time; `termijn requests list` shows them."
    "\n\nAny number may run on PostgreSQL.",
)
watch = _command(
    "watch",
    "watch.run_watch",
    "Show the state of each system's commands, live: metrics and a page on loopback."
    "\n\nAny number may run; each watches some partitions. No other role needs it.",
)


@click.command("sample-systems", hidden=True)
@click.option("--silent", multiple=True, help="A system that never acknowledges.")
def sample_systems(silent: tuple[str, ...]) -> None:
    """The simulated systems of `termijn up --sample`."""
    run_systems = import_attribute("services.app.wiring.simulated_systems.run_simulated_systems")
    run_until_signal(lambda stop: run_systems(settings_loader.load(), stop, silent))
