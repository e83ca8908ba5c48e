"""The orders of a shop, with a canary (a unique text) in every field that decides nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.running import business_event

EACH = 4
"""Orders of one person."""
_CANARY = re.compile(rb"CNRY-(\d{6})-")
_LONGEST = 32
_BLOCK = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order; the last of a person's four is of this year, and every fiftieth person is under a hold."""

    number: int

    @property
    def name(self) -> str:
        return f"O{self.number}"

    @property
    def event_id(self) -> str:
        return f"order-{self.number}"

    @property
    def person(self) -> str:
        return f"P{self.number // EACH}"

    @property
    def is_under_hold(self) -> bool:
        return self.number // EACH % 50 == 49

    @property
    def recent(self) -> bool:
        return self.number % EACH == EACH - 1

    @property
    def must_stay(self) -> bool:
        """Return whether the order must still exist in the end."""
        return self.is_under_hold or self.recent

    def canary(self, field: str) -> str:
        """Return the unique text of a field, which occurs nowhere else."""
        return f"CNRY-{self.number:06}-{field}"

    def event(self) -> dict[str, Any]:
        """Return the order as it is published."""
        personal = {
            name: self.canary(name)
            for name in ("consumer_name", "consumer_email", "consumer_phone", "remarks")
        }
        payment = {name: self.canary(name) for name in ("transaction_id", "iban", "account_holder")}
        address = {name: self.canary(name) for name in ("street", "postcode", "city", "country")}
        lines = [{"product": self.canary("product"), "quantity": 1, "amount": "12.50"}]
        return business_event(
            self.event_id,
            "orders.order-placed",
            "2026-05-01T12:00:00Z" if self.recent else "2022-05-01T12:00:00Z",
            order_id=self.name,
            customer_id="C1",
            consumer_id=self.person,
            amount="12.50",
            payment={"method": "ideal", **payment},
            delivery_address=address,
            lines=lines,
            **personal,
        )


def orders(due: int) -> Sequence[Order]:
    """Return enough orders that at least `due` of them must be erased."""
    orders: list[Order] = []
    remaining = due
    while remaining > 0:
        four = [Order(number=len(orders) + n) for n in range(EACH)]
        remaining -= sum(not order.must_stay for order in four)
        orders += four
    return orders


def holds(all_orders: Iterable[Order]) -> Iterator[Mapping[str, Any]]:
    """Return the events that place the legal holds."""
    for person in sorted({order.person for order in all_orders if order.is_under_hold}):
        yield business_event(
            f"hold-{person}",
            "privacy.hold-placed",
            "2022-01-01T00:00:00Z",
            subject=f"consumer:{person}",
            hold_id=f"H-{person}",
            ground="legal_claim",
        )


def canaries_in(*directories: Path) -> dict[int, set[str]]:
    """Return the numbers of the orders whose canary is in a file of this folder, with the files' names."""
    orders_by_number: dict[int, set[str]] = {}
    for directory in directories:
        for file in sorted(directory.rglob("*")):
            if file.is_file() and not file.is_symlink():
                for number in _canaries(file):
                    orders_by_number.setdefault(number, set()).add(file.name)
    return orders_by_number


def _canaries(file: Path) -> set[int]:
    numbers: set[int] = set()
    tail = b""
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            searched = tail + block
            numbers.update(int(match[1]) for match in _CANARY.finditer(searched))
            tail = searched[-_LONGEST:]
    return numbers
