"""Plan one record: which steps are due for it, and which of these have no command yet."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Set
from dataclasses import replace
from datetime import datetime

from services.policy import obligations, rights_effects
from services.policy.model import Policy
from services.policy.obligation import KEYLESS_SUFFIX, Obligation
from services.policy.retention_windows import Facts
from services.policy.tagged_event import TaggedEvent

ActiveObligations = Collection[tuple[str, str]]
"""The steps that a record's commands do or have done: system and step."""


def due_obligations(
    tagged: TaggedEvent, subject: str, facts: Facts, policy: Policy, now: datetime
) -> list[Obligation]:
    """Return the steps of a record that are due now; an open legal hold keeps even overdue data."""
    due = [
        step
        for step in obligations.obligations_of(tagged, subject, facts, policy)
        if step.due <= now
    ]
    state = facts.subject_state(subject)
    if state.holds and rights_effects.is_under_legal_hold(now, tagged.id, state):
        return [step for step in due if step.action not in ("erase", "pseudonymise")]
    return due


def outstanding(due: Iterable[Obligation], active: ActiveObligations) -> list[Obligation]:
    """Return the due steps that have no command yet.

    An erasure makes every other step needless; a lift makes a restriction needless that was not sent.
    """
    due = list(due)
    erased = {system for system, step in active if step == "erase"}
    erased |= {step.system for step in due if step.action == "erase"}
    lifted = {(step.system, step.cause) for step in due if step.action == "lift"}
    return [
        step
        for step in due
        if (step.system, step.key) not in active
        and (
            (step.system, "erase") not in active
            if step.action == "erase"
            else step.system not in erased and _is_applicable(step, lifted, active)
        )
    ]


def needed_restrictions(
    due: Collection[Obligation], active: Set[tuple[str, str]]
) -> list[Obligation]:
    """Return the restrictions that a person requested and no command does, even if an erasure is due.

    This is for erasures that have to wait: an erasure makes restrictions needless only once it is sent.
    """
    lifted = {(step.system, step.cause) for step in due if step.action == "lift"}
    return [
        step
        for step in due
        if step.action == "restrict"
        and step.cause
        and (step.system, step.cause) not in lifted
        and (step.system, step.key) not in active
    ]


def without_contested_keys(due: Iterable[Obligation]) -> list[Obligation]:
    """Return the due steps that may be sent while the owner of one of the record's keys is not decided.

    A restriction by the record itself and the person's own keys cannot affect another person's rows. After
    the decision it is another step, with the key if that is the person's.
    """
    due = list(due)
    lifted = {(step.system, step.cause) for step in due if step.action == "lift"}
    return [
        replace(step, keyless=True)
        for step in due
        if step.action == "restrict" and not (step.cause and (step.system, step.cause) in lifted)
    ]


def obsolete(due: Collection[Obligation], active: ActiveObligations) -> list[tuple[str, str]]:
    """Return the steps that commands do to a record although nothing requires them any more."""
    planned = {(step.system, step.key) for step in due}
    erasing = {step.system for step in due if step.action == "erase"}
    return [
        (system, key)
        for system, key in active
        if (system, key) not in planned and system not in erasing and key != "recall"
    ]


def _is_applicable(
    step: Obligation, lifted: Collection[tuple[str, str]], active: ActiveObligations
) -> bool:
    if not step.cause:
        return True
    if step.action == "restrict":
        return (step.system, step.cause) not in lifted
    if step.action == "lift":
        restricted = f"restrict {step.cause}"
        return any(
            (step.system, key) in active for key in (restricted, f"{restricted}{KEYLESS_SUFFIX}")
        )
    return True
