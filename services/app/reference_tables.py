"""The tables of commands, settings, metrics and keys on the pages, made from what the code runs on.

A page has a table between two comments, `<!-- generated: settings -->` and `<!-- end -->`, and
`termijn deploy write DIRECTORY --pages ROOT` writes what is between them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import click

from schemas.errors import TermijnError
from services.app.cli.lazy_group import list_subcommands
from services.app.policy_tables import act_rows, key_rows
from services.app.settings_loader import list_settings
from services.operations.metric_catalogue import CATALOGUE

PAGES = (
    Path("services/app/README.md"),
    Path("services/operations/README.md"),
    Path("services/policy/README.md"),
)
"""The pages that have such tables, below the root of the source tree."""
_MARKED = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_MAX_SUMMARY_CHARS = 300


class UnknownTable(TermijnError):
    """A page asks for a table that does not exist; the page was not written.

    The author of the page fixes the name in its `<!-- generated: NAME -->`.
    """

    def __init__(self, name: str, tables: Iterable[str]) -> None:
        super().__init__(f"there is no table {name!r}; the tables are {', '.join(tables)}")


def reference_tables(program: click.Group) -> Mapping[str, str]:
    """Return every table in Markdown, by its name in the comment on the page."""
    return {
        "commands": _table(("command", "what it does"), _commands(program)),
        "settings": _table(("variable", "key in the file", "default", "meaning"), _settings()),
        "metrics": _table(("metric", "labels", "meaning"), _metrics()),
        "policy-acts": _table(("act", "required fields"), act_rows()),
        **{name: _table(("key", "default", "meaning"), rows) for name, rows in key_rows().items()},
    }


def fill_tables(page: str, tables: Mapping[str, str]) -> str:
    """Return a page with the tables between its comments.

    Raises:
        UnknownTable: it asks for one that does not exist.
    """

    def fill(match: re.Match[str]) -> str:
        if match[2] not in tables:
            raise UnknownTable(match[2], tables)
        return f"{match[1]}\n{tables[match[2]]}\n{match[3]}"

    return _MARKED.sub(fill, page)


def filled_pages(root: Path, tables: Mapping[str, str]) -> Mapping[Path, str]:
    """Return the pages of a source tree with their tables, by their path below its root.

    Raises:
        UnknownTable: one asks for a table that does not exist.
        OSError: `root` is not a source tree.
    """
    return {page: fill_tables((root / page).read_text("utf-8"), tables) for page in PAGES}


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = (head, ["---"] * len(head), *rows)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines).replace("|  |", "| |")


def _commands(group: click.Group, words: tuple[str, ...] = ("termijn",)) -> Iterator[Sequence[str]]:
    for name, command in list_subcommands(group):
        path = (*words, name)
        if command.hidden:
            continue
        if not isinstance(command, click.Group) or command.invoke_without_command:
            summary = command.get_short_help_str(_MAX_SUMMARY_CHARS).removesuffix(".")
            yield f"`{' '.join(path)}`", summary.replace("|", "\\|")
        if isinstance(command, click.Group):
            yield from _commands(command, path)


def _settings() -> Iterator[Sequence[str]]:
    for setting in list_settings({}):
        default = f"`{setting.value}`" if setting.value else ""
        yield f"`{setting.variable}`", f"`{setting.key}`", default, setting.meaning


def _metrics() -> Iterator[Sequence[str]]:
    for metric in CATALOGUE:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        yield f"`{metric.name}`", labels, metric.help.removesuffix(".")
