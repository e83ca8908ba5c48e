"""How the command line takes and shows things: instants, tables, one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from schemas import events
from schemas.errors import MalformedEvent
from schemas.events import rfc3339
from services.policy.calendar import period

_PLAIN_WIDTH = 160
TAKES_KEY_IDS = {"ignore_unknown_options": True, "help_option_names": ["--help"]}
"""The settings of a command that takes ids of keys: one in 64 begins with a hyphen and is no option."""


def instant(text: str) -> datetime:
    """An option's value as an RFC 3339 instant with its offset, UTC."""
    try:
        return events.instant(text)
    except MalformedEvent as cause:
        why = f"{text!r} is not an instant such as 2026-03-15T13:00:00Z: {cause.why}"
        raise click.BadParameter(why) from cause


def length(_: click.Context, __: click.Parameter, text: str) -> timedelta:
    """An option's value as a length of time such as P7D or PT24H."""
    try:
        found = period(text)
    except ValueError as cause:
        raise click.BadParameter(str(cause)) from cause
    if found.months:
        raise click.BadParameter(f"{text!r}: months have no fixed length")
    return timedelta(days=found.days) + found.exact


def as_text(at: datetime | None) -> str | None:
    """An instant as the contract writes it, or nothing."""
    return None if at is None else rfc3339(at)


def show(
    rows: Iterable[Mapping[str, Any]], *, as_json: bool, title: str, columns: Sequence[str]
) -> None:
    """Print rows: one JSON object a line, or a table of the named columns."""
    if as_json:
        for row in rows:
            click.echo(json.dumps(row, ensure_ascii=False))
        return
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in columns))
    console = Console()
    Console(width=None if console.is_terminal else _PLAIN_WIDTH).print(table)


def _cell(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(str, value))
        case dict():
            return "\n".join(f"{key} {_cell(one)}" for key, one in value.items())
    return str(value)
