"""Sends lists of UUIDs or numbers to PostgreSQL as a whole, not element by element as psycopg does."""

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
_NUMBERS: Final = {postgres.types[name].array_oid for name in ("int2", "int4", "int8")}
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


class _NumberListDumper(ListDumper):
    """Writes a list of whole numbers as text, without looking for characters to escape."""

    def dump(self, obj: Sequence[int | None]) -> bytes:
        return ("{" + ",".join(["NULL" if n is None else str(n) for n in obj]) + "}").encode()


class _ListDumper(ListDumper):
    """Writes a list as psycopg does, except one of UUIDs or of whole numbers."""

    def upgrade(self, obj: list[Any], format: PyFormat) -> BaseListDumper:
        dumper = super().upgrade(obj, format)
        if dumper.oid == _UUID.array_oid:
            return _UuidListDumper(self.cls, self._tx)  # type: ignore[return-value]
        if dumper.oid in _NUMBERS:
            numbers = _NumberListDumper(self.cls, self._tx)
            numbers.oid = dumper.oid
            return numbers
        return dumper


def register(connection: Connection[Any]) -> None:
    """Let a connection send lists of UUIDs or whole numbers as a whole."""
    connection.adapters.register_dumper(list, _ListDumper)
