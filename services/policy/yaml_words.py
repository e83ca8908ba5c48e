"""What is wrong with a text that is not YAML, described for the person who writes it."""

from __future__ import annotations

from typing import Final

import yaml

_WORDS: Final = (
    (
        "mapping values are not allowed",
        "a colon is not allowed here; check the line above, or write the text in quotes",
    ),
    ("sequence entries are not allowed", "a list item is not allowed here; check the indentation"),
    ("character '\\t'", "a tab is not allowed here; indent with spaces"),
    ("cannot start any token", "a text cannot begin with this character; write it in quotes"),
    ("expected ',' or ']'", "a list is not closed; add a comma or ]"),
    ("expected ',' or '}'", "a map is not closed; add a comma or }"),
    ("could not find expected ':'", "a key is not followed by a colon; add it"),
    ("unexpected end of stream", "a quote is not closed; add it"),
    ("found unexpected document separator", "a quote is not closed; add it"),
    ("unknown escape character", "a backslash has a meaning in \"\"; write the text in ''"),
    ("expected escape sequence", "a backslash has a meaning in \"\"; write the text in ''"),
    ("but found another document", "a second document begins here; remove ---"),
    (
        "expected <document start>",
        "this does not belong to what is above it; check the indentation",
    ),
    ("expected <block end>", "the indentation does not fit the lines above; align it with them"),
    (
        "expected alphabetic or numeric",
        "the name after & or * is not letters, digits, - or _; change it",
    ),
    ("second occurrence", "an anchor is there twice; give one of them another name"),
    ("duplicate anchor", "an anchor is there twice; give one of them another name"),
    ("for merging", "<< must be followed by a map, such as *name"),
    ("could not determine a constructor", "a tag beginning with ! is not allowed; remove it"),
    ("could not find handle", "a tag beginning with ! is not allowed; remove it"),
    ("expected the node content", "a value is missing here; add it"),
    ("unhashable key", "a key is a list or a map; write a text"),
)
_OTHERWISE: Final = "it cannot be read here; check quotes, brackets and indentation"


def line_of(cause: yaml.YAMLError) -> int:
    """Return the line to look at, counted from 1; 0 if it is not known."""
    context = str(getattr(cause, "context", "") or "")
    begins = context.startswith(("while scanning a quoted", "while parsing a flow"))
    mark = getattr(cause, "context_mark" if begins else "problem_mark", None)
    return mark.line + 1 if mark else 0


def describe(cause: yaml.YAMLError) -> str:
    """Return what is wrong and what to do, instead of the library's sentence."""
    sentence = f"{getattr(cause, 'context', '')} {getattr(cause, 'problem', '') or cause}"
    return next((words for part, words in _WORDS if part in sentence), _OTHERWISE)
