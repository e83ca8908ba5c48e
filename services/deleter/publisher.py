"""The outlet: commands onto the bus, signed, each to its system's own topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.codec import Codec
from schemas.topics import Topic
from services.crypto.signing import Signs
from services.deleter.dispatch import Delivery, Outgoing
from services.kafka.client import OutMessage, Sender
from services.kafka.spans import NO_SPANS, Spans
from services.kafka.trace_context import Trace, of_command


@dataclass(frozen=True, slots=True, kw_only=True)
class BusOutlet:
    """Commands onto the bus; `topics` are those of commands, by system."""

    sender: Sender
    codec: Codec
    topics: Mapping[str, Topic]
    signer: Signs
    spans: Spans = NO_SPANS

    def send(self, commands: Sequence[Outgoing]) -> Sequence[Delivery]:
        """Send all, and return once each has its delivery report; each is signed as it is issued.

        Raises:
            NoSigningKey: no key may sign now; none was sent.
        """
        messages = []
        for command in commands:
            topic = self.topics[command.system]
            value = self.codec.encode(topic, command.value, own=True)
            key = command.key.encode()
            issued_at = command.value["issued_at"]
            signed = self.signer.sign(topic.name, key, value, issued_at)
            headers = (*signed, *self._trace(command, issued_at).headers)
            messages.append(OutMessage(topic=topic.name, key=key, value=value, headers=headers))
        return [
            Delivery(topic=one.topic, partition=one.partition, offset=one.offset)
            for one in self.sender.send(messages)
        ]

    def _trace(self, command: Outgoing, issued_at: datetime) -> Trace:
        value = command.value
        attributes: dict[str, str | int] = {
            "termijn.system": command.system,
            "termijn.action": value["action"],
            "termijn.command_id": value["command_id"],
            "termijn.attempt": value["attempt"],
            "termijn.records": len(value["records"]),
        }
        if value["supersedes"]:
            attributes["termijn.supersedes"] = value["supersedes"]
        trace = of_command(value["command_id"])
        return self.spans.happened("command", trace, "producer", issued_at, issued_at, attributes)
