"""Whatever is sent, carried out or recalled in between: in the end what is restricted is what has ended.

A member of the club leaves and comes back. The app carries out its commands late; a recall may come before
or after that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.deleter.message import CommandMessage
from services.storage.database import Database
from tests.contract.ledgers import empty_database, instant
from tests.contract.test_resumed_purposes import JOINED, Club, joined, left, returned
from tests.effort import SLOW, examples


@dataclass
class App:
    """A system that restricts by purpose, and carries out its commands one by one, in their order."""

    club: Club
    restricted: set[str] = field(default_factory=set)
    waiting: list[CommandMessage] = field(default_factory=list)
    done: set[UUID] = field(default_factory=set)
    read: int = 0

    def receive(self) -> None:
        """Take what was sent since; a repetition of what waits is the same command."""
        known = {message.value["command_id"] for message in self.waiting}
        new = self.club.bus.sent[self.read :]
        self.waiting += [item for item in new if item.value["command_id"] not in known]
        self.read = len(self.club.bus.sent)

    def carry_out_one(self, now: str) -> None:
        if not self.waiting:
            return
        command = self.waiting.pop(0).value
        identity = UUID(command["command_id"])
        match command["action"]:
            case "restrict":
                self.restricted |= set(command["purposes"])
            case "lift":
                self.restricted -= set(command["purposes"])
            case "recall":
                self._recall(identity, UUID(command["supersedes"]), now)
                return
        self.done.add(identity)
        self.club.answer(identity, "done", now)

    def _recall(self, recall: UUID, original: UUID, now: str) -> None:
        is_late = original in self.done
        self.waiting = [item for item in self.waiting if item.value["command_id"] != str(original)]
        self.club.answer(recall, "already_done" if is_late else "recalled", now)

    def recall_first(self) -> None:
        """Take recalls before what they recall, as from another partition."""
        self.waiting.sort(key=lambda item: item.value["action"] != "recall")


@settings(max_examples=examples(20), deadline=None, suppress_health_check=SLOW)
@example(steps=["leave", "send", "a year"])  # over a leap day
@given(
    steps=st.lists(
        st.sampled_from(
            ["leave", "return", "send", "carry out", "recall first", "a month", "a year"]
        ),
        max_size=25,
    )
)
def test_in_the_end_what_is_restricted_is_what_has_ended(
    shared_ledger: Database, steps: list[str]
) -> None:
    club = Club(empty_database(shared_ledger))
    app, now, left_at = App(club), instant(JOINED), None
    club.record_events([joined()], JOINED)
    for number, step in enumerate(steps):
        now += timedelta(days={"a month": 30, "a year": 363}.get(step, 1))
        text = now.isoformat()
        if step in ("leave", "return"):
            event = (left if step == "leave" else returned)(f"m{number}", text)
            club.record_events([event], text)
            left_at = now if step == "leave" else None
        elif step == "send":
            club.send(text)
            app.receive()
        elif step == "carry out":
            app.carry_out_one(text)
        elif step == "recall first":
            app.recall_first()
    for _ in range(40):
        now += timedelta(minutes=1)
        club.send(now.isoformat())
        app.receive()
        app.carry_out_one(now.isoformat())
    assert not app.waiting
    assert app.restricted == expected(left_at, now)


def expected(left_at: datetime | None, now: datetime) -> set[str]:
    """Care ends a year after the membership, by the Dutch calendar; its command is sent a day earlier."""
    if left_at is None:
        return set()
    local = left_at.astimezone(ZoneInfo("Europe/Amsterdam"))
    is_leap_day = (local.month, local.day) == (2, 29)
    ends = local.replace(year=local.year + 1, day=28 if is_leap_day else local.day)
    return {"care"} if now >= ends.astimezone(UTC) - timedelta(days=1) else set()
