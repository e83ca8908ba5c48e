"""The error of an event that cannot be tagged under the policy."""

from __future__ import annotations

from typing import Literal

from schemas.errors import TermijnError

RejectionReason = Literal[
    "unknown-type",
    "unknown-source",
    "unknown-subject",
    "missing-field",
    "invalid-field",
    "impossible-time",
    "identity-conflict",
]


class TaggingFailed(TermijnError):
    """The event cannot be tagged under the policy; it is parked as a dead letter.

    The operator fixes the publisher or the policy and replays it, or discards it with a reason.
    """

    def __init__(self, reason: RejectionReason, key: str, why: str) -> None:
        super().__init__(f"{key}: {why}")
        self.reason: RejectionReason = reason
        self.key = key
        self.why = why
