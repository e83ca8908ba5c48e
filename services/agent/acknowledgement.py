"""Builds acknowledgements from results; disclosed data leaves encrypted only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from schemas import topics
from schemas.codec import Codec
from services.agent.command import Command
from services.agent.result import DisclosedRecord, Result
from services.crypto import jwe

_ACKNOWLEDGEMENT_NAMESPACE = UUID("5b0f6bb4-6d0d-5a4e-9a57-7b6b0f7a1c07")


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgementBuilder:
    """Builds the acknowledgements of one system."""

    system: str
    codec: Codec
    max_bytes: int
    """The largest acknowledgement that Kafka accepts, in bytes."""

    def build(self, command: Command, result: Result, now: datetime) -> tuple[Result, bytes]:
        """Return the result as it is reported, and a message with its acknowledgement alone.

        A disclosure without a key to encrypt to, or too large for Kafka, is reported as `failed`.
        """
        disclosure = None
        if command.action == "disclose" and result.status in ("done", "partial"):
            try:
                disclosure = self._encrypt_disclosure(command, result.records)
            except ValueError:
                return self.build(
                    command,
                    _failed_result("the command has no key to encrypt the disclosure to"),
                    now,
                )
        acknowledgement = {
            "command_id": command.command_id,
            "attempt": command.attempt,
            "status": result.status,
            "counts": dict(result.counts),
            "ground": result.ground,
            "detail": result.detail,
            "at": now,
            "disclosure": disclosure,
            "checked": None
            if result.checked is None
            else {"records": len(command.records), "found": dict(result.checked)},
        }
        encoded = self._encode([acknowledgement])
        if len(encoded) > self.max_bytes and result.checked is not None:
            return self.build(command, replace(result, checked=None), now)  # a verification follows
        is_minimal = result.status == "failed" and not result.counts and result.ground is None
        if len(encoded) > self.max_bytes and not is_minimal:
            part = "the acknowledgement" if disclosure is None else "the disclosed data"
            problem = (
                f"{part} takes {len(encoded)} bytes; at most {self.max_bytes} fit into a message"
            )
            return self.build(command, _failed_result(problem), now)
        return result, encoded

    def join(self, messages: Sequence[bytes]) -> bytes:
        """Return one message with the acknowledgements of several, in their order."""
        topic = topics.acknowledgement_topic(self.system)
        return self._encode(
            [
                acknowledgement
                for message in messages
                for acknowledgement in self.codec.decode(topic, message)["acknowledgements"]
            ]
        )

    def _encode(self, acknowledgements: Sequence[Mapping[str, Any]]) -> bytes:
        """Return a message; its id follows from its content."""
        value = {"system": self.system, "acknowledgements": acknowledgements}
        content = json.dumps(value, sort_keys=True, default=str)
        value["acknowledgement_id"] = str(uuid5(_ACKNOWLEDGEMENT_NAMESPACE, content))
        return self.codec.encode(topics.acknowledgement_topic(self.system), value, trusted=True)

    def _encrypt_disclosure(self, command: Command, records: Sequence[DisclosedRecord]) -> str:
        content = {
            "command_id": command.command_id,
            "system": self.system,
            "records": [asdict(record) for record in records],
        }
        return jwe.encrypt(content, command.disclose_to or "", command.command_id)


def _failed_result(detail: str) -> Result:
    return Result(status="failed", detail=detail)
