"""The outlet: commands onto the bus, each to its system's own topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from schemas.catalogue import Topic
from schemas.codec import Codec
from services.bus import OutMessage, Sender
from services.deleter.relaying import Delivery, Outgoing


@dataclass(frozen=True, slots=True, kw_only=True)
class BusOutlet:
    """Commands onto the bus; `topics` are those of commands, by system."""

    sender: Sender
    codec: Codec
    topics: Mapping[str, Topic]

    def send(self, commands: Sequence[Outgoing]) -> Sequence[Delivery]:
        """Send all, and return once each has its delivery report."""
        messages = []
        for command in commands:
            topic = self.topics[command.system]
            value = self.codec.encode(topic, command.value, own=True)
            messages.append(OutMessage(topic=topic.name, key=command.key.encode(), value=value))
        return [
            Delivery(topic=one.topic, partition=one.partition, offset=one.offset)
            for one in self.sender.send(messages)
        ]
