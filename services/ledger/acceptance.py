"""Acceptance of a policy: an operator accepts the differences from the active one by their digest.

The digest covers both policies, the text of every difference, and the systems that are dropped from event
types. It does not cover how many holdings change: that number changes while events are recorded, and the
same policies give each holding the same end. So what was shown is what is activated, unless another policy
was activated meanwhile: then the digest is another one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from hashlib import sha256

from sqlalchemy import Connection, select

from schemas.errors import TermijnError
from services.ledger import active_policy, tables
from services.ledger.policy_references import Drop
from services.ledger.policy_versions import PolicyTextMissing, active_version
from services.policy.comparison import PolicyChange, compare_policies
from services.policy.loader import hash_policy
from services.policy.model import Policy

_DIGEST_LENGTH = 16
"""In hexadecimal digits, so that it can be typed; it prevents mistakes and no forgery."""


class NotAccepted(TermijnError):
    """The differences from the active policy were not accepted, or others were; nothing was changed.

    The operator reads the differences, and repeats the command with the digest that the error names.
    """

    def __init__(self, expected: str, given: str | None) -> None:
        super().__init__(
            f"--accept: the differences from the active policy must be accepted, got {given or 'nothing'};"
            f" read them, and if they are right give --accept {expected}"
        )
        self.expected = expected


def differences_from_active(
    connection: Connection, policy: Policy
) -> tuple[Policy | None, Sequence[PolicyChange]]:
    """Return the active policy and what another one changes; None and nothing if its text is not known.

    Raises:
        PolicyTextUnreadable: this version of Termijn cannot read the active policy.
    """
    active = active_version(connection)
    if active is None:
        return None, ()
    try:
        before = policy if active.digest == hash_policy(policy) else active.load()
    except PolicyTextMissing:
        return None, ()
    return before, compare_policies(before, policy)


def acceptance_digest(
    connection: Connection, policy: Policy, drops: Collection[Drop]
) -> str | None:
    """Return the digest by which the policy has to be accepted; None if nothing has to be accepted.

    That is so while no event is recorded, and for the active policy itself.
    """
    active = active_version(connection)
    is_empty = connection.execute(select(tables.event.c.event_id).limit(1)).one_or_none() is None
    if active is None or is_empty or active.digest == hash_policy(policy):
        return None
    _, changes = differences_from_active(connection, policy)
    covered = {
        "active": [active.number, active.digest],
        "policy": hash_policy(policy),
        "differences": [change.as_json() for change in changes],
        "drops": sorted(map(str, drops)),
    }
    return sha256(json.dumps(covered, sort_keys=True).encode()).hexdigest()[:_DIGEST_LENGTH]


def check_accepted(
    connection: Connection, policy: Policy, drops: Collection[Drop], given: str | None
) -> None:
    """Check that the differences were accepted, and keep the active policy until the transaction ends.

    Raises:
        NotAccepted: another digest was given, or none.
    """
    active_policy.lock_alone(connection)
    expected = acceptance_digest(connection, policy, drops)
    if expected is not None and given != expected:
        raise NotAccepted(expected, given)
