"""What is known of a command as a table keeps it: JSON, with instants as microseconds since 1970, UTC."""

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
    """As it is kept, with the partition of its sightings, which a table does not tell."""
    value = {**asdict(watched), _PLACE: partition}
    for name in _INSTANTS:
        at: datetime | None = value[name]
        value[name] = None if at is None else to_microseconds(at)
    return value


def from_row(value: TableRow) -> WatchedCommand:
    """What was kept."""
    values = {field.name: value[field.name] for field in fields(WatchedCommand)}
    for name in _INSTANTS:
        if values[name] is not None:
            values[name] = from_microseconds(values[name])
    return WatchedCommand(**values)


def parse_place(value: TableRow) -> int:
    """The partition of its sightings."""
    partition: int = value[_PLACE]
    return partition


def parse_observation(value: Mapping[str, Any]) -> CommandObservation:
    """A sighting from the fields of its schema."""
    return CommandObservation(
        **{field.name: value[field.name] for field in fields(CommandObservation)}
    )
