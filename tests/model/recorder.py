"""The recorder and the operators in the model: events reach the ledger, and policies are activated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from services.ledger.command_state import State as CommandState
from services.ledger.command_state import next_state
from tests.model.checker import Move
from tests.model.state import Fact, Ledger, Recorder, State, World, put

CLAIMABLE = ("", "cancelled", "recalled", "reopened")
OUT = ("sending", "sent")


def withdraw(world: World, ledger: Ledger, tick: int, record: int) -> Ledger:
    """Cancel or, where it may have been sent, recall what is no longer required."""
    old = ledger.obligations[record]
    asked = world.asks(ledger.facts, ledger.active, tick, record)
    if old.state not in ("unsent", *OUT) or asked:
        return ledger
    if old.state == "unsent" and old.is_again:
        return ledger.change(record, state="reopened")
    return ledger.change(record, state=next_state(cast(CommandState, old.state), "clock_changed"))


def dated(world: World, ledger: Ledger, record: int) -> Ledger:
    """Return the record with the due time that facts and policy now give it."""
    due = world.nominate(ledger.facts, ledger.active, record)
    return ledger._replace(due=put(ledger.due, record, due), to_date=ledger.to_date - {record})


def _recorded(world: World, state: State, seen: Recorder) -> State:
    """Commit the transaction: by what it read, records get due times and commands are withdrawn."""
    gone, (kind, who) = {seen.fact}, seen.fact
    facts = seen.facts | gone
    ledger = state.ledger._replace(facts=state.ledger.facts | gone)
    out = {
        record
        for deleter in state.deleters
        if deleter.emission
        for record in deleter.emission.records
    }
    for record, person in enumerate(world.persons):
        if (record == who) if kind == "record" else (person == who and ("record", record) in facts):
            due = world.nominate(facts, seen.active, record)
            ledger = ledger._replace(due=put(ledger.due, record, due))
            if not (record in out and world.broken == "what emission drops stays"):
                ledger = withdraw(world, ledger, state.tick, record)
    return state._replace(
        ledger=ledger,
        unread=state.unread - gone,
        old=state.old - gone,
        parked=state.parked - gone,
        recorders=tuple(recorder for recorder in state.recorders if recorder != seen),
    )


def _is_locked(world: World, state: State, fact: Fact) -> bool:
    """Return whether a transaction decides on that person, or records about the same person."""
    is_record = fact[0] == "record"
    if not is_record and fact[1] in {world.persons[record] for record in state.locked}:
        return True
    facts = [recorder.fact for recorder in state.recorders]
    busy = {world.person(other) for other in facts if not (is_record and other[0] == "record")}
    return world.person(fact) in busy and world.broken != "subjects are not locked"


def moves(world: World, state: State) -> Iterator[Move[State]]:
    """Return the possible next steps of publishers, recorders, time and operators."""
    ledger = state.ledger
    if state.future:
        fact, *rest = state.future
        after = state._replace(future=tuple(rest), unread=state.unread | {fact})
        yield Move(f"{_words(fact)} is published", after, fair=False)
    if state.tick < world.last:
        yield Move("time passes: a term may be over", state._replace(tick=state.tick + 1))
    if state.unread - state.old and "five seconds" in state.chances:
        after = state.spend("five seconds", old=state.unread)
        for number, deleter in enumerate(state.deleters):
            if deleter.at == "looked" and world.broken != "ends are never too old":
                after = after.at(number, "decided", deleter.emission)
        yield Move("it lies unread for more than five seconds", after, fair=False)
    fits = ledger.active == state.policy or world.broken == "a restored policy is trusted"
    for fact in sorted(state.unread | state.parked) if fits else ():
        if any(recorder.fact == fact for recorder in state.recorders) or _is_locked(
            world, state, fact
        ):
            continue
        seen = Recorder(fact, ledger.active, ledger.facts)
        if not world.recorders:
            yield Move(f"{_words(fact)} is recorded", _recorded(world, state, seen))
        elif len(state.recorders) < world.recorders:
            after = state._replace(recorders=(*state.recorders, seen))
            yield Move(f"a recorder begins with {_words(fact)}", after)
        if fact[0] == "hold" and "park" in state.chances:
            after = state.spend("park", parked=state.parked | {fact})
            after = after._replace(unread=state.unread - {fact}, old=state.old - {fact})
            yield Move(f"{_words(fact)} is parked as a dead letter", after, fair=False)
    for seen in state.recorders:
        after = _recorded(world, state, seen)
        yield Move(f"the recorder of {_words(seen.fact)} commits", after)
    yield from _operators(world, state)


def _operators(world: World, state: State) -> Iterator[Move[State]]:
    ledger = state.ledger
    activates = "activate" in state.chances and state.policy == world.policy
    shared = state.recorders and world.broken != "the active policy is not locked"
    if (activates or ledger.active != state.policy) and not state.locked and not shared:
        records = frozenset(who for kind, who in ledger.facts if kind == "record")
        new = ledger._replace(active=1 - world.policy, to_date=records)
        after = state.spend("activate") if activates else state
        after = after._replace(policy=1 - world.policy, ledger=new)
        yield Move("the other policy is activated", after, fair=not activates)
    for record in sorted(ledger.to_date):
        new = withdraw(world, dated(world, ledger, record), state.tick, record)
        yield Move(f"record {record} is dated again", state._replace(ledger=new))
    if "pause" in state.chances:
        after = state.spend("pause", is_paused=True)
        yield Move("an operator pauses the system", after, fair=False)
    if "hide" in state.chances:
        after = state.spend("hide", is_hidden=True)
        yield Move("the brokers do not show a partition", after, fair=False)
    if state.is_hidden:
        yield Move("the brokers show it again", state._replace(is_hidden=False))


def _words(fact: Fact) -> str:
    kind, who = fact
    return f"record {who}" if kind == "record" else f"'{kind}' of person {who}"
