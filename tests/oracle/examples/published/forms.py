"""Short builders of published schedules, and of the cases that test them."""

from tests.oracle.examples.language.forms import LanguageExample, Row
from tests.oracle.language import Anchor, EventType, Move, Part, Rule, Schedule, Use
from tests.oracle.language.rules import Event


def clock(name: str) -> Anchor:
    return Anchor(kind="clock", name=name)


def at_least(*parts: Part) -> Rule:
    return Rule(kind="at_least", parts=parts)


def at_most(*parts: Part) -> Rule:
    return Rule(kind="at_most", parts=parts)


def record(rule: str, *moves: Move, dates: tuple[str, ...] = ()) -> EventType:
    """Return an event type whose data is kept under one rule."""
    use = Use(purpose="records", rule=rule, systems=("archive",))
    return EventType(uses=(use,), moves=moves, dates=dates)


def ends(name: str, at: str = "") -> Move:
    return Move(clock=name, ends=True, at=at)


def starts(name: str) -> Move:
    return Move(clock=name, ends=False)


def kept(
    event: str, rule: str, anchor_at: str, not_before: str, erase_by: str, state: str = "scheduled"
) -> Row:
    """Return the row of a record that is kept at least until then."""
    return Row(event, rule, anchor_at, not_before, erase_by, not_before, state)


def gone(event: str, rule: str, anchor_at: str, erase_by: str, due: str) -> Row:
    """Return the row of a record that is kept at most until then."""
    return Row(event, rule, anchor_at, None, erase_by, due, "scheduled")


def permanent(event: str, rule: str) -> Row:
    """Return the row of a record that never falls due, or not as far as is known."""
    return Row(event, rule, None, None, None, None, "open")


def case(name: str, schedule: Schedule, *events: Event, rows: tuple[Row, ...]) -> LanguageExample:
    return LanguageExample(name=name, schedule=schedule, events=events, explained=rows)
