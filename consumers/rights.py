"""Rights: corrections are noted as requests come by, and open requests are answered in time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Any, Protocol

from confluent_kafka import Message
from sqlalchemy import Connection

from consumers.messages import as_bytes
from schemas.catalogue import Topic
from schemas.codec import Codec
from schemas.errors import Undecodable
from services.ledger import positions
from services.ledger.database import Ledger, database_now, in_words
from services.ledger.positions import Advance
from services.rights.answering import Answering
from services.rights.collecting import note_corrections
from services.rights.keys import RequestKeys
from services.transient import TRANSIENT

ROLE = "rights"
_REST_SECONDS = 1.0


class Observer(Protocol):
    """Who wants to know how the rounds fare."""

    def went_round(self) -> None:
        """A round was tried."""

    def able(self) -> None:
        """A round was done."""

    def tried_again(self, why: str) -> None:
        """A round was not done and is done again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrections:
    """The work on the bus: what requests for rectification correct, which no tag carries."""

    codec: Codec
    topics: Mapping[str, Topic]
    """The topics of requests, by name."""
    ledger: Ledger
    keys: RequestKeys

    def apply(self, messages: Sequence[Message], advances: Sequence[Advance]) -> None:
        """Note the corrections of a batch; what cannot be decoded is parked by the tagger, not here."""
        asked = [data for message in messages if (data := self._asked(message)) is not None]

        def write(connection: Connection) -> None:
            positions.advance(connection, ROLE, advances)
            for data in asked:
                note_corrections(
                    connection,
                    self.keys,
                    data["subject"],
                    data["request_id"],
                    data.get("corrections") or {},
                    database_now(connection),
                )

        self.ledger.write(write)

    def _asked(self, message: Message) -> Mapping[str, Any] | None:
        try:
            data = self.codec.decode(self.topics[str(message.topic())], as_bytes(message.value()))
        except Undecodable:
            return None
        return data if data["right"] == "rectification" else None


def answer(
    answering: Answering,
    measure: Callable[[], None],
    observer: Observer,
    stop: Event,
    seconds: float,
) -> None:
    """Answer requests, and measure what is owed, round after round, until `stop` is set."""
    while not stop.is_set():
        try:
            answering.round()
            measure()
        except TRANSIENT as cause:
            observer.tried_again(in_words(cause))
            stop.wait(_REST_SECONDS)
        else:
            observer.went_round()
            observer.able()
            stop.wait(seconds)


def beside(work: Callable[[], None], main: Callable[[], None], stop: Event) -> None:
    """Do `work` in a thread beside `main`; when one of them ends or fails, `stop` ends the other.

    Raises:
        Whatever one of them raised.
    """

    def run() -> None:
        try:
            work()
        finally:
            stop.set()

    with ThreadPoolExecutor(1, thread_name_prefix="answering") as pool:
        beside = pool.submit(run)
        try:
            main()
        finally:
            stop.set()
        beside.result()
