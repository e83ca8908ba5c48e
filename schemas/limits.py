"""Limits: the one table of what a text, a list or a message may be, for all who write or read them.

Publishers, their dry run, tagger, recorder, acknowledgements, rights and agents judge by it at their edge:
what is beyond a limit is refused or parked there, with the limit as its reason, and never reaches a
database or a broker that would refuse it at every attempt. Lengths are bytes of UTF-8.
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
"""Identifiers in one field of an event. Who has more publishes several events."""
MAX_TEXT: Final = 2_000
"""A line for a person: the ground of a refusal, the detail of a dead letter."""
MAX_DECIMAL: Final = 128
"""Characters of a decimal number."""
MAX_COUNTS: Final = 1_000
"""Names that an answer counts rows by."""
MAX_CORRECTIONS: Final = 500
"""Fields that one request corrects."""
MAX_CORRECTED: Final = 400_000
"""All that one request corrects: encrypted and encoded it has to fit into one command."""
MAX_MESSAGE: Final = 900_000
"""What is put on the bus at once; a broker takes a megabyte unless it is told otherwise, frame included."""
MAX_PUBLISHED: Final = 1_000_000
"""What a publisher sends at once, headers included: what a producer takes unless it is told otherwise."""
MAX_COMMAND_RECORDS: Final = 500
"""Records that one command names."""
MAX_COMMAND: Final = 500_000
"""What the records of one command take on the bus; more of them are another command."""

_CONTROL_CATEGORIES = ("Cc", "Cs")
_controls = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def identifier_problem(text: str) -> str | None:
    """What is wrong with an identifier; nothing if it is sound. Never with the text itself."""
    return length_problem(text, MAX_IDENTIFIER) or control_character_problem(text)


def line_problem(text: str) -> str | None:
    """What is wrong with a line for a person; likewise."""
    return length_problem(text, MAX_TEXT) or control_character_problem(text)


def length_problem(text: str, max_bytes: int) -> str | None:
    """That a text takes more bytes than `most`, if it does."""
    if len(text) <= max_bytes // 4:  # no character takes more than four
        return None
    if len(text) <= max_bytes and len(text.encode("utf-8", "surrogatepass")) <= max_bytes:
        return None
    return f"is longer than {max_bytes:,} bytes"


def count_problem(things: Collection[Any], max_items: int) -> str | None:
    """That there are more of them than `most`, if there are."""
    return (
        f"has {len(things):,} items; the most is {max_items:,}" if len(things) > max_items else None
    )


def control_character_problem(text: str) -> str | None:
    """That a text holds what no identifier has and not every database can store, if it does."""
    if text.isprintable():  # what is printable has neither
        return None
    if any(unicodedata.category(character) in _CONTROL_CATEGORIES for character in text):
        return "holds a control character"
    return None


def replace_controls(text: str) -> str:
    """A text from outside as a line that every database keeps and every terminal shows."""
    return _controls.sub("\N{REPLACEMENT CHARACTER}", text)[: MAX_TEXT // 4]
