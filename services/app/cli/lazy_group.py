"""A group of commands whose modules are imported when the command is called.

A role that starts imports only what it needs, and `termijn status` no brokers' clients or PDF library.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import click


def import_attribute(path: str) -> Any:
    """Import `package.module.attribute` and return the attribute."""
    module, _, attribute = path.rpartition(".")
    return getattr(import_module(module), attribute)


class LazyGroup(click.Group):
    """A group that knows its commands by their import paths."""

    def __init__(self, *arguments: Any, paths: Mapping[str, str], **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._paths = dict(paths)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, sorted; imports none."""
        return sorted(self._paths)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; `None` if the group has none of that name."""
        path = self._paths.get(cmd_name)
        command = import_attribute(path) if path else None
        assert command is None or isinstance(command, click.Command), path
        return command


def list_subcommands(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """Yield the commands of a group by their names, sorted."""
    context = click.Context(group)
    for name in group.list_commands(context):
        if command := group.get_command(context, name):
            yield name, command
