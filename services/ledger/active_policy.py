"""The active policy: the one policy from which every window in the ledger is computed.

A transaction that writes anything computed from a policy shares the policy's lock until it ends; activating
another policy takes the lock alone. So nothing is recorded, claimed or sent under a policy that is not
active any more.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Select, func, select, update

from schemas.errors import TermijnError
from services.ledger import (
    clocks,
    identifying_keys,
    policy_references,
    policy_versions,
    provenance,
    retirement,
    tables,
)
from services.ledger.policy_versions import (
    PolicyTextMissing,
    PolicyTextUnreadable,
    PolicyVersion,
)
from services.policy import placement
from services.policy.field_changes import unfit_types
from services.policy.loader import hash_policy, policy_text, structure_hashes
from services.policy.model import Policy
from services.storage import audit_outbox
from services.storage.audit_outbox import AuditEntry
from services.storage.bulk import insert

_CHUNK_SIZE = 1_000
_LOCK = 0x7E_3A_11_17
"""The key of PostgreSQL's advisory lock on the active policy; on SQLite only one process can write."""

_PLACEMENTS_KEY, _RETIREMENTS_KEY = "", " "
"""Keys in the stored shapes, beside the event types, for placements and retirements."""


class PolicyMismatch(TermijnError):
    """Another policy has become the ledger's active one; the transaction was rolled back.

    A role changes over to it on its own. The operator runs a command again that was interrupted by it.
    """

    def __init__(self, active: str, configured: str) -> None:
        super().__init__(
            f"policy: the ledger's active policy is {active}, got {configured};"
            " it was activated meanwhile, so run the command again"
        )
        self.active = active
        self.configured = configured


class IncompatiblePolicy(TermijnError):
    """The policy lacks types of recorded events, or changes what they mean; it was not activated.

    Records depend on the clocks of the active policy. The operator keeps each event type, gives a changed
    type another name, or records the history again in an empty ledger.
    """

    def __init__(
        self,
        event_types: tuple[str, ...],
        missing: Collection[str] = (),
        fields: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        changed = [name for name in event_types if name not in missing and not fields.get(name)]
        parts = [
            f"events.{name}.fields.{problem}"
            for name, problems in sorted(fields.items())
            for problem in problems
        ]
        if changed:
            parts.append(
                f"the subjects or clocks of {', '.join(changed)} have changed, and the ledger may have"
                " such events; give the changed type another name"
            )
        if missing:
            parts.append(
                f"the event types {', '.join(sorted(missing))} are missing, and the ledger may have such"
                " events; keep each as it was: a type that is no longer published creates nothing new"
            )
        super().__init__(f"policy: {'; '.join(parts)}")
        self.event_types = event_types


def require_active(connection: Connection, policy: Policy, now: datetime) -> None:
    """Check that the policy is the active one, and keep it active until the transaction ends.

    In an empty ledger the policy becomes the active one. Call this before locking clocks, subjects or
    commands.

    Raises:
        PolicyMismatch: another policy, or another version of it, is active.
    """
    _lock(connection, shared=True)
    if not is_active(connection, policy):
        _insert_first(connection, policy, now)


def is_active(connection: Connection, policy: Policy) -> bool:
    """Return whether the policy is the active one; False if no policy is active yet.

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


def check_activation(
    connection: Connection, policy: Policy, drops: Collection[policy_references.Drop] = ()
) -> None:
    """Check that the policy can become the active one. Nothing is locked.

    `drops` names the systems that, as an operator confirmed, never held the recorded events of a type.

    Raises:
        IncompatiblePolicy: it gives events of a known type other subjects or clocks.
        PolicyStillNeeds: it lacks a system or a purpose that is still needed.
        PromiseDropped: it removes a system from recorded events, and `drops` does not name the system.
        NothingDropped: `drops` names a system and an event type that the policy does not separate.
        RetiredTooEarly: events are recorded from after the instant of a retirement.
    """
    active_shapes = _read_shapes(connection)
    active = policy_versions.active_version(connection)
    placements, retirements = (
        placement.from_json(active_shapes.pop(_PLACEMENTS_KEY, {})),
        active_shapes.pop(_RETIREMENTS_KEY, {}),
    )
    check_structure(active_shapes, policy, _readable(active))
    policy_references.check_references(connection, policy, placements, drops)
    retirement.check_retirements(
        connection, policy, placement.possible_systems(placements), retirements
    )


def activate(
    connection: Connection,
    policy: Policy,
    now: datetime,
    drops: Collection[policy_references.Drop] = (),
    operator: str | None = None,
) -> None:
    """Make another policy the active one, and schedule a check of every record under it.

    This waits for transactions that record, claim or send under the former policy. Commands that were
    carried out stay as they are; `deleter.activation` cancels or recalls the others. `operator` accepted
    the policy.

    Raises:
        IncompatiblePolicy, PolicyStillNeeds, PromiseDropped, NothingDropped, RetiredTooEarly: as
            `check_activation`.
    """
    lock_alone(connection)
    check_activation(connection, policy, drops)
    _insert(connection, policy, now, operator)
    identifying_keys.rebuild_keys(connection, policy, now)
    provenance.rebuild_reports(connection, policy)
    connection.execute(update(tables.record).values(next_due=now))
    last_id = UUID(int=0)
    while True:
        rows = connection.execute(
            select(tables.clock)
            .where(tables.clock.c.clock_id > last_id, tables.clock.c.anchor_at.is_not(None))
            .order_by(tables.clock.c.clock_id)
            .limit(_CHUNK_SIZE)
            .with_for_update()
        ).all()
        if not rows:
            return
        states = [clocks.clock_from_row(row) for row in rows]
        clocks.update_clocks(connection, [clock.with_scan_restarted(policy) for clock in states])
        last_id = states[-1].clock_id


def share_lock(connection: Connection) -> None:
    """Keep the active policy, which is read after this, active until the transaction ends."""
    _lock(connection, shared=True)


def lock_alone(connection: Connection) -> None:
    """Wait until no other transaction uses the active policy, and keep it until this one ends."""
    _lock(connection, shared=False)


def check_structure(
    active: Mapping[str, str], policy: Policy, active_policy: Policy | None = None
) -> None:
    """Check that events of each type mean the same as under the active policy, given its structure hashes.

    With the active policy itself, fields may differ in what recorded events allow.

    Raises:
        IncompatiblePolicy: it lacks a type, or gives events of one other subjects, clocks or fields.
    """
    shapes = structure_hashes(policy)
    changed = {name for name, shape in active.items() if shapes.get(name) != shape}
    fields: Mapping[str, Sequence[str]] = {}
    if changed and active_policy:
        fields = unfit_types(active_policy, policy)
        changed &= fields.keys() | (active.keys() - active_policy.events.keys())
    if changed:
        missing = [name for name in changed if name not in shapes]
        raise IncompatiblePolicy(tuple(sorted(changed)), missing, fields)


def _readable(version: PolicyVersion | None) -> Policy | None:
    """Return the policy of a version; None if its text is missing, or cannot be read by this version."""
    try:
        return version.load() if version else None
    except (PolicyTextMissing, PolicyTextUnreadable):
        return None


def _read_active(connection: Connection) -> Row[Any] | None:
    """Return name, version and digest of the active policy; its text is long, and read apart."""
    column = tables.active_policy.c
    query: Select[Any] = select(column.policy, column.version, column.digest)
    return connection.execute(query.order_by(column.number.desc()).limit(1)).one_or_none()


def _read_shapes(connection: Connection) -> dict[str, Any]:
    column = tables.active_policy.c
    query = select(column.shapes).order_by(column.number.desc()).limit(1)
    stored = connection.execute(query).scalar_one_or_none()
    shapes: dict[str, Any] = json.loads(stored) if stored else {}
    return shapes


def _lock(connection: Connection, *, shared: bool) -> None:
    if connection.dialect.name == "sqlite":
        return
    lock_function = func.pg_advisory_xact_lock_shared if shared else func.pg_advisory_xact_lock
    connection.execute(select(lock_function(_LOCK)))


def _insert_first(connection: Connection, policy: Policy, now: datetime) -> None:
    """Make the policy the first of an empty ledger, unless another process did so first.

    Raises:
        PolicyMismatch: another process did, with another policy.
    """
    if connection.dialect.name != "sqlite":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK + 1)))
    if not is_active(connection, policy):
        _insert(connection, policy, now)


def _insert(
    connection: Connection, policy: Policy, now: datetime, operator: str | None = None
) -> None:
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
        "text": policy_text(policy),
        "operator": operator,
    }
    insert(connection, tables.active_policy, [row])
    body = {name: row[name] for name in ("policy", "version", "digest")}
    audit_outbox.enqueue(connection, [AuditEntry(now, "policy", body)])
