"""The obligations that follow from a person's objections and requests, except erasure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from services.policy import rights_effects
from services.policy.model import Policy
from services.policy.obligation import (
    Action,
    HoldingWindow,
    Obligation,
    build_obligation,
    purpose_ends_at,
)
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
            if _is_unrestricted(
                [other for other in serving if other.holding.purpose == item.holding.purpose],
                system,
                restriction,
                restrictions_of,
            )
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
    its_holdings: list[HoldingWindow],
    system: str,
    ended: rights_effects.Restriction,
    restrictions_of: Mapping[int, Iterable[rights_effects.Restriction]],
) -> bool:
    """Return whether a purpose with these holdings may be used again when a restriction ends.

    It may if it goes on by then, and no other restriction is on any of them.
    """
    lifted_at, ends_at = ended.end, purpose_ends_at(system, its_holdings)
    return (
        lifted_at is not None
        and (ends_at is None or ends_at > lifted_at)
        and not any(
            other.cause != ended.cause
            and other.start <= lifted_at
            and (other.end is None or lifted_at < other.end)
            for item in its_holdings
            for other in restrictions_of[id(item)]
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
        system, action, affected, at=at, erase_by=at, clocks=(), reason=reason
    )
    return obligation._replace(cause=cause)
