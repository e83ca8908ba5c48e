"""Sends the acknowledgements that wait in the inbox, until Kafka has each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from time import sleep
from typing import Protocol

from schemas.errors import TermijnError
from services.agent.inbox import Inbox, OutgoingAcknowledgement
from services.agent.result import failed_result
from services.kafka.batch_bisection import BatchBisection
from services.kafka.error_classification import describe_without_values

_BATCH_SIZE = 500
_RETRY_SECONDS = 0.1


class AcknowledgementPublisher(Protocol):
    """Publishes acknowledgements on Kafka."""

    def send(self, acknowledgements: Sequence[OutgoingAcknowledgement]) -> None:
        """Sign and send all of them; return once Kafka has each, and raise when one fails."""


class SenderObserver(Protocol):
    """Receives what the sender did: metrics and logs."""

    def ready(self) -> None:
        """Acknowledgements are sent."""

    def acknowledgements_sent(self, count: int) -> None:
        """That many acknowledgements were sent."""

    def send_failed(self, reason: str) -> None:
        """Acknowledgements were not sent; they are sent again."""


@dataclass(slots=True, kw_only=True)
class AcknowledgementSender:
    """Sends what is not sent yet. `now` is this machine's clock, UTC."""

    inbox: Inbox
    publisher: AcknowledgementPublisher
    observer: SenderObserver
    now: Callable[[], datetime]
    has_failed: bool = field(default=False, init=False)
    """Whether the last attempt to send failed."""

    def send(self) -> int:
        """Send the acknowledgements that are not sent yet, and return how many were."""
        try:
            acknowledgements = self.inbox.outgoing(_BATCH_SIZE)
            BatchBisection(pause=_pause).process(
                acknowledgements, self._deliver, self._replace_by_failed
            )
            self.observer.ready()
        except TermijnError as cause:
            self.observer.send_failed(str(cause))
            self.has_failed = True
            return 0
        self.has_failed = False
        return len(acknowledgements)

    def _deliver(self, acknowledgements: Sequence[OutgoingAcknowledgement]) -> None:
        if acknowledgements:
            self.publisher.send(acknowledgements)
            self.inbox.mark_delivered(acknowledgements)
            self.observer.acknowledgements_sent(len(acknowledgements))

    def _replace_by_failed(
        self, acknowledgement: OutgoingAcknowledgement, cause: Exception
    ) -> None:
        """Report `failed` in the place of an acknowledgement that Kafka always rejects.

        So it keeps no other one back. If Kafka rejects `failed` as well, nothing is reported: the
        controller repeats the command, and escalates it.
        """
        reason = describe_without_values(cause)
        self.observer.send_failed(f"command {acknowledgement.command_id}: {reason}")
        with self.inbox.ledger.transaction() as connection:
            entry = self.inbox.entry(connection, acknowledgement.command_id)
            if entry is None or entry.answer != acknowledgement.value:
                return
            command = self.inbox.command(entry).command
            failed = failed_result(f"its acknowledgement could not be sent ({reason})")
            substitute = self.inbox.complete(entry, command, failed, self.now())
            if entry.status == "failed":
                substitute = replace(entry, delivered=True, sealed=None)
            self.inbox.put(connection, substitute)


def _pause() -> None:
    sleep(_RETRY_SECONDS)
