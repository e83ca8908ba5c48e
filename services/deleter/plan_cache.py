"""A cache of plans: records whose steps are the same are planned once, as most of a chunk's are.

Steps follow from a record's holdings, from where their clocks stand, and from the instants that the event
itself fixes. Two records are alike when their holdings say the same, hang on the same clocks, and start
at the same instants, where a start counts only once something that follows from it is due.
"""

from __future__ import annotations

from collections.abc import Hashable
from datetime import datetime

from services.deleter.planning import due_obligations
from services.policy.model import Policy
from services.policy.obligations import Obligation
from services.policy.retention_windows import Facts, command_time, event_anchor
from services.policy.tagging import Holding, TaggedEvent

_MAX_HOLDINGS = 50


class CachingPlanner:
    """The due steps of many records, under facts that stay as they are, at one instant (UTC)."""

    def __init__(self, facts: Facts, policy: Policy, now: datetime) -> None:
        self._facts = facts
        self._policy = policy
        self._now = now
        self._known: dict[Hashable, list[Obligation]] = {}

    def due_obligations(self, tagged: TaggedEvent, subject: str) -> list[Obligation]:
        """The steps of a record that are due by now; a list that other records may share."""
        alike = self._cache_key(tagged, subject)
        if alike is None:
            return due_obligations(tagged, subject, self._facts, self._policy, self._now)
        if alike not in self._known:
            self._known[alike] = due_obligations(
                tagged, subject, self._facts, self._policy, self._now
            )
        return self._known[alike]

    def _cache_key(self, tagged: TaggedEvent, subject: str) -> Hashable | None:
        """What records that are planned alike have in common; nothing where each is its own case."""
        if len(tagged.holdings) > _MAX_HOLDINGS:
            return None  # what they say would be looked at anew for each of its subjects
        said = []
        for holding in tagged.holdings:
            if self._facts.subject_state(holding.subject):
                return None  # what was said counts from an instant on, and may name single records
            start = None if holding.clock else self._term_start(holding, tagged.time)
            if start == tagged.time:
                return None  # hardly another record has the same
            said.append(
                (
                    holding.subject == subject,
                    holding.purpose,
                    holding.basis,
                    holding.rule,
                    holding.systems,
                    holding.clock,
                    start,
                )
            )
        if not any(self._depends_on_subject(holding) for holding in tagged.holdings):
            return None  # research alone is pseudonymised from the event's own instant on
        return tuple(said)

    def _term_start(self, holding: Holding, event_time: datetime) -> datetime | None:
        """When the holding's term starts; nothing as long as all that follows from it lies ahead."""
        policy = self._policy
        rule = policy.rules[holding.rule]
        anchor_at = event_anchor(rule, event_time, policy)
        first = min(
            command_time(rule, anchor_at, policy.systems[one].lead_time_period, policy)
            for one in holding.systems
        )
        return anchor_at if first <= self._now else None

    def _depends_on_subject(self, holding: Holding) -> bool:
        policy = self._policy
        return not (
            policy.bases[holding.basis].is_statutory or policy.rules[holding.rule].pseudonymise
        )
