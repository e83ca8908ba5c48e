"""Confirmations of derived terms: who has confirmed which rule, as it was then.

A term that is not confirmed is enforced like any other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from schemas.errors import TermijnError
from services.ledger import tables
from services.policy.derived_terms import DerivedTerm, derived_terms
from services.policy.model import Policy
from services.storage.bulk import insert
from services.storage.operator_log import log_operator_action


class NothingToConfirm(TermijnError):
    """The active policy has no derived term of that name; nothing was confirmed."""

    def __init__(self, name: str, known: Collection[str]) -> None:
        super().__init__(
            f"policy: no rule of that name has a derived term or anchor, got {name};"
            f" those that have are {', '.join(known) or 'none'}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """A derived term of a policy, with who has confirmed it; None if it is still to be confirmed."""

    term: DerivedTerm
    operator: str | None
    at: datetime | None
    """When it was confirmed, UTC."""


def list_confirmations(connection: Connection, policy: Policy) -> Sequence[Confirmation]:
    """Return every derived term of the policy, with its last confirmation."""
    column = tables.confirmation.c
    rows = connection.execute(
        select(column.rule, column.digest, column.operator, column.at).order_by(column.number)
    )
    confirmed = {(row.rule, row.digest): row for row in rows}
    listed = []
    for term in derived_terms(policy):
        row = confirmed.get((term.name, term.digest))
        listed.append(
            Confirmation(
                term=term, operator=row.operator if row else None, at=row.at if row else None
            )
        )
    return listed


def confirmed_rules(connection: Connection, policy: Policy) -> dict[str, bool]:
    """Return, by each rule with a derived term, whether it is confirmed as it is."""
    listed = list_confirmations(connection, policy)
    return {item.term.name: item.at is not None for item in listed}


def confirm(
    connection: Connection,
    policy: Policy,
    names: Sequence[str],
    now: datetime,
    *,
    operator: str,
    reason: str,
) -> None:
    """Confirm derived terms of the active policy by name; `now` is UTC.

    Raises:
        NothingToConfirm: a name is not that of a derived term; none was confirmed.
        OperatorRequired: the operator or the reason is empty.
    """
    known = {term.name: term for term in derived_terms(policy)}
    for name in names:
        if name not in known:
            raise NothingToConfirm(name, known)
        row = {
            "rule": name,
            "digest": known[name].digest,
            "operator": operator,
            "reason": reason,
            "at": now,
        }
        insert(connection, tables.confirmation, [row])
        target = f"{name} of {policy.policy} {policy.version}"
        log_operator_action(
            connection, "policy confirm", target, operator=operator, reason=reason, now=now
        )
