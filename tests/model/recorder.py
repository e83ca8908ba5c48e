"""Recorder and operators: what happens gets into the ledger, and policies take over."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.checker import Move
from tests.model.state import Fact, Ledger, Recorder, State, World, become, put, spend

WITHDRAWN = ("unsent", "sending", "sent")


def withdraw(world: World, ledger: Ledger, tick: int, record: int) -> Ledger:
    """Cancel, or recall where it may be out, what is not asked for any more."""
    one = ledger.obligations[record]
    if one.state not in WITHDRAWN or world.asks(ledger.facts, ledger.active, tick, record):
        return ledger
    again = one.state == "unsent" and one.is_again
    changed = one._replace(state="reopened") if again else become(one, "clock_changed")
    return ledger._replace(obligations=put(ledger.obligations, record, changed))


def dated(world: World, ledger: Ledger, record: int) -> Ledger:
    """The record nominated by what facts and policy say now."""
    due = world.nominate(ledger.facts, ledger.active, record)
    return ledger._replace(due=put(ledger.due, record, due), to_date=ledger.to_date - {record})


def _recorded(world: World, state: State, seen: Recorder) -> Ledger:
    ledger = state.ledger
    kind, who = fact = seen.fact
    ledger = ledger._replace(facts=ledger.facts | {fact})
    facts = seen.facts | {fact}
    for record, person in enumerate(world.persons):
        if (record == who) if kind == "record" else (person == who and ("record", record) in facts):
            due = world.nominate(facts, seen.active, record)
            ledger = ledger._replace(due=put(ledger.due, record, due))
            repeated = any(
                one.emission and record in one.emission.records for one in state.deleters
            )
            if not (repeated and "what emission drops stays" in world.broken):
                ledger = withdraw(world, ledger, state.tick, record)
    return ledger


def _is_locked(world: World, state: State, fact: Fact) -> bool:
    """Whether somebody decides on that person, or records about the same."""
    kind, who = fact
    if kind == "record":
        person = world.persons[who]
        others = {one.fact for one in state.recorders if one.fact[0] != "record"}
        open_on = {of for _, of in others}
    else:
        person = who
        producing = [one.emission for one in state.deleters if one.at == "producing"]
        if any(world.persons[r] == who for one in producing if one for r in one.records):
            return True
        open_on = {
            world.persons[of] if other == "record" else of
            for other, of in (one.fact for one in state.recorders)
        }
    return person in open_on and "subjects are not locked" not in world.broken


def moves(world: World, state: State) -> Iterator[Move[State]]:
    """What publishers, recorders, time and operators can do next."""
    ledger = state.ledger
    if state.future:
        fact, *rest = state.future
        after = state._replace(future=tuple(rest), unread=state.unread | {fact})
        yield Move(f"{_words(fact)} is published", after, fair=False)
    if state.tick < world.last:
        yield Move("time passes: a term may be over", state._replace(tick=state.tick + 1))
    if state.unread - state.old and "five seconds" in state.chances:
        kept = state.deleters
        if "ends are never too old" not in world.broken:
            kept = tuple(
                o._replace(at="decided", ends=frozenset()) if o.at == "looked" else o for o in kept
            )
        after = spend(state, "five seconds")._replace(old=state.unread, deleters=kept)
        yield Move("it lies unread for more than five seconds", after, fair=False)
    fits = ledger.active == state.policy or "a restored policy is trusted" in world.broken
    for fact in sorted(state.unread | state.parked) if fits else ():
        busy = any(one.fact == fact for one in state.recorders)
        if busy or _is_locked(world, state, fact):
            continue
        seen = Recorder(fact, ledger.active, ledger.facts)
        if not world.recorders:
            yield Move(f"{_words(fact)} is recorded", _commit(world, state, seen))
        elif len(state.recorders) < world.recorders:
            after = state._replace(recorders=(*state.recorders, seen))
            yield Move(f"a recorder begins with {_words(fact)}", after)
        if fact[0] == "hold" and "park" in state.chances:
            after = spend(state, "park")._replace(
                unread=state.unread - {fact}, old=state.old - {fact}, parked=state.parked | {fact}
            )
            yield Move(f"{_words(fact)} is parked as a dead letter", after, fair=False)
    for seen in state.recorders:
        others = tuple(one for one in state.recorders if one != seen)
        after = _commit(world, state, seen)._replace(recorders=others)
        yield Move(f"the recorder of {_words(seen.fact)} commits", after)
    yield from _operators(world, state)


def _commit(world: World, state: State, seen: Recorder) -> State:
    gone = {seen.fact}
    return state._replace(
        ledger=_recorded(world, state, seen),
        unread=state.unread - gone,
        old=state.old - gone,
        parked=state.parked - gone,
    )


def _operators(world: World, state: State) -> Iterator[Move[State]]:
    ledger = state.ledger
    activates = "activate" in state.chances and state.policy == world.policy
    producing = any(one.at == "producing" for one in state.deleters)
    shared = state.recorders and "the active policy is not locked" not in world.broken
    if (activates or ledger.active != state.policy) and not producing and not shared:
        found = {who for kind, who in ledger.facts if kind == "record"}
        after = spend(state, "activate") if activates else state
        after = after._replace(
            policy=1 - world.policy,
            ledger=ledger._replace(active=1 - world.policy, to_date=frozenset(found)),
        )
        yield Move("the other policy is activated", after, fair=not activates)
    for record in sorted(ledger.to_date):
        new = withdraw(world, dated(world, ledger, record), state.tick, record)
        yield Move(f"record {record} is dated again", state._replace(ledger=new))
    if "pause" in state.chances:
        after = spend(state, "pause")._replace(is_paused=True)
        yield Move("an operator pauses the system", after, fair=False)
    if "hide" in state.chances:
        after = spend(state, "hide")._replace(is_hidden=True)
        yield Move("the brokers do not show a partition", after, fair=False)
    if state.is_hidden:
        yield Move("the brokers show it again", state._replace(is_hidden=False))


def _words(fact: Fact) -> str:
    kind, who = fact
    return f"record {who}" if kind == "record" else f"'{kind}' of person {who}"
