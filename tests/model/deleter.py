"""The deleter in the model: claims, the two transactions of an emission, and a restored ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.model.checker import Move
from tests.model.recorder import CLAIMABLE, OUT, dated, withdraw
from tests.model.state import Deleter, Emission, Kind, Ledger, Promise, State, World, put


def moves(world: World, state: State) -> Iterator[Move[State]]:
    """Return the deleters' possible next steps."""
    fits = state.ledger.active == state.policy or world.broken == "a restored policy is trusted"
    if state.ledger.is_blind:
        yield from _adopt(world, state)
    elif fits:
        claimed = _claimed(world, state)
        if claimed != state.ledger:
            yield Move("due records are claimed", state._replace(ledger=claimed))
    for number, deleter in enumerate(state.deleters):
        steps: Iterator[Move[State]] = iter(())
        if deleter.at != "idle":
            steps = _go_on(world, state, number, deleter)
        elif fits and not state.ledger.is_blind and state.deleters.index(deleter) == number:
            steps = _decide(world, state, number)
        for move in steps:
            yield move._replace(label=f"deleter {number}: {move.label}")


def _claimed(world: World, state: State) -> Ledger:
    ledger = state.ledger
    for record, due in enumerate(ledger.due):
        old = ledger.obligations[record].state
        if due is None or due > state.tick or old not in CLAIMABLE:
            continue
        if world.asks(ledger.facts, ledger.active, state.tick, record):
            is_again = old == "reopened"
            ledger = ledger.change(record, state="unsent", policy=ledger.active, is_again=is_again)
        else:
            ledger = dated(world, ledger, record)
            later = ledger.due[record]
            if later is not None and later <= state.tick:  # a contested key: until it is decided
                ledger = ledger._replace(due=put(ledger.due, record, None))
    return ledger


def _is_asked(world: World, state: State, ledger: Ledger, record: int) -> bool:
    """Return whether emission finds that the erasure is still required."""
    policy = ledger.active
    if world.broken == "sums are compared across plans":
        policy = ledger.obligations[record].policy  # no clock moved since: as it was decided
    decides_nothing = world.broken == "emission decides nothing"
    return decides_nothing or world.asks(ledger.facts, policy, state.tick, record)


def _is_withheld(world: World, state: State, record: int) -> bool:
    parked = {who for _, who in state.parked}
    return world.persons[record] in parked and world.broken != "what is parked is recorded"


def _is_live(state: State, number: int) -> bool:
    """Return whether an emission may still be acknowledged."""
    answered = {answer.number for answer in state.ledger.settled}
    waiting = {deleter.emission for deleter in state.deleters} | state.flight
    waiting |= {emission for emission in state.topic if emission.number not in answered}
    return any(emission and emission.number == number for emission in waiting)


def _decide(world: World, state: State, deleter: int) -> Iterator[Move[State]]:
    """Make the first transaction: write command, items and number, which count as sent from then on."""
    ledger = state.ledger
    asked = [r for r in range(len(world.persons)) if _is_asked(world, state, ledger, r)]
    out = [record for record in asked if ledger.obligations[record].state in OUT]
    fresh, recalls, checks = [], [], []
    repeats: dict[int, list[int]] = {}
    for record, old in enumerate(ledger.obligations):
        last, waits = ledger.emission(old.number), _is_live(state, old.number)
        if _is_withheld(world, state, record) and old.state != "recalling":
            continue
        if old.state == "unsent" and record in asked:
            fresh.append(record)
        elif record in asked and (old.state == "recalling" or (record in out and not waits)):
            repeats.setdefault(old.command, []).append(record)
        elif old.state == "recalling" and record not in asked:
            recalls += [] if last and last.kind == "recall" and waits else [record]
        elif old.state == "acknowledged" and not _is_live(state, old.check):
            checks.append(record)
    if not state.is_paused:
        yield from _begin(world, state, deleter, "erasure", fresh)
        for command, records in sorted(repeats.items()):
            yield from _begin(world, state, deleter, "erasure", records, command)
            if "halve" in state.chances:
                halved = state.spend("halve")
                yield from _begin(world, halved, deleter, "erasure", records[:1])
        for record in out if "impatient" in state.chances else ():
            again, command = state.spend("impatient"), ledger.obligations[record].command
            yield from _begin(world, again, deleter, "erasure", [record], command)
    if not (state.is_paused and world.broken == "recalls wait behind a pause"):
        yield from _begin(world, state, deleter, "recall", recalls)
    yield from _begin(world, state, deleter, "check", checks)


def _begin(
    world: World, state: State, deleter: int, kind: Kind, records: Sequence[int], command: int = 0
) -> Iterator[Move[State]]:
    old, number = state.ledger, state.ledger.sequence + 1
    same = [e for e in old.log if e.kind == kind == "erasure" and e.records == tuple(records)]
    if not records or (same and not command and world.broken == "ids follow from contents"):
        return  # a command of that id is there: the transaction fails, each time
    keeps = command and world.broken != "items are renumbered"
    items = tuple((old.obligations[r].item if keeps else n, r) for n, r in enumerate(records))
    about = old.obligations[records[0]].command if kind == "recall" else 0
    emission = Emission(number, kind, command or number, items, about)
    ledger = old._replace(sequence=number, log=old.log | {emission})
    for item, record in items:
        if kind == "erasure":
            out = "sent" if old.obligations[record].state == "sent" else "sending"
            ledger = ledger.change(
                record, state=out, command=emission.command, item=item, policy=old.active
            )
        ledger = ledger.change(record, **{"check" if kind == "check" else "number": number})
    if kind == "erasure" and world.broken == "produce before commit":
        after = state._replace(
            ledger=old._replace(sequence=number), flight=state.flight | {emission}
        )
        after = after.at(deleter, "producing", emission, frozenset(), ledger)
        yield Move(f"decides {emission} and sends it, and has not committed", after)
        return
    after = state._replace(ledger=ledger).at(deleter, "decided", emission)
    yield Move(f"decides {emission}", after)


def _go_on(world: World, state: State, number: int, deleter: Deleter) -> Iterator[Move[State]]:
    emission = deleter.emission
    assert emission is not None
    if "crash" in state.chances:
        yield Move("dies", state.spend("crash").at(number), fair=False)
    harmless = emission.kind != "erasure" or world.broken == "emission is blind"
    if deleter.at == "producing":
        if emission in state.topic:
            after = state._replace(ledger=_marked(state.ledger, emission, deleter))
            yield Move("commits, knowing that it is out", after.at(number))
        elif "time-out" in state.chances:
            after = state.spend("time-out").at(number)
            yield Move("gives up waiting for the broker", after, fair=False)
    elif deleter.at == "decided" and not harmless:
        if not state.is_hidden or world.broken == "what is not shown is empty":
            ends = frozenset() if state.is_hidden else state.unread
            yield Move("reads the ends of the bus", state.at(number, "looked", emission, ends))
    elif deleter.ends & state.unread:
        again = state.at(number, "decided", emission)
        yield Move("rolls back, since not all is recorded", again)
    else:
        yield from _produce(world, state, number, emission)


def _produce(world: World, state: State, number: int, emission: Emission) -> Iterator[Move[State]]:
    """Make the second transaction: decide again under locks, and at most remove items."""
    ledger = state.ledger
    if state.locked & set(emission.records):
        return
    items = emission.items
    if emission.kind == "erasure":
        items = ()
        for item, record in emission.items:
            old = ledger.obligations[record]
            mine = old.number == emission.number and old.state in OUT
            asked = _is_asked(world, state, ledger, record)
            if mine and not asked and world.broken != "what emission drops stays":
                ledger = withdraw(world, ledger, state.tick, record)
            fits = world.broken == "emission decides nothing" or (mine and asked)
            if fits and not _is_withheld(world, state, record):
                items = (*items, (item, record))
    sent = emission._replace(items=items)
    after = state._replace(ledger=ledger._replace(log=(ledger.log - {emission}) | {sent}))
    if items:
        after = after._replace(flight=state.flight | {sent}).at(number, "producing", sent)
        yield Move(f"sends {sent}", after, fault=_fault(world, state, sent))
    else:
        yield Move("leaves everything out", after.at(number))


def _fault(world: World, state: State, sent: Emission) -> str | None:
    """Return what is wrong with an erasure that leaves now, by the correct rules."""
    if sent.kind != "erasure":
        return None
    facts, parked = state.ledger.facts, {who for _, who in state.parked}
    if state.old or any(world.persons[record] in parked for record in sent.records):
        return Promise.UNREAD
    for record in sent.records:
        if not world.right.asks(facts, state.policy, state.tick, record):
            if ("hold", world.persons[record]) in facts:
                return Promise.HOLD
            holds = world.right.asks(facts, 1 - state.policy, state.tick, record)
            return Promise.POLICY if holds else Promise.MINIMUM
    return None


def _marked(ledger: Ledger, emission: Emission, deleter: Deleter) -> Ledger:
    for record in emission.records:
        if deleter.uncommitted:
            decided = deleter.uncommitted.obligations[record]
            ledger = ledger._replace(log=ledger.log | {emission})
            ledger = ledger.change(record, **decided._asdict())
        now = ledger.obligations[record]
        is_out = now.state in OUT and now.number == emission.number
        if emission.kind == "erasure" and is_out:
            ledger = ledger.change(record, state="sent")
    return ledger


def _adopt(world: World, state: State) -> Iterator[Move[State]]:
    """Do what a restored ledger does before anything is sent."""
    ledger = state.ledger._replace(is_blind=False)
    if world.broken == "nothing is adopted":
        yield Move("the restored ledger goes on", state._replace(ledger=ledger))
        return
    if state.unread or (state.flight and world.broken != "adoption waits for nothing"):
        return
    for emission in sorted(state.topic):
        number, command = emission.number, emission.command
        for item, record in emission.items if not state.ledger.emission(number) else ():
            ledger = ledger._replace(log=ledger.log | {emission})
            if emission.kind == "check":
                ledger = ledger.change(record, check=number)
            elif emission.kind == "recall":
                ledger = ledger.change(record, state="recalling", number=number)
            else:
                restored = {"command": command, "item": item, "policy": ledger.active}
                fresh = {"state": "sending", "number": number, "check": 0, "is_again": False}
                ledger = ledger.change(record, **restored, **fresh)
    for record in range(len(world.persons)):
        ledger = withdraw(world, ledger, state.tick, record)
    yield Move("the restored ledger adopts what is out", state._replace(ledger=ledger))
