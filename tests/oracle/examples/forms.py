"""The data classes of an example, and short builders of its events."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.oracle.clocks import Event

END = "2060-01-01T00"


class Line(NamedTuple):
    """One holding that `explain` must print; `due` is the same for all its systems."""

    event: str
    purpose: str
    basis: str
    rule: str
    anchor_at: str | None
    erase_by: str | None
    due: str | None
    state: str
    subject: str | None = None


class Leaves(NamedTuple):
    """What `simulate` must print: the same command to each of these systems."""

    at: str
    systems: str
    action: str
    record: str
    rules: str
    purposes: str
    erase_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """Some events, and the expected output for the records that `explained` names."""

    name: str
    events: tuple[Event, ...]
    explained: tuple[Line, ...]
    sent: tuple[Leaves, ...]
    now: str | None = None
    until: str = END

    def expected_lines(self) -> list[dict[str, Any]]:
        """Return the expected `explain` lines in the form of `brief_lines`."""
        return sorted(
            (
                {
                    "event": line.event,
                    "purpose": line.purpose,
                    "basis": line.basis,
                    "rule": line.rule,
                    "anchor_at": full(line.anchor_at),
                    "erase_by": full(line.erase_by),
                    "due_at": [full(line.due)],
                    "state": line.state,
                    "subject": line.subject,
                }
                for line in self.explained
            ),
            key=_by_holding,
        )

    def brief_lines(self, printed: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the printed lines of this example's records; with the subject where one is expected."""
        records = {line.event for line in self.explained}
        named = {line.event for line in self.explained if line.subject is not None}
        keys = ("event", "purpose", "basis", "rule", "anchor_at", "erase_by", "state")
        return sorted(
            (
                {
                    **{key: line[key] for key in keys},
                    "due_at": sorted(set(line["due_at"].values()), key=str),
                    "subject": line["subject"] if line["event"] in named else None,
                }
                for line in printed
                if line["event"] in records
            ),
            key=_by_holding,
        )

    def expected_commands(self) -> list[tuple[Any, ...]]:
        """Return the expected `simulate` commands in the form of `brief_commands`."""
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
            for command in self.sent
            for system in command.systems.split()
        )

    def brief_commands(self, printed: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
        """Return the printed commands of this example's records, one for each record and system."""
        records = {line.event for line in self.explained}
        keys = ("issued_at", "system", "action", "record", "rules", "purposes", "erase_by")
        return sorted(
            tuple(command[key] for key in keys)
            for command in printed
            if command["record"] in records
        )


def _by_holding(line: dict[str, Any]) -> tuple[str, str, str]:
    return line["event"], line["purpose"], line["subject"] or ""


def full(at: str | None) -> str | None:
    """Return an instant as the command line writes it."""
    if at is None:
        return None
    return at + ":00:00Z"[3 * at.count(":") :]


def event(id_: str, type_: str, at: str, **data: Any) -> Event:
    return {"id": id_, "source": "/crm", "type": type_, "time": full(at), "data": data}


def act(id_: str, kind: str, at: str, subject: str, **data: Any) -> Event:
    """Return a `privacy.*` event."""
    return event(id_, f"privacy.{kind}", at, subject=subject, **data)


def invited(id_: str, at: str) -> Event:
    return event(id_, "research.survey-invited", at, survey_id="1", customer_id="1")


def answered(id_: str, at: str) -> Event:
    return event(id_, "research.survey-answered", at, survey_id="1", customer_id="1")


def feedback(id_: str, at: str) -> Event:
    return event(id_, "website.feedback-given", at, feedback_id=id_, visitor_id="1")


def order(id_: str, at: str) -> Event:
    data = {"order_id": id_, "customer_id": "1", "consumer_id": "1", "amount": "12.50"}
    return event(id_, "orders.order-placed", at, **data)


def purchase(id_: str, at: str) -> Event:
    return event(id_, "purchases.purchase-made", at, purchase_id=id_, customer_id="1")


def terminated(id_: str, at: str) -> Event:
    return event(id_, "customers.customer-terminated", at, customer_id="1")


def requested(right: str, received: str, verified: str | None, subject: str) -> tuple[Event, ...]:
    """Return request r1 of this right: p1 receives it, p2 verifies the identity."""
    received_event = act("p1", "request-received", received, subject, request_id="r1", right=right)
    if verified is None:
        return (received_event,)
    return received_event, act("p2", "identity-verified", verified, subject, request_id="r1")
