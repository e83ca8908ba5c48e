"""Notices: what a system is commanded to announce to a person before the person's data is erased."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from services.policy.calendar import parse_period, time_of_notice
from services.policy.model import Policy
from services.policy.obligation import Obligation
from services.policy.reasons import END_ANNOUNCED
from services.policy.rule import Rule
from services.policy.tagged_event import ClockKey

EndedSystems = frozenset[tuple[str, str]]
"""The systems in which commands end a record's data or have ended it, each with `erase` or `transfer`."""
NONE_ENDED: Final[EndedSystems] = frozenset()


def ended_systems(active: Iterable[tuple[str, str]]) -> EndedSystems:
    """Return those of the systems and steps that end the data."""
    return frozenset(pair for pair in active if pair[1] in ("erase", "transfer"))


class AnnouncedEnd(NamedTuple):
    """The end of a holding: when the first system, of those where it is to come, is commanded; UTC."""

    rule_name: str
    rule: Rule
    purpose: str
    at: datetime
    first_end: datetime
    """When the first of all its systems is commanded; nothing is announced once that has come."""
    clocks: Sequence[ClockKey]
    """The clocks that decide it."""


def first_end_to_come(
    ends: Mapping[str, datetime], last_steps: Mapping[str, str], ended: EndedSystems
) -> datetime | None:
    """Return the first end of a holding in a system where the data has not ended; None if there is none.

    `ends` and `last_steps` are by system. It does not end twice in a system: where another end follows, as
    a clock has moved, the first one that is still to come is announced.
    """
    return min(
        (
            at
            for system, at in ends.items()
            if (system, last_steps[system]) not in ended and (system, "erase") not in ended
        ),
        default=None,
    )


def only_nearest(due: Collection[Obligation], zone: ZoneInfo) -> list[Obligation]:
    """Return the due obligations without notices that a nearer one of the same end makes needless.

    Nearer is the one of the same system, and of all its purposes, that is due later.
    """
    notices = [obligation for obligation in due if obligation.action == "notify"]
    if len(notices) < 2:
        return list(due)

    def nearness(notice: Obligation) -> tuple[datetime, str]:
        at = time_of_notice(notice.erase_by, parse_period(notice.before), zone)
        return at, notice.before

    return [
        obligation
        for obligation in due
        if not any(
            (other.system, other.erase_by) == (obligation.system, obligation.erase_by)
            and set(other.purposes) >= set(obligation.purposes)
            and nearness(other) > nearness(obligation)
            for other in (notices if obligation.action == "notify" else ())
        )
    ]


def find_notices(
    ends: Iterable[AnnouncedEnd], event_time: datetime, policy: Policy
) -> Iterator[Obligation]:
    """Return the obligations to give notice of the ends of a record's holdings.

    Holdings that end at one instant are announced together, if they also begin to end at one instant. A
    notice is never due before the event.
    """
    grouped: dict[tuple[str, str, datetime, datetime], list[AnnouncedEnd]] = {}
    for end in ends:
        for notice in end.rule.notices:
            key = (notice.system, notice.before, end.at, end.first_end)
            grouped.setdefault(key, []).append(end)
    for (system, before, at, first_end), announced in grouped.items():
        notice_at = time_of_notice(at, parse_period(before), policy.controller.zone)
        yield Obligation(
            system=system,
            action="notify",
            due=max(event_time, notice_at),
            not_before=None,
            erase_by=at,
            rules=tuple(sorted({end.rule_name for end in announced})),
            purposes=tuple(sorted({end.purpose for end in announced})),
            clocks=tuple(dict.fromkeys(clock for end in announced for clock in end.clocks)),
            reason=END_ANNOUNCED,
            before=before,
            first_end=first_end,
        )
