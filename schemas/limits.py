"""Limits on texts, lists and messages, the same for every role that writes or reads them.

Publishers, their dry run, tagger, recorder, acknowledgements, rights and agents check them as data comes
in. What exceeds a limit is refused or parked there, with the limit as the reason, and never reaches a
database or a broker that would refuse it at every attempt. Lengths are in bytes of UTF-8.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from typing import Any, Final

MAX_IDENTIFIER: Final = 512
"""An id, a source, a subject's id, a business key, a request, an import, an answer's id: PostgreSQL keeps
2,704 bytes in an index row, and some rows have two of these."""
MAX_LIST: Final = 1_000
"""Identifiers in one field of an event. A publisher with more publishes several events."""
MAX_TEXT: Final = 2_000
"""A text for people: the ground of a refusal, the detail of a dead letter."""
MAX_DECIMAL: Final = 128
"""Characters of a decimal number."""
MAX_ACKNOWLEDGEMENTS: Final = 1_000
"""Acknowledgements in one message."""
MAX_COUNTS: Final = 1_000
"""Names by which an acknowledgement counts rows."""
MAX_CORRECTIONS: Final = 500
"""Fields that one request corrects."""
MAX_CORRECTED: Final = 400_000
"""All corrections of one request, which must fit into one command, encrypted and encoded."""
MAX_MESSAGE: Final = 900_000
"""A message; by default a broker accepts a megabyte, frame included."""
MAX_PUBLISHED: Final = 1_000_000
"""A publisher's message, headers included; a producer's default."""
MAX_COMMAND_RECORDS: Final = 500
"""Records in one command, and in all commands of one message."""
MAX_COMMAND: Final = 500_000
"""Bytes of the records of one command, and of all commands of one message; further ones get another."""

_CONTROL_CATEGORIES = ("Cc", "Cs")
_controls = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def identifier_problem(text: str) -> str | None:
    """Return the problem of an identifier, without the text itself; None if it has none."""
    return length_problem(text, MAX_IDENTIFIER) or control_character_problem(text)


def line_problem(text: str) -> str | None:
    """Return the problem of a text for people, without the text itself; None if it has none."""
    return length_problem(text, MAX_TEXT) or control_character_problem(text)


def length_problem(text: str, max_bytes: int) -> str | None:
    """Return that a text has more than `max_bytes` bytes; None if it has not."""
    if len(text) <= max_bytes // 4:  # no character takes more than four
        return None
    if len(text) <= max_bytes and len(text.encode("utf-8", "surrogatepass")) <= max_bytes:
        return None
    return f"is longer than {max_bytes:,} bytes"


def count_problem(things: Collection[Any], max_items: int) -> str | None:
    """Return that there are more than `max_items` items; None if there are not."""
    return (
        f"has {len(things):,} items; the most is {max_items:,}" if len(things) > max_items else None
    )


def control_character_problem(text: str) -> str | None:
    """Return that a text has a control character, which not every database stores; None if it has none."""
    if text.isprintable():  # the usual case, and faster
        return None
    if any(unicodedata.category(character) in _CONTROL_CATEGORIES for character in text):
        return "holds a control character"
    return None


def replace_controls(text: str) -> str:
    """Return a text from outside with control characters replaced, cut to a length that databases store."""
    return _controls.sub("\N{REPLACEMENT CHARACTER}", text)[: MAX_TEXT // 4]
