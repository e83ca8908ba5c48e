"""One policy is active; another takes over by an operator's word, where it fits what is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.ledger import policies, schema
from services.ledger.database import Ledger, open_ledger
from services.policy.loader import load
from services.policy.model import Policy

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SHIPPED = load()


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """An empty ledger in memory."""
    with closing(open_ledger("sqlite://")) as opened:
        schema.create(opened)
        yield opened


def with_term(term: str) -> Policy:
    """The shipped policy with another term for D4."""
    rules = {**SHIPPED.rules, "D4": replace(SHIPPED.rules["D4"], term=term)}
    return replace(SHIPPED, version="next", rules=rules)


def test_the_first_policy_becomes_the_active_one(ledger: Ledger) -> None:
    """An empty ledger takes the policy at hand, and goes on with it."""
    with ledger.transaction() as connection:
        policies.ensure(connection, SHIPPED, NOW)
        policies.ensure(connection, SHIPPED, NOW)


def test_a_role_with_another_policy_refuses(ledger: Ledger) -> None:
    """One other term is another policy."""
    with ledger.transaction() as connection:
        policies.ensure(connection, SHIPPED, NOW)
        with pytest.raises(policies.OtherPolicy, match=r"optimum-pos 2021-05-19\.4, not"):
            policies.ensure(connection, with_term("P3Y"), NOW)


def test_an_activated_policy_takes_over(ledger: Ledger) -> None:
    """After `activate` the new one is welcome, and the old one is not."""
    with ledger.transaction() as connection:
        policies.ensure(connection, SHIPPED, NOW)
        policies.activate(connection, with_term("P3Y"), NOW)
        policies.ensure(connection, with_term("P3Y"), NOW)
        with pytest.raises(policies.OtherPolicy):
            policies.ensure(connection, SHIPPED, NOW)


def test_a_policy_that_moves_records_to_other_clocks_is_refused(ledger: Ledger) -> None:
    """What is recorded hangs on the old clocks: it would never be found under the new ones."""
    rules = {**SHIPPED.rules, "D4": replace(SHIPPED.rules["D4"], anchor=SHIPPED.rules["R1"].anchor)}
    with ledger.transaction() as connection:
        policies.ensure(connection, SHIPPED, NOW)
        with pytest.raises(policies.OtherShape, match=r"orders\.order-placed"):
            policies.activate(connection, replace(SHIPPED, rules=rules), NOW)
