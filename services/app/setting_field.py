"""Declare a setting: a dataclass field with its variable, meaning and parser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import Any

from schemas.errors import TermijnError
from services.kafka.addresses import database_url_problem, secret_problem

_LIFETIME = 100 * 365.25 * 86_400
"""Seconds in a hundred years."""
_MAX_BATCH = 1_000_000  # messages that the Kafka client takes at once
_MAX_FACTOR = 1_000
_MAX_PER_HOUR = 1_000_000_000
_MAX_SECONDS = 315_576_000.0  # ten years; a longer wait is a typing error
_MAX_WAIT_SECONDS = 3_600.0  # the Kafka client counts milliseconds in 32 bits


class InvalidSetting(TermijnError):
    """A setting has an unusable value; nothing was started.

    The operator fixes the variable, or the key of the settings file, that the error names.
    """

    def __init__(self, place: str, key: str, why: str) -> None:
        super().__init__(f"{place}: {key}: {why}")
        self.where = place
        self.key = key


def setting(  # returns a dataclass field, as `field` itself does
    variable: str,
    default: Any,
    meaning: str,
    parse: Callable[[str], Any] = str,
    *,
    secret: bool = False,
    in_file: bool = True,
) -> Any:
    """Declare a setting: a field of a frozen dataclass, with its environment variable.

    `parse` raises ValueError with what the value must be. A secret is never shown; a setting that is not
    `in_file` comes from the environment only.
    """
    metadata = {
        "variable": variable,
        "meaning": meaning,
        "parse": parse,
        "secret": secret,
        "in_file": in_file,
    }
    return field(default=default, metadata=metadata, repr=not secret)


def colon_separated_paths(text: str) -> tuple[Path, ...]:
    """Parse paths that are separated by colons."""
    return tuple(Path(part) for part in text.split(":") if part)


def _integer(text: str, minimum: int, maximum: int) -> int:
    why = f"must be a whole number from {minimum} to {maximum:,}"
    try:
        value = int(text)
    except ValueError as cause:
        raise ValueError(why) from cause
    if not minimum <= value <= maximum:
        raise ValueError(why)
    return value


def non_negative_int(text: str) -> int:
    """Parse a number of commands an hour."""
    return _integer(text, 0, _MAX_PER_HOUR)


def positive_int(text: str) -> int:
    """Parse the size of a batch."""
    return _integer(text, 1, _MAX_BATCH)


def surge_factor(text: str) -> float:
    """Parse how often as much as was forecast may be due; 0 means any amount."""
    why = f"must be 0, or a number from 1 to {_MAX_FACTOR:,}"
    try:
        value = float(text)
    except ValueError as cause:
        raise ValueError(why) from cause
    if value != 0 and not 1 <= value <= _MAX_FACTOR:
        raise ValueError(why)
    return value


def port_number(text: str) -> int:
    """Parse a TCP port; 0 means the default."""
    return _integer(text, 0, 2**16 - 1)


def positive_seconds(text: str) -> float:
    """Parse a length of time greater than 0, in seconds."""
    value = seconds(text)
    if value == 0:
        raise ValueError("must be a number of seconds greater than 0")
    return value


def seconds(text: str) -> float:
    """Parse a length of time, in seconds: 0 to ten years."""
    try:
        value = float(text)
    except ValueError as cause:
        raise ValueError("must be a number of seconds") from cause
    if not 0 <= value < float("inf"):
        raise ValueError("must be a number of seconds, not negative and finite")
    if value > _MAX_SECONDS:
        raise ValueError("must be at most ten years, in seconds")
    return value


def wait_seconds(text: str) -> float:
    """Parse the maximum wait of the Kafka client, in seconds."""
    value = seconds(text)
    if value > _MAX_WAIT_SECONDS:
        raise ValueError("must be at most an hour, in seconds")
    return value


def lifetime_seconds(text: str) -> float:
    """Parse the maximum age of an event, in seconds."""
    value = positive_seconds(text)
    if value > _LIFETIME:
        raise ValueError("must be at most a hundred years, in seconds")
    return value


def database_url(text: str) -> str:
    """Check that Termijn can use a database's URL; it may hold a password."""
    if why := database_url_problem(text, secret=True):
        raise ValueError(why)
    return text


def shown_url(text: str) -> str:
    """Check that a URL holds no password, since logs and `termijn settings` show it."""
    if why := secret_problem(text):
        raise ValueError(f"{why}, but is shown in logs; use the setting for the login instead")
    return text


def one_of(*values: str) -> Callable[[str], str]:
    """Make a parser that accepts these values only."""

    def parse(text: str) -> str:
        if text not in values:
            raise ValueError(f"must be one of {', '.join(values)}")
        return text

    return parse
