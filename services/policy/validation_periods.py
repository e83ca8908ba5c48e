"""Check the periods of a policy; an error suggests what was most likely meant."""

from __future__ import annotations

import re
from collections.abc import Iterator

from services.policy.calendar import parse_period
from services.policy.yaml_source import DocumentPath, PolicyError

_SPOKEN_PERIOD = re.compile(
    r"P? ?([0-9]{1,4}) ?"
    r"(y|years?|jaar|m|months?|maand(?:en)?|w|weeks?|weken|d|days?|dag(?:en)?|h|hours?|uur)",
    re.IGNORECASE,
)
"""A period in English or Dutch, such as 2 years."""


def check_period(
    path: DocumentPath, text: str, *, exact: bool = False, months: bool = True
) -> Iterator[PolicyError]:
    """Return what is wrong with a period: with one that must be `exact`, or have no `months`."""
    try:
        value = parse_period(text)
    except ValueError as cause:
        yield path, f"{cause}{_period_meant(text)}"
        return
    if exact and not value.is_exact:
        yield path, f"{text!r} is not an exact period such as PT24H: a day's length varies"
    if value.months and not months:
        yield path, f"{text!r} is not a period in days such as P90D"


def _period_meant(text: str) -> str:
    """Return the end of an error that suggests the period which a text most likely means."""
    words = _SPOKEN_PERIOD.fullmatch(text)
    if words is None:
        return ""
    count, unit = words.group(1), words.group(2).lower()[0]
    written = f"PT{count}H" if unit in "hu" else f"P{count}{'Y' if unit == 'j' else unit.upper()}"
    return "" if written == text else f"; did you mean {written}?"
