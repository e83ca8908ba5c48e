"""A document as data: headings, paragraphs, lists and tables; written as Markdown or as HTML."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, Literal, get_args

DocumentFormat = Literal["markdown", "html"]
FORMATS: Final[tuple[DocumentFormat, ...]] = get_args(DocumentFormat)

_MARKUP = re.compile(r"([\\`*_\[\]<>|~&])")
"""What Markdown can take for markup inside a line."""
_LINE_MARKUP = re.compile(r"^(\d*)([#+=.)-])")
"""What Markdown can take for markup at the beginning of a line."""
_STYLE: Final = (
    "body { font-family: sans-serif; max-width: 80em; margin: 2em auto; padding: 0 1em; } "
    "table { border-collapse: collapse; width: 100%; } "
    "th, td { border: 1px solid #888; padding: 0.3em 0.5em; text-align: left; vertical-align: top; }"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of texts under the texts of a header."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BulletList:
    """A list of texts."""

    items: Sequence[str]


Block = str | Table | BulletList
"""A paragraph, a table or a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading with what is under it."""

    heading: str
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A title, and what is under it; all texts are plain text, without markup."""

    title: str
    language: str
    """Language tag (BCP 47), such as en."""
    blocks: Sequence[Block] = ()
    sections: Sequence[Section] = ()


def write_document(document: Document, format_: DocumentFormat) -> str:
    """Return a document as text in a format, with a line end after its last line."""
    return _WRITERS[format_](document)


def _markdown(document: Document) -> str:
    parts = [f"# {_plain(document.title)}", *map(_markdown_block, document.blocks)]
    for section in document.sections:
        parts += [f"## {_plain(section.heading)}", *map(_markdown_block, section.blocks)]
    return "\n\n".join(parts) + "\n"


def _markdown_block(block: Block) -> str:
    if isinstance(block, BulletList):
        return "\n".join(f"- {_line(item)}" for item in block.items)
    if isinstance(block, Table):
        lines = [block.columns, ["---"] * len(block.columns)]
        cells = [[_plain(cell) for cell in row] for row in block.rows]
        return "\n".join(f"| {' | '.join(row)} |" for row in (*lines, *cells))
    return _line(block)


def _plain(text: str) -> str:
    """Return a text as one line that Markdown shows as it is."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


def _line(text: str) -> str:
    """Return the same for a line of its own, which could also begin a heading or a list."""
    return _LINE_MARKUP.sub(r"\1\\\2", _plain(text))


def _html(document: Document) -> str:
    title = escape(document.title)
    body = "\n".join(_html_lines(document))
    return (
        f'<!DOCTYPE html>\n<html lang="{escape(document.language)}">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _html_lines(document: Document) -> Iterator[str]:
    yield f"<h1>{escape(document.title)}</h1>"
    for block in document.blocks:
        yield from _html_block(block)
    for section in document.sections:
        yield f"<h2>{escape(section.heading)}</h2>"
        for block in section.blocks:
            yield from _html_block(block)


def _html_block(block: Block) -> Iterator[str]:
    if isinstance(block, BulletList):
        yield "<ul>"
        yield from (f"<li>{escape(item)}</li>" for item in block.items)
        yield "</ul>"
    elif isinstance(block, Table):
        yield "<table>"
        yield f"<thead>{_html_row(block.columns, 'th')}</thead>"
        yield "<tbody>"
        yield from (_html_row(row, "td") for row in block.rows)
        yield "</tbody>"
        yield "</table>"
    else:
        yield f"<p>{escape(block)}</p>"


def _html_row(cells: Sequence[str], tag: Literal["td", "th"]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"


_WRITERS: Final[Mapping[DocumentFormat, Callable[[Document], str]]] = {
    "markdown": _markdown,
    "html": _html,
}
