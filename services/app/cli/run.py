"""One command for each role; it runs until SIGTERM or Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Callable
from threading import Event

import click

from services.app import settings_loader
from services.app.wiring.roles import ROLES, Role
from services.app.wiring.simulated_systems import run_simulated_systems


def run_until_signal(run: Callable[[Event], None]) -> None:
    """Run a role until SIGTERM or Ctrl-C."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(stop)


def _command(name: str, role: Role) -> click.Command:
    def run() -> None:
        run_until_signal(lambda stop: role.run(settings_loader.load(), stop))

    return click.Command(name, callback=run, help=role.help)


roles = [_command(name, role) for name, role in ROLES.items()]


@click.command("sample-systems", hidden=True)
@click.option("--silent", multiple=True, help="A system that never acknowledges.")
def sample_systems(silent: tuple[str, ...]) -> None:
    """The simulated systems of `termijn up --sample`."""
    run_until_signal(lambda stop: run_simulated_systems(settings_loader.load(), stop, silent))
