"""Formats of texts in a policy file: each is text with a pattern, by which an editor checks it.

The patterns go into the JSON Schema only. The loader checks the same texts in its own words, so that its
messages state what to write instead.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import WithJsonSchema

_DATE_PART = "([0-9]+Y)?([0-9]+M)?([0-9]+W)?([0-9]+D)?"
_TIME_PART = "(T(?=[0-9])([0-9]+H)?([0-9]+M)?([0-9]+S)?)?"

PeriodText = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^P(?!$){_DATE_PART}{_TIME_PART}$",
            "examples": ["P2Y", "P6M", "P30D", "PT24H"],
        }
    ),
]
"""An ISO 8601 period, such as P2Y."""

TermLengthText = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^(never|P(?!$){_DATE_PART}{_TIME_PART})$",
            "examples": ["P2Y", "P6M", "P30D", "never"],
        }
    ),
]
"""An ISO 8601 period, such as P2Y, or `never`."""

ExactPeriodText = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^P(?!$)(0+[YMWD])*{_TIME_PART}$",
            "examples": ["PT24H", "PT72H"],
        }
    ),
]
"""An ISO 8601 period in hours, minutes and seconds, such as PT24H."""

DaysText = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^P(?!$)(0+[YM])*([0-9]+W)?([0-9]+D)?{_TIME_PART}$",
            "examples": ["P90D"],
        }
    ),
]
"""An ISO 8601 period without months and years, such as P90D."""

MonthDayText = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "pattern": "^(0?[1-9]|1[0-2])-(0?[1-9]|[12][0-9]|3[01])$",
            "examples": ["12-31", "08-31"],
        }
    ),
]
"""A month and a day, such as 12-31."""

ZoneText = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "pattern": "^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$",
            "examples": ["Europe/Amsterdam"],
        }
    ),
]
"""The IANA name of a time zone."""

TermText = Annotated[
    str, WithJsonSchema({"type": "string", "pattern": "^[a-z][a-z0-9-]*:[A-Za-z0-9_-]+$"})
]
"""A term of the Data Privacy Vocabulary, with the prefix of its part, such as dpv:Customer."""

SourceText = Annotated[str, WithJsonSchema({"type": "string", "pattern": r"^[^*]+\*?$"})]
"""A CloudEvents source, or the beginning of several with `*` at its end."""

_PATH_PART = r"[A-Za-z0-9_]+(\[\]|\{\})*"
PathText = Annotated[
    str, WithJsonSchema({"type": "string", "pattern": rf"^{_PATH_PART}(\.{_PATH_PART})*$"})
]
"""A field of an event's data, such as `lines[].product`."""
