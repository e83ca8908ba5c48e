"""The data classes of an example of the policy language, and builders of small schedules and events."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.oracle.examples.forms import END, Leaves, full
from tests.oracle.language import EventType, Move, Rule, Schedule, Use, Variant
from tests.oracle.language.rules import Event

NOT_COMPARED = "not compared"
"""The anchor of a date whose local offset differs between editions of the time zone database."""


class Row(NamedTuple):
    """One holding that `explain` must print; `due` has each different instant of its systems, in order."""

    event: str
    rule: str
    anchor_at: str | None
    not_before: str | None
    erase_by: str | None
    due: str | None
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageExample:
    """A schedule, some events in the order of the file, and the expected output."""

    name: str
    schedule: Schedule
    events: tuple[Event, ...]
    explained: tuple[Row, ...]
    sent: tuple[Leaves, ...] | None = None
    """Not compared where None."""
    now: str | None = None
    until: str = END

    def expected_rows(self) -> list[tuple[Any, ...]]:
        return sorted(
            (
                row.event,
                row.rule,
                row.anchor_at if row.anchor_at == NOT_COMPARED else full(row.anchor_at),
                full(row.not_before),
                full(row.erase_by),
                row.due and " ".join(full(due) or "" for due in row.due.split()),
                row.state,
            )
            for row in self.explained
        )

    def brief_rows(self, printed: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
        """Return the printed lines in the form of `expected_rows`."""
        not_compared = {row.event for row in self.explained if row.anchor_at == NOT_COMPARED}
        rows: list[tuple[Any, ...]] = []
        for line in printed:
            dues = sorted({due for due in line["due_at"].values() if due})
            due = " ".join(dues) if dues else None
            anchor_at = NOT_COMPARED if line["event"] in not_compared else line["anchor_at"]
            window = anchor_at, line["not_before"], line["erase_by"], due
            rows.append((line["event"], line["rule"], *window, line["state"]))
        return sorted(rows)

    def expected_commands(self) -> list[tuple[Any, ...]]:
        return sorted(
            (
                full(command.at),
                system,
                command.action,
                command.record,
                sorted(command.rules.split()),
                sorted(command.purposes.split()),
                full(command.erase_by),
            )
            for command in self.sent or ()
            for system in command.systems.split()
        )

    def brief_commands(self, printed: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
        """Return the printed commands in the form of `expected_commands`."""
        keys = ("issued_at", "system", "action", "record", "rules", "purposes", "erase_by")
        return sorted(tuple(command[key] for key in keys) for command in printed)


def one_rule(
    rule: Rule | Variant, *, dates: tuple[str, ...] = (), moves: tuple[Move, ...] = (), **more: Any
) -> Schedule:
    """Return a schedule in which `file.opened` keeps data under the rule `main`, in one system.

    `case.ended` and `case.started` move the clock `case`, `report.ended` and `report.started` the clock
    `report`; `file.opened` makes the moves in `moves`.
    """
    return schedule(
        {"main": rule},
        EventType(uses=(Use(purpose="care", rule="main", systems=("app",)),), moves=moves),
        dates=dates,
        **more,
    )


def schedule(
    rules: Mapping[str, Rule | Variant],
    opened: EventType,
    *,
    dates: tuple[str, ...] = (),
    types: Mapping[str, EventType] | None = None,
    **more: Any,
) -> Schedule:
    """Return a schedule with these rules, in which `file.opened` is an event of this type."""
    return Schedule(
        rules=rules,
        clocks={"case": ("file",), "report": ("file",)},
        types={
            "file.opened": EventType(uses=opened.uses, moves=opened.moves, dates=dates),
            "case.ended": EventType(moves=(Move(clock="case", ends=True),)),
            "case.started": EventType(moves=(Move(clock="case", ends=False),)),
            "report.ended": EventType(moves=(Move(clock="report", ends=True),)),
            "report.started": EventType(moves=(Move(clock="report", ends=False),)),
            **(types or {}),
        },
        **more,
    )


def happened(id_: str, type_: str, at: str, source: str = "/crm", **data: str) -> Event:
    """Return an event about person 1 and file 1, unless `data` names another."""
    return {
        "id": id_,
        "source": source,
        "type": type_,
        "time": full(at),
        "data": {"person": "1", "file": "1", **data},
    }


def opened(at: str, **data: str) -> Event:
    """Return the event e1, whose data is kept."""
    return happened("e1", "file.opened", at, **data)


def kept(anchor_at: str, not_before: str, erase_by: str, state: str = "scheduled") -> Row:
    """Return the row of e1 under a rule that keeps it at least until then."""
    return Row("e1", "main", anchor_at, not_before, erase_by, not_before, state)


def gone(anchor_at: str, erase_by: str, due: str, state: str = "scheduled") -> Row:
    """Return the row of e1 under a rule that keeps it at most until then."""
    return Row("e1", "main", anchor_at, None, erase_by, due, state)


OPEN = Row("e1", "main", None, None, None, None, "open")
"""The row of e1 while nothing is due."""
