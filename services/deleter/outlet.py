"""The outlet: commands onto the bus, signed, each to its system's own topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from schemas.catalogue import Topic
from schemas.codec import Codec
from services.bus import OutMessage, Sender
from services.deleter.relaying import Delivery, Outgoing
from services.vault.signing import Signs


@dataclass(frozen=True, slots=True, kw_only=True)
class BusOutlet:
    """Commands onto the bus; `topics` are those of commands, by system."""

    sender: Sender
    codec: Codec
    topics: Mapping[str, Topic]
    signer: Signs

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
            headers = self.signer.sign(topic.name, key, value, command.value["issued_at"])
            messages.append(OutMessage(topic=topic.name, key=key, value=value, headers=headers))
        return [
            Delivery(topic=one.topic, partition=one.partition, offset=one.offset)
            for one in self.sender.send(messages)
        ]
