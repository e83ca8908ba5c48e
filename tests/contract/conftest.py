"""Fixtures: one empty ledger per module and database, emptied before each test and each example."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from services.policy import loader
from services.policy.model import Policy
from services.storage.database import Database
from tests.contract.ledgers import empty_database, new_ledger


@pytest.fixture(scope="session")
def policy() -> Policy:
    """The shipped policy."""
    return loader.load()


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
)
def shared_ledger(request: pytest.FixtureRequest) -> Iterator[Database]:
    url = "sqlite://"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres")()
    with closing(new_ledger(url)) as ledger:
        yield ledger


@pytest.fixture
def ledger(shared_ledger: Database) -> Database:
    """An empty ledger, once on each database."""
    return empty_database(shared_ledger)


@pytest.fixture
def postgres_ledger(postgres: Callable[[], str]) -> Iterator[Database]:
    """An empty ledger on PostgreSQL, for this test alone."""
    with closing(new_ledger(postgres())) as ledger:
        yield ledger
