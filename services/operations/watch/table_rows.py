"""The rows of the watch's table: a command as JSON, with instants as microseconds since 1970, UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from schemas.instants import from_microseconds, to_microseconds
from services.operations.watch.sightings import CommandObservation, WatchedCommand

TableRow = dict[str, Any]
_INSTANTS = ("sent_at", "answered_at", "failed_at")
_PLACE = "partition"


def to_row(watched: WatchedCommand, partition: int) -> TableRow:
    """Return a command's row, with the partition of its observations, which the table does not have."""
    value = {**asdict(watched), _PLACE: partition}
    for name in _INSTANTS:
        at: datetime | None = value[name]
        value[name] = None if at is None else to_microseconds(at)
    return value


def from_row(value: TableRow) -> WatchedCommand:
    """Return the command of a row."""
    values = {field.name: value[field.name] for field in fields(WatchedCommand)}
    for name in _INSTANTS:
        if values[name] is not None:
            values[name] = from_microseconds(values[name])
    return WatchedCommand(**values)


def parse_place(value: TableRow) -> int:
    """Return the partition of a row's observations."""
    partition: int = value[_PLACE]
    return partition


def parse_observation(value: Mapping[str, Any]) -> CommandObservation:
    """Return the observation from the fields of its schema."""
    return CommandObservation(
        **{field.name: value[field.name] for field in fields(CommandObservation)}
    )
