"""What happens to a record in a system as its last purpose there ends: a transfer, an erasure, or both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from services.policy.model import System
from services.policy.obligation import Obligation
from services.policy.reasons import GOES_TO_ARCHIVE
from services.policy.rule import Rule


def endings_of(rules: Sequence[Rule], system: System) -> tuple[bool, bool]:
    """Return whether the end is a transfer to an archive, and whether it is an erasure.

    `rules` are those of the record's holdings in the system. Keys are not handed over: they are destroyed.
    """
    if system.holds == "keys":
        return False, True
    return any(rule.transfers for rule in rules), any(rule.erases for rule in rules)


def last_step(erases: bool) -> str:
    """Return the key of the last obligation of an end; `erases` is whether it is an erasure."""
    return "erase" if erases else "transfer"


def with_transfer(erasure: Obligation, transfers: bool, erases: bool) -> Iterator[Obligation]:
    """Return the obligations of an end: the erasure, or a transfer, or one that the erasure waits for."""
    if transfers:
        yield erasure._replace(action="transfer", reason=GOES_TO_ARCHIVE)
    if erases:
        yield erasure._replace(awaits_transfer=True) if transfers else erasure
