"""What each system must do to a record as its terms end, compiled once for all events of a shape.

The same follows as in `services.policy.obligations`, as long as none of the event's subjects has
a privacy event: then an obligation depends on nothing but the terms of the record's holdings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from services.policy.check_times import co_subjects_holdings
from services.policy.endings import endings_of, last_step, with_transfer
from services.policy.gap_text import GapText
from services.policy.model import Policy
from services.policy.notices import AnnouncedEnd, EndedSystems, first_end_to_come
from services.policy.obligation import Action, Obligation
from services.policy.reasons import (
    LAST_PURPOSE_ENDED,
    ONLY_RESEARCH,
    OTHER_PURPOSE_REMAINS,
    PURPOSE_ENDED,
)
from services.policy.retention_windows import deciding_clocks, latest_end
from services.policy.rule import Rule
from services.policy.rule_ends import ClockStanding, find_rule_end
from services.policy.tagged_event import ClockKey, Holding, TaggedEvent


class TermPlan(NamedTuple):
    """The term of a holding, as it concerns one system."""

    rule_name: str
    rule: Rule
    purpose: str
    starts: tuple[int | GapText | None, ...]
    """For each part of its rule the position of its clock in the plan, or its date."""
    lead: timedelta
    """How long before the end of a maximum the command is sent."""
    longest_lead: timedelta
    """The longest such time of the systems of the holding."""

    @property
    def clocks(self) -> tuple[int, ...]:
        """The positions of its clocks."""
        return tuple(start for start in self.starts if isinstance(start, int))

    def window(self, context: TermContext) -> TermWindow | None:
        """Return when the term ends for an event; None while that is not known, for never, or in test.

        Systems share a term that is the same for them: it is worked out once for an event.
        """
        windows = context.windows
        if id(self) not in windows:
            windows[id(self)] = self._compute_window(context)
        return windows[id(self)]

    def _compute_window(self, context: TermContext) -> TermWindow | None:
        if self.rule.is_in_test:
            return None
        starts = fill_starts(self.starts, context.identifiers)
        end = find_rule_end(
            self.rule, starts, context.event_time, context.standing_of, context.policy
        )
        if end is None:
            return None
        not_before = end.ends_at if self.rule.kind == "at_least" else end.minimum_ends_at
        return TermWindow(
            self,
            end.command_time(self.rule, self.lead),
            not_before,
            latest_end(self.rule, end.ends_at, not_before, self.longest_lead),
            deciding_clocks(self.rule, self.starts, end.part, int),
        )


class TermContext(NamedTuple):
    """What the end of a term depends on, beside its rule."""

    event_time: datetime
    identifiers: Sequence[str]
    """The identifiers and dates of the event, for the gaps in a plan."""
    standing_of: Callable[[int], ClockStanding]
    """Returns the standing of a clock, by its position in the plan."""
    policy: Policy
    windows: dict[int, TermWindow | None]
    """By the identity of a term of the plan, when it ends, as far as that was asked."""


class TermWindow(NamedTuple):
    """When a term of one event ends, UTC."""

    term: TermPlan
    due: datetime
    """When the command for it is sent."""
    not_before: datetime | None
    erase_by: datetime
    clocks: tuple[int, ...]
    """The positions of the clocks that decide that."""


def fill_starts(
    starts: Sequence[int | GapText | None], identifiers: Sequence[str]
) -> Sequence[int | str | None]:
    """Return the starts of a term with the dates of an event."""
    return [start.fill(identifiers) if isinstance(start, GapText) else start for start in starts]


class SystemPlan(NamedTuple):
    """What one system, or several, must do to a record, and the terms on which that depends."""

    system: str
    terms: tuple[TermPlan, ...]
    """Its purposes there: each is restricted as its last term ends, and all are erased at the last end."""
    research: tuple[TermPlan, ...]
    """Those of them that can do without the person."""
    identifying: tuple[TermPlan, ...]
    """The terms of all the event's subjects for which pseudonymisation for research must wait."""
    transfers: bool
    """Whether the end of the last term is a transfer to an archive."""
    erases: bool
    """Whether it is an erasure."""
    alike: tuple[str, ...] = ()
    """Other systems that must do the same."""

    def obligations(self, context: TermContext, clocks: Sequence[ClockKey]) -> Iterator[Obligation]:
        """Return the obligations whose time is known; `clocks` are the plan's."""
        for obligation in self._own_obligations(context, clocks):
            yield obligation
            for system in self.alike:
                yield obligation._replace(system=system)

    def _own_obligations(
        self, context: TermContext, clocks: Sequence[ClockKey]
    ) -> Iterator[Obligation]:
        """Return those of the first of the systems."""
        windows = [term.window(context) for term in self.terms]
        known = [window for window in windows if window is not None]

        def build(
            action: Action,
            ended: Sequence[TermPlan],
            due: datetime,
            erase_by: datetime,
            reason: str,
            positions: Iterable[int],
            not_before: datetime | None = None,
        ) -> Obligation:
            return Obligation(
                system=self.system,
                action=action,
                due=due,
                not_before=not_before,
                erase_by=erase_by,
                rules=tuple(sorted({term.rule_name for term in ended})),
                purposes=tuple(sorted({term.purpose for term in ended})),
                clocks=tuple(clocks[position] for position in dict.fromkeys(positions)),
                reason=reason,
            )

        erased_at = None
        if len(known) == len(windows):
            erased_at = max(window.due for window in known)
            erasure = build(
                "erase",
                self.terms,
                erased_at,
                max(window.erase_by for window in known),
                LAST_PURPOSE_ENDED if len(known) > 1 else PURPOSE_ENDED,
                _clocks_of(known),
                max((window.not_before for window in known if window.not_before), default=None),
            )
            yield from with_transfer(erasure, self.transfers, self.erases)
            if all(window.due == erased_at for window in known) and not self.research:
                return  # nothing ends earlier
        open_purposes = {
            term.purpose for term, window in zip(self.terms, windows, strict=True) if not window
        }
        by_purpose: dict[str, list[TermWindow]] = {}
        for window in known:
            if window.term.purpose not in open_purposes:
                by_purpose.setdefault(window.term.purpose, []).append(window)
        by_due: dict[datetime, list[TermWindow]] = {}
        for its_windows in by_purpose.values():
            due = max(window.due for window in its_windows)
            if erased_at is None or due < erased_at:
                by_due.setdefault(due, []).extend(its_windows)
        for due, ended in by_due.items():
            terms = [window.term for window in ended]
            erase_by = max(window.erase_by for window in ended)
            positions = _clocks_of(ended)
            yield build("restrict", terms, due, erase_by, OTHER_PURPOSE_REMAINS, positions)
        if not self.research:
            return
        waits = [term.window(context) for term in self.identifying]
        over = [window for window in waits if window is not None]
        due = max((window.due for window in over), default=context.event_time)
        if len(over) == len(waits) and not (erased_at and erased_at <= due):
            erase_by = max((window.erase_by for window in over), default=context.event_time)
            positions = [position for term in self.research for position in term.clocks]
            positions += _clocks_of(over)
            yield build("pseudonymise", self.research, due, erase_by, ONLY_RESEARCH, positions)


class AnnouncedTerm(NamedTuple):
    """The term of a holding of whose end notice is given."""

    by_system: Mapping[str, TermPlan]
    last_steps: Mapping[str, str]
    """What the end of the record is in each system: `erase` or `transfer`."""


def announced_ends(
    announced: Iterable[AnnouncedTerm],
    context: TermContext,
    clocks: Sequence[ClockKey],
    ended: EndedSystems,
) -> Iterator[AnnouncedEnd]:
    """Return the ends of which notice is given, as far as they are known; `clocks` are the plan's."""
    for item in announced:
        windows = {system: term.window(context) for system, term in item.by_system.items()}
        ends = {system: window.due for system, window in windows.items() if window}
        at = first_end_to_come(ends, item.last_steps, ended)
        if at is None:
            continue
        window = next(window for window in windows.values() if window)
        yield AnnouncedEnd(
            window.term.rule_name,
            window.term.rule,
            window.term.purpose,
            at,
            min(ends.values()),
            [clocks[position] for position in window.clocks],
        )


def plan_announced_terms(
    tagged: TaggedEvent, subject: str, policy: Policy, position: Callable[[ClockKey], int]
) -> tuple[AnnouncedTerm, ...]:
    """Return the terms of a subject's holdings of whose ends notice is given."""
    own = tagged.by_subject.get(subject, ())

    def step_in(system: str) -> str:
        rules = [policy.rules[holding.rule] for holding in own if system in holding.systems]
        return last_step(endings_of(rules, policy.systems[system])[1])

    return tuple(
        AnnouncedTerm(
            {system: _plan_term(holding, system, policy, position) for system in holding.systems},
            {system: step_in(system) for system in holding.systems},
        )
        for holding in own
        if policy.rules[holding.rule].notices
    )


def _slowest_system(holding: Holding, policy: Policy) -> str:
    """Return the system of a holding that is commanded first."""
    return max(holding.systems, key=lambda name: policy.systems[name].lead_time_period.exact)


def _plan_term(
    holding: Holding, system: str, policy: Policy, position: Callable[[ClockKey], int]
) -> TermPlan:
    slowest = _slowest_system(holding, policy)
    return TermPlan(
        rule_name=holding.rule,
        rule=policy.rules[holding.rule],
        purpose=holding.purpose,
        starts=plan_starts(holding.starts, position),
        lead=policy.systems[system].lead_time_period.exact,
        longest_lead=policy.systems[slowest].lead_time_period.exact,
    )


def _clocks_of(windows: Iterable[TermWindow]) -> list[int]:
    return [position for window in windows for position in window.clocks]


def plan_starts(
    starts: Sequence[ClockKey | str | None], position: Callable[[ClockKey], int]
) -> tuple[int | GapText | None, ...]:
    """Return the starts of a holding with positions for its clocks, and gaps for its dates."""
    return tuple(
        position(start)
        if isinstance(start, ClockKey)
        else GapText(start)
        if isinstance(start, str)
        else None
        for start in starts
    )


def plan_systems(
    tagged: TaggedEvent, subject: str, policy: Policy, position: Callable[[ClockKey], int]
) -> tuple[SystemPlan, ...]:
    """Return what each system must do to the record of a subject; `position` numbers the plan's clocks."""
    own = tagged.by_subject.get(subject, ())
    identifying = co_subjects_holdings(tagged, policy)
    different: list[TermPlan] = []

    def shared(term: TermPlan) -> TermPlan:
        same = next((other for other in different if other == term), None)
        if same is None:
            different.append(term)
        return same or term

    def terms(holdings: Iterable[Holding], system: str) -> tuple[TermPlan, ...]:
        return tuple(shared(_plan_term(holding, system, policy, position)) for holding in holdings)

    planned: list[SystemPlan] = []
    for system in sorted({system for holding in own for system in holding.systems}):
        serving = [holding for holding in own if system in holding.systems]
        research = [part for part in serving if policy.rules[part.rule].pseudonymises]
        transfers, erases = endings_of(
            [policy.rules[part.rule] for part in serving], policy.systems[system]
        )
        plan = SystemPlan(
            system=system,
            terms=terms(serving, system),
            research=terms(research, system),
            identifying=terms(identifying, system) if research else (),
            transfers=transfers,
            erases=erases,
        )
        for place, first in enumerate(planned):
            if first._replace(system=system, alike=()) == plan:
                planned[place] = first._replace(alike=(*first.alike, system))
                break
        else:
            planned.append(plan)
    return tuple(planned)
