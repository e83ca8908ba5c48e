"""Retired systems and purposes: left out of the catalogue's lines for events from then on."""

from collections.abc import Mapping

from tests.oracle.instants import instant
from tests.oracle.windows import Holding

Retired = Mapping[str, str]
"""From when on the system or the purpose of that name gets nothing new."""


def without_retired(all_holdings: list[Holding], retired: Retired) -> list[Holding]:
    """Return the holdings without what was retired when their event happened, or that no system has."""

    def is_retired(name: str, holding: Holding) -> bool:
        return name in retired and instant(retired[name]) <= holding["at"]

    holdings: list[Holding] = []
    for holding in all_holdings:
        systems = [system for system in holding["systems"] if not is_retired(system, holding)]
        if systems and not is_retired(holding["purpose"], holding):
            due_at = {system: holding["due_at"][system] for system in systems}
            holdings.append({**holding, "systems": systems, "due_at": due_at})
    return holdings
