"""The commands are imported when they are called, and every one of them exists."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from services.app.cli.lazy_group import list_subcommands
from services.app.cli.main import termijn


def test_every_command_has_its_own_name() -> None:
    """A path that leads to another command would run that one."""
    commands = dict(list_subcommands(termijn))
    assert {name: command.name for name, command in commands.items()} == {
        name: name for name in commands
    }
    assert len(commands) == 37


@pytest.mark.parametrize("role", ["tagger", "recorder", "deleter", "acknowledgements"])
def test_a_role_does_not_import_what_only_others_need(role: str) -> None:
    """Importing all of it took a second of processor time and 40 MB at every start."""
    code = f"""
import sys
import services.app.cli.main, services.app.wiring.{role}
print(*{{name.partition(".")[0] for name in sys.modules}})
"""
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "confluent_kafka" in printed
    assert {"alembic", "authlib", "faust", "fpdf", "fontTools", "httpx"} & set(printed) == set()


def test_an_unknown_command_is_refused() -> None:
    """Nothing is imported for it."""
    assert termijn.get_command(click.Context(termijn), "deleters") is None
