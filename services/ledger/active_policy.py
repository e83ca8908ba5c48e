"""The one active policy: every window in the ledger derives from it, and from no other.

Whoever writes what follows from a policy shares its lock until the transaction ends; whoever activates
another one takes it alone. So nothing is recorded, claimed or sent under a policy that is active no more.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, select, update

from schemas.errors import TermijnError
from services.ledger import clocks, identifying_keys, policy_references, retirement, tables
from services.policy import placement
from services.policy.loader import hash_policy, structure_hashes
from services.policy.model import Policy
from services.storage import audit_outbox
from services.storage.audit_outbox import AuditEntry
from services.storage.bulk import insert

_CHUNK_SIZE = 1_000
_LOCK = 0x7E_3A_11_17
"""The key of PostgreSQL's advisory lock on the active policy; on SQLite whoever writes is alone."""

_PLACEMENTS_KEY, _RETIREMENTS_KEY = "", " "
"""Among the shapes by event type, where each is held, and what is retired; no type has such a name."""


class PolicyMismatch(TermijnError):
    """The ledger's windows derive from another policy than the one at hand; the role does not start.

    The operator starts it with the active policy, or activates this one with `termijn policy activate`.
    """

    def __init__(self, active: str, given: str) -> None:
        super().__init__(
            f"the ledger's active policy is {active}, not {given}:"
            " start with that one, or run `termijn policy activate`"
        )
        self.active = active
        self.given = given


class IncompatiblePolicy(TermijnError):
    """The policy lacks recorded events' types, or gives them other subjects or clocks; it is not active.

    What is recorded hangs on the clocks of the active policy. The operator keeps each type, gives the
    changed one another name, or records the history anew in an empty ledger.
    """

    def __init__(self, event_types: tuple[str, ...], lacking: Collection[str] = ()) -> None:
        changed = [one for one in event_types if one not in lacking]
        parts = []
        if changed:
            parts.append(
                f"it gives other subjects or clocks to {', '.join(changed)},"
                " of which the ledger may hold events: give the changed type another name"
            )
        if lacking:
            parts.append(
                f"it lacks the event types {', '.join(sorted(lacking))}, of which the ledger may hold"
                " events: keep each as it was; a type that nobody publishes any more makes nothing new"
            )
        super().__init__("; ".join(parts))
        self.event_types = event_types


def require_active(connection: Connection, policy: Policy, now: datetime) -> None:
    """Make sure that the policy is, and stays until the transaction ends, the active one.

    The first that an empty ledger sees becomes it. Call it before clocks, subjects or commands are locked.

    Raises:
        PolicyMismatch: another policy, or another version of it, is active.
    """
    _lock(connection, shared=True)
    if not is_active(connection, policy):
        _insert_first(connection, policy, now)


def is_active(connection: Connection, policy: Policy) -> bool:
    """Whether the policy is the active one; not so where none is.

    Raises:
        PolicyMismatch: another policy, or another version of it, is active.
    """
    active = _read_active(connection)
    if active is None:
        return False
    if active.digest != hash_policy(policy):
        raise PolicyMismatch(
            f"{active.policy} {active.version}", f"{policy.policy} {policy.version}"
        )
    return True


def activate(
    connection: Connection,
    policy: Policy,
    now: datetime,
    drops: Collection[policy_references.Drop] = (),
) -> None:
    """Make another policy the active one: everything that is held is looked at again under it.

    It waits for whoever records, claims or sends under the one that was active. What was carried out
    stands; what is not carried out yet is for `deleter.activation` to take back. `drops` names the systems
    that, by an operator's word, never held the recorded events of a type.

    Raises:
        IncompatiblePolicy: it hangs events of a known type on other subjects or clocks.
        PolicyStillNeeds: it lacks a system or a purpose that is still needed.
        PromiseDropped: it takes a system from recorded events, and `drops` does not say so.
        NothingDropped: `drops` names what it does not take.
        RetiredTooEarly: it retires something from an instant on of which events are recorded.
    """
    _lock(connection, shared=False)
    active = _read_active(connection)
    known = json.loads(active.shapes) if active else {}
    placed, retired = (
        placement.from_json(known.pop(_PLACEMENTS_KEY, {})),
        known.pop(_RETIREMENTS_KEY, {}),
    )
    given = structure_hashes(policy)
    changed = tuple(sorted(name for name, shape in known.items() if given.get(name) != shape))
    if changed:
        raise IncompatiblePolicy(changed, [name for name in changed if name not in given])
    policy_references.check_references(connection, policy, placed, drops)
    retirement.check_retirements(connection, policy, placement.possible_systems(placed), retired)
    _insert(connection, policy, now)
    identifying_keys.rebuild_keys(connection, policy, now)
    connection.execute(update(tables.record).values(next_due=now))
    after = UUID(int=0)
    while True:
        rows = connection.execute(
            select(tables.clock)
            .where(tables.clock.c.clock_id > after, tables.clock.c.anchor_at.is_not(None))
            .order_by(tables.clock.c.clock_id)
            .limit(_CHUNK_SIZE)
            .with_for_update()
        ).all()
        if not rows:
            return
        found = [clocks.clock_from_row(row) for row in rows]
        clocks.update_clocks(connection, [one.with_scan_restarted(policy) for one in found])
        after = found[-1].clock_id


def _read_active(connection: Connection) -> Row[Any] | None:
    query = select(tables.active_policy).order_by(tables.active_policy.c.number.desc()).limit(1)
    return connection.execute(query).one_or_none()


def _lock(connection: Connection, *, shared: bool) -> None:
    if connection.dialect.name == "sqlite":
        return
    taken = func.pg_advisory_xact_lock_shared if shared else func.pg_advisory_xact_lock
    connection.execute(select(taken(_LOCK)))


def _insert_first(connection: Connection, policy: Policy, now: datetime) -> None:
    """Make the policy an empty ledger's first, unless another process was faster.

    Raises:
        PolicyMismatch: it was, with another policy.
    """
    if connection.dialect.name != "sqlite":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK + 1)))
    if not is_active(connection, policy):
        _insert(connection, policy, now)


def _insert(connection: Connection, policy: Policy, now: datetime) -> None:
    row = {
        "policy": policy.policy,
        "version": policy.version,
        "digest": hash_policy(policy),
        "shapes": json.dumps(
            {
                **structure_hashes(policy),
                _PLACEMENTS_KEY: placement.to_json(placement.placements(policy)),
                _RETIREMENTS_KEY: retirement.retirements(policy),
            }
        ),
        "activated_at": now,
    }
    insert(connection, tables.active_policy, [row])
    body = {name: row[name] for name in ("policy", "version", "digest")}
    audit_outbox.enqueue(connection, [AuditEntry(now, "policy", None, body)])
