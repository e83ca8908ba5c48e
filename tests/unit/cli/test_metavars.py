"""The help of every command describes a value in the words of its reader."""

from __future__ import annotations

from collections.abc import Iterator

import click

from services.app.cli.lazy_group import list_subcommands
from services.app.cli.main import termijn


def list_metavars(command: click.Command, name: str) -> Iterator[tuple[str, str]]:
    """Yield each parameter of a command and of those under it, with the metavar of its value."""
    context = click.Context(command)
    for parameter in command.params:
        yield f"{name} {parameter.name}", parameter.make_metavar(context)
    if isinstance(command, click.Group):
        for word, subcommand in list_subcommands(command):
            yield from list_metavars(subcommand, f"{name} {word}")


def test_no_metavar_is_the_name_of_a_function() -> None:
    """Click shows the name of the parser where an option has no metavar."""
    metavars = dict(list_metavars(termijn, "termijn"))
    assert metavars["termijn commands resend since"] == "INSTANT"
    assert {name: text for name, text in metavars.items() if text.startswith("PARSE_")} == {}
