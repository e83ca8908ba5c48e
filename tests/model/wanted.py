"""What the real policy functions ask for in the model's few situations."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

from schemas.cloudevents import CloudEvent
from services.policy.model import Policy, PrivacyEventKind
from services.policy.obligations import obligations_of
from services.policy.subject_state import PrivacyEvent, SubjectState, subject_state
from services.policy.tagging import ClockKey, tag
from tests.unit.policy.small import joined, small

SUBJECT = "client:1"
_HOLDING = "purpose: care, basis: contract, rule: membership, systems: [app]"
_LONGER = "title: A year after the membership\n    kind: at_most\n    term: P1Y"
POLICIES = (
    small(_HOLDING),
    small(_HOLDING, changed={_LONGER: _LONGER.replace("P1Y", "P7Y")}),
)
"""The first is wrong: a year where seven are to be kept."""


def _at(year: int, month: int = 1) -> datetime:
    return datetime(year, month, 1, tzinfo=UTC)


TICKS = (_at(2020, 12), _at(2023), _at(2029))
"""Before every term is over, when the wrong policy's is, and when both are."""
_SAID = {
    "gone": _at(2020, 2),
    "back": _at(2020, 3),
    "gone again": _at(2020, 4),
    "hold": _at(2020, 2),
    "release": _at(2020, 11),
}
"""What can happen to a person, and when it happened."""
_ACTS: dict[str, PrivacyEventKind] = {"hold": "hold-placed", "release": "hold-released"}


class _Published:
    def __init__(self, facts: frozenset[str], policy: Policy) -> None:
        self._facts, self._policy = facts, policy

    def anchor(self, clock: ClockKey) -> datetime | None:
        moved = [name for name in ("gone again", "back", "gone") if name in self._facts]
        return _SAID[moved[0]] if moved and moved[0] != "back" else None

    def subject_state(self, subject: str) -> SubjectState:
        acts = [
            PrivacyEvent(
                kind=kind, subject=subject, time=_SAID[name], source="/law", id=name, reference="h"
            )
            for name, kind in _ACTS.items()
            if name in self._facts
        ]
        return subject_state(acts, self._policy)


@cache
def due_tick(policy: int, facts: frozenset[str]) -> int | None:
    """The first tick at which the erasure of a record is asked for, by what was known of its person."""
    rules = POLICIES[policy]
    event = CloudEvent(id="1", source="/club", type="club.joined", time=_at(2020), data=joined())
    found = obligations_of(tag(event, rules), SUBJECT, _Published(facts, rules), rules)
    dues = [one.due for one in found if one.action == "erase"]
    return next((n for n, now in enumerate(TICKS) if any(due <= now for due in dues)), None)
