"""Operator log: each action that lets a stopped role continue is logged with the operator's name."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from schemas.errors import TermijnError
from services.storage import audit_outbox, tables
from services.storage.audit_outbox import AuditEntry
from services.storage.bulk import insert


class OperatorRequired(TermijnError):
    """A command came without the operator's name or without a reason; nothing was done."""

    def __init__(self, option: str, remedy: str) -> None:
        super().__init__(f"{option}: is required; give {remedy}")


def log_operator_action(
    connection: Connection,
    action: str,
    target: str,
    *,
    operator: str,
    reason: str,
    now: datetime,
    to_audit_log: bool = True,
) -> None:
    """Log an operator's action, in the transaction that does it; `now` is UTC.

    With `to_audit_log` it goes into the evidence too, which an agent's inbox does not have.

    Raises:
        OperatorRequired: the operator or the reason is empty.
    """
    if not operator.strip():
        raise OperatorRequired("--operator", "a name, or set TERMIJN_OPERATOR")
    if not reason.strip():
        raise OperatorRequired("--reason", "a text")
    row = {"at": now, "operator": operator, "action": action, "target": target, "reason": reason}
    insert(connection, tables.operator_action, [row])
    if not to_audit_log:
        return
    body = {"operator": operator, "action": action, "target": target, "because": reason}
    audit_outbox.enqueue(connection, [AuditEntry(now, "operator", body)])
