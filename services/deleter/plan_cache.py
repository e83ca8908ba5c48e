"""A cache of plans: records that need the same steps are planned only once.

Steps are computed from a record's holdings, from the anchors of their clocks, and from the instants that
the event itself fixes. Two records are planned alike when their holdings are equal, depend on the same
clocks, and start at the same instants; a start counts only once a step that depends on it is due.
"""

from __future__ import annotations

from collections.abc import Hashable
from datetime import datetime

from services.deleter.planning import due_obligations
from services.policy.model import Policy
from services.policy.obligation import Obligation
from services.policy.retention_windows import Facts, command_time, event_anchor
from services.policy.tagged_event import Holding, TaggedEvent

_MAX_HOLDINGS = 50


class CachingPlanner:
    """Plans many records at one instant (UTC), under facts that do not change meanwhile."""

    def __init__(self, facts: Facts, policy: Policy, now: datetime) -> None:
        self._facts = facts
        self._policy = policy
        self._now = now
        self._plans: dict[Hashable, list[Obligation]] = {}

    def due_obligations(self, tagged: TaggedEvent, subject: str) -> list[Obligation]:
        """Return the steps of a record that are due by now; other records may share the list."""
        cache_key = self._cache_key(tagged, subject)
        if cache_key is None:
            return due_obligations(tagged, subject, self._facts, self._policy, self._now)
        if cache_key not in self._plans:
            self._plans[cache_key] = due_obligations(
                tagged, subject, self._facts, self._policy, self._now
            )
        return self._plans[cache_key]

    def _cache_key(self, tagged: TaggedEvent, subject: str) -> Hashable | None:
        """Return the cache key that records planned alike share; None if the record is planned alone."""
        if len(tagged.holdings) > _MAX_HOLDINGS:
            return None  # its holdings would be read again for each of its subjects
        parts = []
        for holding in tagged.holdings:
            if self._facts.subject_state(holding.subject):
                return None  # a privacy event counts from an instant on, and may name records
            start = None if holding.clock else self._term_start(holding, tagged.time)
            if start == tagged.time:
                return None  # hardly any other record has the same start
            parts.append(
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
        return tuple(parts)

    def _term_start(self, holding: Holding, event_time: datetime) -> datetime | None:
        """Return when the holding's term starts; None while every step that depends on it lies ahead."""
        policy = self._policy
        rule = policy.rules[holding.rule]
        anchor_at = event_anchor(rule, event_time, policy)
        first_command_at = min(
            command_time(rule, anchor_at, policy.systems[system].lead_time_period, policy)
            for system in holding.systems
        )
        return anchor_at if first_command_at <= self._now else None

    def _depends_on_subject(self, holding: Holding) -> bool:
        policy = self._policy
        return not (
            policy.bases[holding.basis].is_statutory or policy.rules[holding.rule].pseudonymise
        )
