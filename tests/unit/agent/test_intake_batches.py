"""Commands that arrive in one batch: the inbox is then as if each had arrived alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from services.agent import tables
from services.agent.command import Command
from tests.effort import examples
from tests.unit.agent.environment import T0, AgentEnvironment, FakeAdapter, command, record

_ACTIONS = ("erase", "restrict", "lift", "verify", "recall")


@st.composite
def arrivals(draw: st.DrawFn) -> list[Command]:
    """Return commands of two people: new ones, repetitions, recalls, replaced and expired ones."""
    commands: list[Command] = []
    for number in range(draw(st.integers(1, 8))):
        if commands and draw(st.integers(0, 1)) == 1:
            again = draw(st.sampled_from(commands))
            later = again.issued_at + timedelta(minutes=draw(st.integers(0, 9)))
            commands.append(replace(again, attempt=again.attempt + 1, issued_at=later))
            continue
        action = draw(st.sampled_from(_ACTIONS))
        earlier = draw(st.sampled_from(["c0", "c1", "c2", "c3"]))
        further: dict[str, Any] = {"supersedes": earlier} if draw(st.booleans()) else {}
        if action == "recall":
            further["supersedes"] = earlier
        commands.append(
            command(
                f"c{number}",
                subject=draw(st.sampled_from(["customer:C1", "customer:C2"])),
                action=action,
                records=(record(draw(st.sampled_from(["O1", "O2"]))),),
                seq=draw(st.integers(1, 9)),
                epoch=draw(st.integers(0, 2)),
                issued_at=T0 + timedelta(minutes=draw(st.integers(-9, 9))),
                valid_until=T0 + timedelta(days=draw(st.sampled_from([-1, 7]))),
                **further,
            )
        )
    return commands


def state_of(environment: AgentEnvironment) -> list[tuple[Any, ...]]:
    """Return the inbox, without the payloads: these are encrypted differently each time."""
    entry = tables.entry
    columns = [column for column in entry.c if column.name != "sealed"]
    with environment.ledger.transaction() as connection:
        entries = connection.execute(select(*columns).order_by(entry.c.command_id))
        newest = connection.execute(select(tables.newest).order_by(tables.newest.c.grp))
        rows = [tuple(row) for row in (*entries, *newest)]
        sealed = connection.execute(
            select(entry.c.command_id, entry.c.sealed.is_not(None)).order_by(entry.c.command_id)
        )
        return [*rows, *(tuple(row) for row in sealed)]


@settings(max_examples=examples(150), deadline=None)
@given(before=arrivals(), together=arrivals(), runs=st.booleans())
def test_a_batch_has_the_result_of_its_commands_one_by_one(
    before: list[Command], together: list[Command], runs: bool
) -> None:
    """Whatever was there before, and whether that was carried out."""
    at_once, alone = (AgentEnvironment(adapter=FakeAdapter()) for _ in range(2))
    alone.inbox._cipher._secret = at_once.inbox._cipher._secret  # the same groups in both
    for environment in (at_once, alone):
        for message in before:
            environment.arrive(message)
        if runs:
            environment.execute()
    decisions = at_once.arrive(*together)
    assert decisions == [decision for message in together for decision in alone.arrive(message)]
    assert state_of(at_once) == state_of(alone)
