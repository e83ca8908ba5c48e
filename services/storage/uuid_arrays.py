"""Sends lists of UUIDs to PostgreSQL as a whole; psycopg writes them one UUID after the other."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

from psycopg import Connection, postgres
from psycopg.adapt import Dumper, PyFormat
from psycopg.pq import Format
from psycopg.types.array import BaseListDumper, ListDumper

_UUID: Final = postgres.types["uuid"]
_SIZE: Final = struct.pack("!i", 16)
_NULL: Final = struct.pack("!i", -1)
_header = struct.Struct("!iiiii").pack
"""Dimensions, whether there is a NULL, the type of the elements, their number, and the first index."""
_number_of = attrgetter("int")


class _UuidListDumper(Dumper):
    """Writes a list of UUIDs, or None for NULL, in the binary form of an array."""

    format = Format.BINARY
    oid = _UUID.array_oid

    def dump(self, obj: Sequence[UUID | None]) -> bytes:
        try:
            uuids = [number.to_bytes(16, "big") for number in map(_number_of, obj)]
        except AttributeError:  # some are None
            items = [_NULL if item is None else _SIZE + item.bytes for item in obj]
            return _header(1, 1, _UUID.oid, len(items), 1) + b"".join(items)
        return _header(1, 0, _UUID.oid, len(uuids), 1) + _SIZE + _SIZE.join(uuids)


class _ListDumper(ListDumper):
    """Writes a list as psycopg does, except one of UUIDs."""

    def upgrade(self, obj: list[Any], format: PyFormat) -> BaseListDumper:
        dumper = super().upgrade(obj, format)
        is_of_uuids = dumper.oid == _UUID.array_oid
        return _UuidListDumper(self.cls, self._tx) if is_of_uuids else dumper  # type: ignore[return-value]


def register(connection: Connection[Any]) -> None:
    """Let a connection send lists of UUIDs as a whole."""
    connection.adapters.register_dumper(list, _ListDumper)
