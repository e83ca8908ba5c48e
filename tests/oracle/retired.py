"""Retired systems and purposes: left out of the catalogue's lines for events from then on."""

from collections.abc import Mapping

from tests.oracle.instants import instant
from tests.oracle.windows import Holding

Retired = Mapping[str, str]
"""From when on the system or the purpose of that name gets nothing new."""


def struck(made: list[Holding], retired: Retired) -> list[Holding]:
    """Return the holdings without what was retired when their event happened, or that no system has."""

    def gone(name: str, held: Holding) -> bool:
        return name in retired and instant(retired[name]) <= held["at"]

    holdings: list[Holding] = []
    for held in made:
        systems = [system for system in held["systems"] if not gone(system, held)]
        if systems and not gone(held["purpose"], held):
            due_at = {system: held["due_at"][system] for system in systems}
            holdings.append({**held, "systems": systems, "due_at": due_at})
    return holdings
