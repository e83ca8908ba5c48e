"""Open resources and run transactions for an operator's command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection

from services.app import settings_loader
from services.app.wiring import resources
from services.storage.database import database_now

T = TypeVar("T")


@contextmanager
def open_resources() -> Iterator[resources.Resources]:
    """Yield the resources of the configured settings; they close at the end."""
    with resources.open_resources(settings_loader.load()) as opened:
        yield opened


def run_in_transaction(work: Callable[[Connection, datetime], T]) -> T:
    """Run `work` in one transaction of the ledger, with the database's time, UTC."""
    with open_resources() as opened:
        return opened.ledger().run_in_transaction(
            lambda connection: work(connection, database_now(connection))
        )
