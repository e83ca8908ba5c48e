"""The outlet: answers onto the bus, signed by the system, each with the key of its command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas import topics
from services.agent.inbox import Outgoing
from services.crypto.signing import Signs
from services.kafka.client import OutMessage, Sender
from services.kafka.trace_context import of_command


@dataclass(frozen=True, slots=True, kw_only=True)
class BusAnswers:
    """The answers of one system."""

    system: str
    sender: Sender
    signer: Signs
    now: Callable[[], datetime]

    def send(self, answers: Sequence[Outgoing]) -> None:
        """Send all, in order. Raises `Undelivered` and `NoSigningKey`."""
        topic = topics.acknowledgements(self.system).name
        self.sender.send(
            [
                OutMessage(
                    topic=topic,
                    key=one.key,
                    value=one.value,
                    headers=(
                        *self.signer.sign(topic, one.key, one.value, self.now()),
                        *of_command(one.command_id).headers,
                    ),
                )
                for one in answers
            ]
        )
