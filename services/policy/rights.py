"""The rights of data subjects (GDPR 15-18, 20), and how a request for each is carried out and answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from services.policy.model import Right
from services.policy.reasons import ACCESS_REQUESTED, PORTABILITY_REQUESTED, RECTIFICATION_REQUESTED

AnsweringAction = Literal["erase", "restrict", "disclose", "rectify"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RightSpec:
    """How a request for one right is answered."""

    action: AnsweringAction
    """The action of the commands that carry the request out."""
    reason: str | None = None
    """Why each of the person's records gets a command; None where `rights_effects` decides."""
    discloses: bool = False
    """The answer is a package with the person's data, which an operator delivers."""


RIGHTS: Final[Mapping[Right, RightSpec]] = {
    "erasure": RightSpec(action="erase"),
    "restriction": RightSpec(action="restrict"),
    "access": RightSpec(action="disclose", reason=ACCESS_REQUESTED, discloses=True),
    "portability": RightSpec(action="disclose", reason=PORTABILITY_REQUESTED, discloses=True),
    "rectification": RightSpec(action="rectify", reason=RECTIFICATION_REQUESTED),
}
