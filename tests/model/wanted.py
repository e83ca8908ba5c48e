"""What the real policy functions require in the few situations of the model."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

from schemas.cloudevents import CloudEvent
from services.policy.event_type import PrivacyEventKind
from services.policy.model import Policy
from services.policy.obligations import obligations_of
from services.policy.subject_state import PrivacyEvent, SubjectState, subject_state
from services.policy.tagging import tag
from tests.unit.policy.small import Ended, joined, small

_HOLDING = "purpose: care, basis: contract, rule: membership, systems: [app]"
_YEAR = "title: A year after the membership\n    kind: at_most\n    term: P1Y"
POLICIES = (small(_HOLDING), small(_HOLDING, changed={_YEAR: _YEAR.replace("P1Y", "P7Y")}))
"""The first is wrong: a year where seven are to be kept."""


def _at(year: int, month: int = 1) -> datetime:
    return datetime(year, month, 1, tzinfo=UTC)


TICKS = (_at(2020, 12), _at(2023), _at(2029))
"""Before every term is over, when the wrong policy's is, and when both are."""
_GONE = {"gone again": _at(2020, 4), "back": None, "gone": _at(2020, 2)}
"""When a membership ended, by the latest fact about it."""
_ACTS: dict[str, tuple[PrivacyEventKind, datetime]] = {
    "hold": ("hold-placed", _at(2020, 2)),
    "release": ("hold-released", _at(2020, 11)),
}


class _Published(Ended):
    def __init__(self, facts: frozenset[str], policy: Policy) -> None:
        end = next((_GONE[fact] for fact in _GONE if fact in facts), None)
        super().__init__({"membership": end} if end else {})
        self._facts, self._policy = facts, policy

    def subject_state(self, subject: str) -> SubjectState:
        acts = [
            PrivacyEvent(kind=kind, subject=subject, time=at, source="/law", id=act, reference="h")
            for act, (kind, at) in _ACTS.items()
            if act in self._facts
        ]
        return subject_state(acts, self._policy)


@cache
def due_tick(policy: int, facts: frozenset[str]) -> int | None:
    """Return the first tick at which the facts known of a person require the erasure of a record."""
    rules = POLICIES[policy]
    event = CloudEvent(id="1", source="/club", type="club.joined", time=_at(2020), data=joined())
    due = obligations_of(tag(event, rules), "client:1", _Published(facts, rules), rules)
    dues = [obligation.due for obligation in due if obligation.action == "erase"]
    return next((n for n, now in enumerate(TICKS) if any(due <= now for due in dues)), None)
