"""Print tables, lines and JSON. Data is never taken for markup, emoji or terminal control codes.

Publishers choose names and ids, and Rich would interpret `[red]` or `:id:` in them. So every table, title
and cell is created here, and invisible characters are escaped, such as `\\u001b`.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

_INVISIBLE_CATEGORIES = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode's categories of controls, format marks, halves of a pair, and ends of lines and paragraphs."""
_PLAIN_WIDTH = 160


def visible(text: str) -> str:
    """Return a text with its invisible and control characters escaped as in JSON.

    Inside a JSON string the escaped text has the same value.
    """
    if text.isprintable():
        return text
    return "".join(
        json.dumps(character)[1:-1] if _is_invisible(character) else character for character in text
    )


def say(text: object, *, err: bool = False) -> None:
    """Print text; of its control characters only line ends take effect."""
    click.echo("\n".join(visible(line) for line in str(text).split("\n")), err=err)


def say_json(row: Mapping[str, Any]) -> None:
    """Print one JSON object as a line."""
    say(json.dumps(row, ensure_ascii=False, default=str))


def show(
    rows: Iterable[Mapping[str, Any]],
    *,
    as_json: bool,
    title: str,
    columns: Sequence[str],
) -> None:
    """Print rows: one JSON object a line, or a table of the named columns."""
    if as_json:
        for row in rows:
            say_json(row)
        return
    lines = table(title, columns)
    for row in rows:
        lines.add_row(*(cell(row[column]) for column in columns))
    Console(width=None if console().is_terminal else _PLAIN_WIDTH).print(lines)


def console(*, err: bool = False) -> Console:
    """Return a console that prints text without interpreting it."""
    return Console(stderr=err, markup=False, emoji=False, highlight=False)


def table(title: str, columns: Iterable[str], *, right: Iterable[str] = ()) -> Table:
    """Return an empty table; the columns named in `right` are numbers."""
    empty = Table(title=Text(visible(title), style="table.title"), title_justify="left")
    for column in columns:
        empty.add_column(
            Text(visible(column.replace("_", " "))),
            overflow="fold",
            justify="right" if column in right else "left",
        )
    return empty


def cell(value: Any) -> Text:
    """Return a value as a table's cell."""
    return Text(_format_value(value))


def _format_value(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(_format_value(item) for item in value)
        case dict():
            return "\n".join(
                f"{visible(str(key))} {_format_value(item)}" for key, item in value.items()
            )
    return visible(str(value))


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in _INVISIBLE_CATEGORIES
