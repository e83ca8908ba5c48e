"""Publishes acknowledgements on Kafka, signed by the system, many in one message with their key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from schemas import limits, topics
from services.agent.acknowledgement import AcknowledgementBuilder
from services.agent.inbox import OutgoingAcknowledgement
from services.crypto.signing import SignerProtocol
from services.kafka.producer import KafkaProducer, OutgoingMessage
from services.kafka.trace_context import trace_of_command

_MAX_TOGETHER: Final = limits.MAX_COMMAND_RECORDS
"""Acknowledgements in one message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaAcknowledgementPublisher:
    """Publishes the acknowledgements of one system."""

    answers: AcknowledgementBuilder
    sender: KafkaProducer
    signer: SignerProtocol
    now: Callable[[], datetime]

    def send(self, answers: Sequence[OutgoingAcknowledgement]) -> None:
        """Send all, those with one key in order. Raises `DeliveryFailed` and `NoSigningKey`."""
        topic = topics.acknowledgement_topic(self.answers.system).name
        messages = []
        for group in _group_by_key(answers, min(limits.MAX_COMMAND, self.answers.max_bytes)):
            key, value = group[0].key, group[0].value
            if len(group) > 1:
                value = self.answers.join([answer.value for answer in group])
            headers = self.signer.sign(topic, key, value, self.now())
            if len(group) == 1:
                headers = (*headers, *trace_of_command(group[0].command_id).headers)
            messages.append(OutgoingMessage(topic=topic, key=key, value=value, headers=headers))
        self.sender.send(messages)


def _group_by_key(
    answers: Sequence[OutgoingAcknowledgement], max_bytes: int
) -> Iterator[Sequence[OutgoingAcknowledgement]]:
    """Yield the acknowledgements by key, in their order, as many together as one message may have."""
    groups: dict[bytes | None, list[OutgoingAcknowledgement]] = {}
    sizes: dict[bytes | None, int] = {}
    for answer in answers:
        group, size = groups.setdefault(answer.key, []), len(answer.value)
        is_full = len(group) == _MAX_TOGETHER
        if group and (is_full or sizes[answer.key] + size > max_bytes):
            yield group
            group = groups[answer.key] = []
            sizes[answer.key] = 0
        group.append(answer)
        sizes[answer.key] = sizes.get(answer.key, 0) + size
    yield from groups.values()
