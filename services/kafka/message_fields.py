"""The key, value and headers of a message that Kafka delivered."""

from __future__ import annotations

from operator import methodcaller
from typing import cast

from confluent_kafka import Message

from schemas.errors import MalformedEvent

# For a name that is not UTF-8, confluent-kafka returns a list with holes and sets an error beside it. A
# call in Python no longer checks for that error once it has run often, and then the first hole crashes the
# process; a call through C always checks.
_headers_of = methodcaller("headers")


def headers(message: Message) -> list[tuple[str, bytes | None]]:
    """Return a message's headers, in order.

    Raises:
        MalformedEvent: a header's name is not UTF-8; then none of them can be read.
    """
    try:
        header_list = _headers_of(message)
    except SystemError as cause:
        # The client has kept a list with holes in it: the next call would return that, and crash.
        message.set_headers([])
        raise MalformedEvent(key="headers", why="a name is not UTF-8; none was kept") from cause
    return cast(list[tuple[str, bytes | None]], header_list or [])


def to_bytes(data: str | bytes | None) -> bytes | None:
    """Return a key, value or header as bytes."""
    return data.encode() if isinstance(data, str) else data
