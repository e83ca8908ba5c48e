"""Notices that are given again: the end that they announced comes back after another one was announced."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime

from services.ledger.given_notices import GivenNotice
from services.policy.obligation import Obligation


def review_notices(
    notices: Sequence[GivenNotice],
    due: Iterable[Obligation],
    list_obligations: Callable[[], Iterable[Obligation]],
) -> Collection[GivenNotice]:
    """Return those of a record's notices that have to be given again.

    That is so if a later one has announced another end of the same purpose, which none of the obligations
    to the record has any more. `due` are those of `list_obligations` that are due.
    """
    if not notices:
        return ()
    ends = {
        (obligation.system, purpose, obligation.erase_by)
        for obligation in list_obligations()
        if obligation.action == "notify"
        for purpose in obligation.purposes
    }
    given = {(notice.system, notice.step): notice for notice in notices if notice.is_carried_out}
    required = [given.get((obligation.system, obligation.key)) for obligation in due]
    return [notice for notice in required if notice and _is_over(notice, notices, ends)]


def _is_over(
    notice: GivenNotice,
    notices: Sequence[GivenNotice],
    ends: Collection[tuple[str, str, datetime]],
) -> bool:
    """Return whether what was announced last of one of its purposes is an end that does not come."""
    for purpose in notice.purposes:
        others = [
            other
            for other in notices
            if other.system == notice.system and purpose in other.purposes
        ]
        last_of_this_end = max(
            other.seq
            for other in others
            if other.erase_by == notice.erase_by and other.state != "recalling"
        )
        if any(
            other.is_carried_out
            and other.seq > last_of_this_end
            and (other.system, purpose, other.erase_by) not in ends
            for other in others
        ):
            return True
    return False
