"""Plan one record: which obligations are due for it, and which of these have no command yet."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Set
from datetime import datetime

from services.policy import obligations, rights_effects
from services.policy.actions import ENDING
from services.policy.endings import endings_of
from services.policy.model import Policy
from services.policy.notices import ended_systems, only_nearest
from services.policy.obligation import KEYLESS_SUFFIX, Obligation
from services.policy.retention_windows import Facts
from services.policy.tagged_event import TaggedEvent

ActiveObligations = Collection[tuple[str, str]]
"""The obligations that a record's commands carry out or have carried out: system and key."""


def due_obligations(
    tagged: TaggedEvent,
    subject: str,
    facts: Facts,
    policy: Policy,
    now: datetime,
    active: Iterable[tuple[str, str]] = (),
) -> list[Obligation]:
    """Return the obligations to a record that are due now; an open legal hold keeps even overdue data.

    Nothing is announced while a hold keeps it, nor once the end has come, nor what has ended or is ending
    by `active` obligations. Of several notices of one end the nearest one is given.
    """
    due = [
        obligation
        for obligation in obligations.obligations_of(
            tagged, subject, facts, policy, ended_systems(active)
        )
        if obligation.due <= now and not obligation.is_missed(now)
    ]
    due = only_nearest(due, policy.controller.zone)
    state = facts.subject_state(subject)
    if state.holds and rights_effects.is_under_legal_hold(now, tagged.id, state):
        return [obligation for obligation in due if obligation.action not in ENDING]
    return due


def without_awaiting(due: Collection[Obligation], transferred: Collection[str]) -> list[Obligation]:
    """Return the due obligations without erasures that wait for a transfer.

    `transferred` are the systems that have handed the record over to an archive. A transfer that was
    refused, failed or found nothing never leads to an erasure.
    """
    return [
        obligation
        for obligation in due
        if not obligation.awaits_transfer or obligation.system in transferred
    ]


def without_handed_over(
    due: Collection[Obligation],
    transferred: Collection[str],
    tagged: TaggedEvent,
    subject: str,
    policy: Policy,
) -> list[Obligation]:
    """Return the obligations without those by terms about what stays in a system after its transfer.

    `transferred` are the systems that have handed the record over. Where its end is not an erasure, what
    stays is theirs: no purpose of it is restricted or lifted any more, unless a person asks for that.
    """
    if not transferred:
        return list(due)
    own = tagged.by_subject.get(subject, ())
    final = {
        system
        for system in transferred
        if not endings_of(
            [policy.rules[item.rule] for item in own if system in item.systems],
            policy.systems[system],
        )[1]
    }
    return [
        obligation
        for obligation in due
        if obligation.system not in final
        or obligation.cause
        or obligation.action not in ("restrict", "lift")
    ]


def outstanding(due: Iterable[Obligation], active: ActiveObligations) -> list[Obligation]:
    """Return the due obligations that have no command yet.

    An erasure makes every other obligation needless in its system, except a notice: that is about the ends
    in other systems. A lift makes needless a restriction that was not sent.
    """
    due = list(due)
    erased = {system for system, key in active if key == "erase"}
    erased |= {obligation.system for obligation in due if obligation.action == "erase"}
    lifted = {
        (obligation.system, obligation.cause) for obligation in due if obligation.action == "lift"
    }
    return [
        obligation
        for obligation in due
        if (obligation.system, obligation.key) not in active
        and (
            (obligation.system, "erase") not in active
            if obligation.action == "erase"
            else (obligation.action == "notify" or obligation.system not in erased)
            and _is_applicable(obligation, lifted, active)
        )
    ]


def needed_restrictions(
    due: Collection[Obligation], active: Set[tuple[str, str]]
) -> list[Obligation]:
    """Return the restrictions that a person requested and no command does, even if an erasure is due.

    This is for erasures that have to wait: an erasure makes restrictions needless only once it is sent.
    """
    lifted = {
        (obligation.system, obligation.cause) for obligation in due if obligation.action == "lift"
    }
    return [
        obligation
        for obligation in due
        if obligation.action == "restrict"
        and obligation.cause
        and (obligation.system, obligation.cause) not in lifted
        and (obligation.system, obligation.key) not in active
    ]


def without_contested_keys(due: Iterable[Obligation]) -> list[Obligation]:
    """Return the due obligations that may be met while the owner of one of the keys is not decided.

    A restriction by the record itself and the person's own keys cannot affect another person's rows. After
    the decision it is another obligation, with the key if that is the person's.
    """
    due = list(due)
    lifted = {
        (obligation.system, obligation.cause) for obligation in due if obligation.action == "lift"
    }
    return [
        obligation._replace(keyless=True)
        for obligation in due
        if obligation.action == "restrict"
        and not (obligation.cause and (obligation.system, obligation.cause) in lifted)
    ]


def obsolete(due: Collection[Obligation], active: ActiveObligations) -> list[tuple[str, str]]:
    """Return the obligations of a record's commands that nothing requires any more."""
    planned = {(obligation.system, obligation.key) for obligation in due}
    erasing = {obligation.system for obligation in due if obligation.action == "erase"}
    return [
        (system, key)
        for system, key in active
        if (system, key) not in planned
        and (system not in erasing or key.startswith("notify "))
        and key != "recall"
    ]


def _is_applicable(
    obligation: Obligation, lifted: Collection[tuple[str, str]], active: ActiveObligations
) -> bool:
    if not obligation.cause:
        return True
    if obligation.action == "restrict":
        return (obligation.system, obligation.cause) not in lifted
    if obligation.action == "lift":
        restricted = f"restrict {obligation.cause}"
        return any(
            (obligation.system, key) in active
            for key in (restricted, f"{restricted}{KEYLESS_SUFFIX}")
        )
    return True
