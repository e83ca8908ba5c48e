"""The obligations that follow from a person's objections and requests, except erasure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from services.policy import rights_effects
from services.policy.model import Policy
from services.policy.obligation import Action, HoldingWindow, Obligation, build_obligation
from services.policy.retention_windows import Facts
from services.policy.rights import RIGHTS
from services.policy.subject_state import VerifiedRequest
from services.policy.tagged_event import Holding, TaggedEvent


def obligations_from_rights(
    system: str, serving: list[HoldingWindow], tagged: TaggedEvent, facts: Facts, policy: Policy
) -> Iterator[Obligation]:
    """Return the obligations of a system from the person's objections and requests, except erasure."""
    state = facts.subject_state(serving[0].holding.subject)
    restricted: dict[str, tuple[rights_effects.Restriction, list[HoldingWindow]]] = {}
    restrictions_of = {
        id(item): tuple(rights_effects.list_restrictions(item.holding, tagged.time, state, policy))
        for item in serving
    }
    for item in serving:
        for restriction in restrictions_of[id(item)]:
            restricted.setdefault(restriction.cause, (restriction, []))[1].append(item)
    for restriction, affected in restricted.values():
        yield _requested_obligation(
            system, "restrict", affected, restriction.start, restriction.cause, restriction.reason
        )
        if restriction.end is None:
            continue
        freed = [
            item
            for item in affected
            if _is_unrestricted(item, system, restriction, restrictions_of[id(item)])
        ]
        if freed:
            yield _requested_obligation(
                system, "lift", freed, restriction.end, restriction.cause, restriction.lifted_reason
            )
    for request in state.requests:
        right = RIGHTS[request.right]
        if right.reason is None or tagged.time > request.at:
            continue
        affected = [item for item in serving if _applies_to(request, item.holding, policy)]
        if affected:
            yield _requested_obligation(
                system, right.action, affected, request.at, f"request {request.id}", right.reason
            )


def _is_unrestricted(
    item: HoldingWindow,
    system: str,
    ended: rights_effects.Restriction,
    restrictions: Iterable[rights_effects.Restriction],
) -> bool:
    """Return whether a holding may be used again when a restriction ends: no other one restricts it."""
    ends_at, due_at = ended.end, item.window.due_at[system]
    return (
        ends_at is not None
        and (due_at is None or due_at > ends_at)
        and not any(
            other.cause != ended.cause
            and other.start <= ends_at
            and (other.end is None or ends_at < other.end)
            for other in restrictions
        )
    )


def _applies_to(request: VerifiedRequest, holding: Holding, policy: Policy) -> bool:
    return (
        request.right != "portability"
        or policy.bases[holding.basis].ground in rights_effects.BASES_WITH_PORTABILITY
    )


def _requested_obligation(
    system: str,
    action: Action,
    affected: list[HoldingWindow],
    at: datetime,
    cause: str,
    reason: str,
) -> Obligation:
    obligation = build_obligation(
        system, action, affected, at=at, erase_by=at, depends_on=(), reason=reason
    )
    return replace(obligation, cause=cause)
