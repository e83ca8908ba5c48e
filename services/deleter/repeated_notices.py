"""Notices that were given, and those of them that are given again: their end comes back after another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from services.ledger.given_notices import GivenNotice
from services.policy.obligation import Obligation


class NoticeReview(NamedTuple):
    """What follows for a record from the notices that were given of its ends."""

    given: frozenset[tuple[str, str]]
    """The systems and keys of due obligations of which notices were given already."""
    over: Collection[GivenNotice]
    """Notices that were given, and are given again."""


NOTHING_GIVEN = NoticeReview(frozenset(), ())


def review_notices(
    notices: Sequence[GivenNotice],
    due: Iterable[Obligation],
    list_obligations: Callable[[], Iterable[Obligation]],
    now: datetime,
) -> NoticeReview:
    """Return what follows from a record's notices; `due` are those of `list_obligations` that are due.

    A notice is given again if a later one has announced another end of the same purpose that was to come
    yet, and that none of the obligations to the record has any more. Notices of one end may together name
    the purposes of another.
    """
    if not notices:
        return NOTHING_GIVEN
    ends = {
        (obligation.system, purpose, obligation.erase_by)
        for obligation in list_obligations()
        if obligation.action == "notify"
        for purpose in obligation.purposes
    }
    false = [
        (notice, purpose)
        for notice in notices
        if notice.is_carried_out and notice.erase_by > now
        for purpose in notice.purposes
        if (notice.system, purpose, notice.erase_by) not in ends
    ]
    by_step = {(notice.system, notice.step): notice for notice in notices}
    given: set[tuple[str, str]] = set()
    over: list[GivenNotice] = []
    for obligation in due:
        same = by_step.get((obligation.system, obligation.key))
        if obligation.action != "notify" or (same and not same.is_carried_out):
            continue
        if all(_is_given(obligation, purpose, notices, false) for purpose in obligation.purposes):
            given.add((obligation.system, obligation.key))
        elif same:
            over.append(same)
    return NoticeReview(frozenset(given), over)


def _is_given(
    obligation: Obligation,
    purpose: str,
    notices: Sequence[GivenNotice],
    false: Iterable[tuple[GivenNotice, str]],
) -> bool:
    """Return whether notice of an end of a purpose was given, and none of a `false` one since."""
    others = [
        notice
        for notice in notices
        if notice.system == obligation.system and purpose in notice.purposes
    ]
    of_this_end = [
        notice.seq
        for notice in others
        if notice.erase_by == obligation.erase_by and notice.state != "recalling"
    ]
    return any(
        notice.is_carried_out and notice.step.startswith(f"{obligation.announcement} ")
        for notice in others
    ) and not any(
        notice.seq > max(of_this_end)
        for notice, named in false
        if (notice.system, named) == (obligation.system, purpose)
    )
