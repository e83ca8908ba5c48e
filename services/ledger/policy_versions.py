"""The versions of the policy that the ledger has: the text of each, when it was activated, and by whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Row, select

from schemas.errors import TermijnError
from services.ledger import tables
from services.policy import loader
from services.policy.model import Policy


class PolicyTextMissing(TermijnError):
    """An older version of Termijn activated the policy and did not keep its text.

    The operator configures the policy's file, or activates another policy.
    """

    def __init__(self, version: PolicyVersion) -> None:
        super().__init__(
            f"policy: the ledger does not have the text of {version}, which an older version of Termijn"
            " activated; set TERMIJN_POLICY to its file"
        )


class PolicyTextUnreadable(TermijnError):
    """This version of Termijn does not understand the ledger's policy as the version that activated it did.

    A newer version has activated it, probably. The operator upgrades this role; the ledger is unchanged.
    """

    def __init__(self, version: object, why: str) -> None:
        super().__init__(
            f"policy: this version of Termijn cannot use the ledger's policy {version}: {why};"
            " run the version of Termijn that activated it, or a later one"
        )


class UnknownPolicyVersion(TermijnError):
    """The ledger has no policy of that number; nothing was done."""

    def __init__(self, number: int) -> None:
        super().__init__(
            f"policy: the ledger has none of that number, got {number}; `termijn policy list` has them"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    """A policy that was activated."""

    number: int
    """Increases by activation; an older policy that is activated again gets another number."""
    policy: str
    version: str
    digest: str
    """`loader.hash_policy` of the policy."""
    activated_at: datetime
    operator: str | None
    """Who accepted it; None for the first policy of an empty ledger."""
    text: str | None

    def __str__(self) -> str:
        return f"{self.policy} {self.version}"

    def load(self) -> Policy:
        """Return the policy; the same text is read once in a process.

        Raises:
            PolicyTextMissing: the ledger does not have its text.
            PolicyTextUnreadable: this version of Termijn cannot read it, or reads another policy in it.
        """
        if self.text is None:
            raise PolicyTextMissing(self)
        policy = read_policy(self.text, str(self))
        if loader.hash_policy(policy) != self.digest:
            raise PolicyTextUnreadable(self, "its keys have another meaning here")
        return policy


def read_policy(text: str, name: str) -> Policy:
    """Return the policy of a text that the ledger keeps; the same text is read once in a process.

    Raises:
        PolicyTextUnreadable: this version of Termijn cannot read it.
    """
    try:
        return _load_text(text, f"policy {name}")
    except loader.InvalidPolicy as cause:
        raise PolicyTextUnreadable(name, str(cause).partition("\n")[0]) from cause


def active_version(connection: Connection) -> PolicyVersion | None:
    """Return the active policy; None in an empty ledger."""
    row = connection.execute(_newest_first().limit(1)).one_or_none()
    return _version_from_row(row) if row else None


def list_versions(connection: Connection) -> Sequence[PolicyVersion]:
    """Return every policy that was activated, the active one first."""
    return [_version_from_row(row) for row in connection.execute(_newest_first())]


def find_version(connection: Connection, number: int) -> PolicyVersion:
    """Return the policy of a number.

    Raises:
        UnknownPolicyVersion: there is none.
    """
    column = tables.active_policy.c.number
    row = connection.execute(_newest_first().where(column == number)).one_or_none()
    if row is None:
        raise UnknownPolicyVersion(number)
    return _version_from_row(row)


@lru_cache(maxsize=8)
def _load_text(text: str, name: str) -> Policy:
    return loader.load_accepted(text, name)


def _newest_first() -> Any:
    column = tables.active_policy.c
    return select(
        *(column.number, column.policy, column.version, column.digest),
        *(column.activated_at, column.operator, column.text),
    ).order_by(column.number.desc())


def _version_from_row(row: Row[Any]) -> PolicyVersion:
    return PolicyVersion(**row._mapping)
