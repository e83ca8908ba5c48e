"""Find which obligations to records are due, once for all records with one plan and the same clocks.

Without privacy events, the obligations to a record follow from its plan, from the ends of its clocks, and
from the instants that the event itself fixes. These count only once an obligation that depends on them is
due.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from datetime import datetime

from services.deleter.planning import due_obligations
from services.policy.model import Policy
from services.policy.obligation import Obligation
from services.policy.retention_windows import Facts
from services.policy.rule_ends import anchor_instant
from services.policy.tagged_event import TaggedEvent


class DueObligations:
    """Finds the due obligations to records at one instant (UTC); the facts do not change meanwhile."""

    def __init__(self, facts: Facts, policy: Policy, now: datetime) -> None:
        self._facts = facts
        self._policy = policy
        self._now = now
        self._obligations: dict[Hashable, list[Obligation]] = {}

    def of_record(
        self, tagged: TaggedEvent, subject: str, active: Iterable[tuple[str, str]] = ()
    ) -> list[Obligation]:
        """Return the obligations to a record that are due by now; other records may share the list.

        `active` are its obligations that commands carry out or have carried out: what has ended is not
        announced.
        """
        key = self._cache_key(tagged, subject)
        obligations = self._obligations.get(key) if key else None
        if obligations is None:
            obligations = due_obligations(
                tagged, subject, self._facts, self._policy, self._now, active
            )
            if key:
                self._obligations[key] = obligations
        return obligations

    def _cache_key(self, tagged: TaggedEvent, subject: str) -> Hashable | None:
        """Return what records with the same obligations share; None if the record is looked at alone."""
        plan = tagged.plan
        record = plan and plan.record_of(subject)
        if not (plan and record) or any(map(self._facts.subject_state, plan.subjects)):
            return None
        if record.has_dates or record.announced or tagged.time > self._now:
            return None  # a notice is never due before its event
        start = None
        if record.open_for is not None and self._now >= tagged.time + record.open_for:
            if record.end_of_rule is None:
                return None  # hardly any other event has the same time
            [part] = self._policy.rules[record.end_of_rule].parts
            start = anchor_instant(part.anchor, tagged.time, self._policy)
        clocks = tuple(plan.clocks[position].id for position in record.clocks)
        return (plan.plan, plan.subjects.index(subject), clocks, start)
