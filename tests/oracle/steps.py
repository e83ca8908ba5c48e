"""One step for one record in one system, and the mark that records that it was done."""

from datetime import datetime
from typing import NamedTuple

from tests.oracle.windows import Holding


class Step(NamedTuple):
    """One thing to do to one record in one system, by the facts known at that moment."""

    due: datetime
    system: str
    subject: str
    action: str
    source: str
    record: str
    rules: tuple[str, ...]
    purposes: tuple[str, ...]
    erase_by: datetime
    cause: str = ""
    """Of what an objection or a request brings about: which."""


class Done(NamedTuple):
    """The mark of a finished step: for a purpose that ended, for a cause, or for the whole record."""

    system: str
    source: str
    record: str
    subject: str
    action: str
    what: str


def step(
    due: datetime, system: str, action: str, of: list[Holding], promised: list[Holding]
) -> Step:
    """Return the step for these holdings; its erase_by is their latest."""
    by = max(moment for holding in promised if (moment := holding["erase_by"]) is not None)
    return make_step(due, system, action, of, by, "")


def telling(due: datetime, system: str, action: str, of: list[Holding], cause: str) -> Step:
    """Return a step that an objection or a request requires, due at one instant."""
    return make_step(due, system, action, of, due, cause)


def make_step(
    due: datetime, system: str, action: str, of: list[Holding], erase_by: datetime, cause: str
) -> Step:
    return Step(
        due=due,
        system=system,
        subject=of[0]["subject"],
        action=action,
        source=of[0]["source"],
        record=of[0]["event"],
        rules=tuple(sorted({holding["rule"] for holding in of})),
        purposes=tuple(sorted({holding["purpose"] for holding in of})),
        erase_by=erase_by,
        cause=cause,
    )


def mark(system: str, holding: Holding, action: str, what: str = "") -> Done:
    return Done(system, holding["source"], holding["event"], holding["subject"], action, what)


def marks(step: Step) -> set[Done]:
    whats = step.purposes if step.action == "restrict" and not step.cause else (step.cause,)
    return {
        Done(step.system, step.source, step.record, step.subject, step.action, what)
        for what in whats
    }


def restricted_as_ended(step: Step) -> set[Done]:
    """Return the marks of the step's purposes as restricted because they had ended."""
    return {
        Done(step.system, step.source, step.record, step.subject, "restrict", purpose)
        for purpose in step.purposes
    }
