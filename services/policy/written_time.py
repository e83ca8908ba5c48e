"""Times as a person writes them in a file: a date, a local time, or an instant with its offset."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from services.policy.calendar import first_valid_offset, require_utc, start_of_day

_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d)?(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)?", re.ASCII
)

_MIN_YEAR, _MAX_YEAR = 1800, 9998
"""Within them every time has a day after it, and is in the calendar in every time zone."""


@dataclass(frozen=True, slots=True)
class WrittenTime:
    """A time as it is written; without an offset it is local in the controller's time zone."""

    value: date | datetime | None
    """None is written as nothing, or as `null`: no time is known."""

    def instant(self, zone: ZoneInfo) -> datetime:
        """Return the instant, UTC; of a date the first instant of that day.

        Raises:
            ValueError: no time is known.
        """
        match self.value:
            case None:
                raise ValueError("no time is known")
            case datetime(tzinfo=None) as local:
                return first_valid_offset(local, zone)
            case datetime() as instant:
                return require_utc(instant)
        return start_of_day(self.value, zone)

    def admits(self, actual: datetime | None, zone: ZoneInfo) -> bool:
        """Return whether an actual instant is this time; a date admits every instant of that day."""
        if self.value is None or actual is None:
            return self.value is None and actual is None
        if isinstance(self.value, datetime):
            return actual == self.instant(zone)
        return actual.astimezone(zone).date() == self.value

    def __str__(self) -> str:
        if self.value is None:
            return "no time"
        return (
            self.value.isoformat(sep=" ") if isinstance(self.value, datetime) else str(self.value)
        )


def format_local(actual: datetime | None, zone: ZoneInfo) -> str:
    """Return an instant as a person writes it in a time zone, such as 2032-01-01 00:00:00."""
    return "no time" if actual is None else str(actual.astimezone(zone).replace(tzinfo=None))


def read_time(value: object) -> WrittenTime:
    """Read a time from YAML, in which a date may be text or already a date.

    Raises:
        PydanticCustomError: it is not a time.
    """
    time = value if value is None or isinstance(value, date) else _parse(value)
    if time is not None and not _MIN_YEAR <= time.year <= _MAX_YEAR:
        raise PydanticCustomError("written_time_bounds", "is not in the calendar")
    return WrittenTime(time)


def _parse(value: object) -> date | datetime:
    if isinstance(value, str):
        try:
            if _TIME.fullmatch(value):
                return datetime.fromisoformat(value)
            if len(value) == len("2032-01-01"):
                return date.fromisoformat(value)
        except ValueError:
            pass  # such as 30 February
    raise PydanticCustomError("written_time", "is not a time")


_SCHEMA = {
    "type": "string",
    "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}.*)?$",
    "examples": ["2032-01-01", "2032-01-01 14:00", "2032-01-01T13:00:00Z"],
}
TimeText = Annotated[WrittenTime, PlainValidator(read_time), WithJsonSchema(_SCHEMA)]
"""A time in a file."""
OptionalTimeText = Annotated[
    WrittenTime | None,
    PlainValidator(read_time),
    WithJsonSchema({"anyOf": [_SCHEMA, {"type": "null"}]}),
]
"""A time in a file, or None where the key is absent; `null` in the file is `WrittenTime(None)`."""
