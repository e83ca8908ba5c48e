"""Deleters: claim, the two transactions of an emission, and what a restored ledger adopts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.model.checker import Move
from tests.model.recorder import dated, withdraw
from tests.model.state import (
    Deleter,
    Emission,
    Kind,
    Ledger,
    Obligation,
    State,
    World,
    become,
    put,
    spend,
)

UNREAD = "nothing is emitted past what is unread"
HOLD = "nothing is emitted under a hold"
POLICY = "nothing is emitted that the active policy keeps"
MINIMUM = "nothing is emitted before its time"
CLAIMABLE = ("", "cancelled", "recalled", "reopened")
OUT = ("sending", "sent")


def moves(world: World, state: State) -> Iterator[Move[State]]:
    """What deleters can do next."""
    fits = state.ledger.active == state.policy or "a restored policy is trusted" in world.broken
    if state.ledger.is_blind:
        yield from _adopt(world, state)
    elif fits:
        claimed = _claimed(world, state)
        if claimed != state.ledger:
            yield Move("due records are claimed", state._replace(ledger=claimed))
        if Deleter() in state.deleters:
            yield from _decide(world, state, state.deleters.index(Deleter()))
    for number, deleter in enumerate(state.deleters):
        if deleter.at != "idle":
            for move in _go_on(world, state, number, deleter):
                yield move._replace(label=f"deleter {number}: {move.label}")


def _claimed(world: World, state: State) -> Ledger:
    ledger = state.ledger
    for record, due in enumerate(ledger.due):
        one = ledger.obligations[record]
        if due is None or due > state.tick or one.state not in CLAIMABLE:
            continue
        if world.asks(ledger.facts, ledger.active, state.tick, record):
            new = one._replace(
                state="unsent", policy=ledger.active, is_again=one.state == "reopened"
            )
            ledger = ledger._replace(obligations=put(ledger.obligations, record, new))
        else:
            ledger = dated(world, ledger, record)
            later = ledger.due[record]
            if later is not None and later <= state.tick:  # a contested key: until it is decided
                ledger = ledger._replace(due=put(ledger.due, record, None))
    return ledger


def _is_asked(world: World, state: State, ledger: Ledger, record: int) -> bool:
    """Whether emission finds that the obligation is asked for."""
    if "emission decides nothing" in world.broken:
        return True
    policy = ledger.active
    if "sums are compared across plans" in world.broken:
        policy = ledger.obligations[record].policy  # no clock moved since: as it was decided
    return world.asks(ledger.facts, policy, state.tick, record)


def _is_withheld(world: World, state: State, record: int) -> bool:
    parked = {who for _, who in state.parked}
    return world.persons[record] in parked and "what is parked is recorded" not in world.broken


def _is_live(state: State, number: int) -> bool:
    """Whether an emission may still be answered."""
    if any(one.emission and one.emission.number == number for one in state.deleters):
        return True
    answered = {one.number for one in state.ledger.settled}
    there = {one.number for one in state.topic} - answered
    return number in there or any(one.number == number for one in state.flight)


def _decide(world: World, state: State, deleter: int) -> Iterator[Move[State]]:
    """The first transaction: it writes command, items and number, and counts as out from then on."""
    fresh, checks, recalls, repeats = _needed(world, state)
    if fresh and not state.is_paused:
        yield from _begin(world, state, deleter, "do", fresh)
    for command, records in sorted(repeats.items()) if not state.is_paused else ():
        yield from _begin(world, state, deleter, "do", records, command)
        if "halve" in state.chances:
            yield from _begin(world, spend(state, "halve"), deleter, "do", records[:1])
    if "impatient" in state.chances and not state.is_paused:
        again = spend(state, "impatient")
        for record, one in enumerate(state.ledger.obligations):
            if one.state in OUT and _is_asked(world, state, state.ledger, record):
                yield from _begin(world, again, deleter, "do", [record], one.command)
    if recalls and not (state.is_paused and "recalls wait behind a pause" in world.broken):
        yield from _begin(world, state, deleter, "recall", recalls)
    if checks:
        yield from _begin(world, state, deleter, "verify", checks)


def _needed(
    world: World, state: State
) -> tuple[list[int], list[int], list[int], dict[int, list[int]]]:
    """Records to be erased, read again, recalled, and repeated by the command they are in."""
    ledger = state.ledger
    fresh: list[int] = []
    checks: list[int] = []
    recalls: list[int] = []
    repeats: dict[int, list[int]] = {}
    for record, one in enumerate(ledger.obligations):
        if _is_withheld(world, state, record) and one.state != "recalling":
            continue
        asked = _is_asked(world, state, ledger, record)
        recall = next(
            (e for e in ledger.log if e.number == one.number and e.kind == "recall"), None
        )
        waits = _is_live(state, one.number)
        if one.state == "unsent" and asked:
            fresh.append(record)
        elif asked and (one.state == "recalling" or (one.state in OUT and not waits)):
            repeats.setdefault(one.command, []).append(record)
        elif one.state == "recalling" and not asked and not (recall and waits):
            recalls.append(record)
        elif one.state == "acknowledged" and not _is_live(state, one.check):
            checks.append(record)
    return fresh, checks, recalls, repeats


def _begin(
    world: World, state: State, deleter: int, kind: Kind, records: Sequence[int], command: int = 0
) -> Iterator[Move[State]]:
    ledger = state.ledger
    number = ledger.sequence + 1
    same = [one for one in ledger.log if one.kind == kind == "do" and one.records == tuple(records)]
    if same and not command and "ids follow from contents" in world.broken:
        return  # a command of that id is there: the transaction fails, each time
    keeps = command and "items are renumbered" not in world.broken
    emission = Emission(
        number=number,
        kind=kind,
        command=command or number,
        items=tuple(
            (ledger.obligations[record].item if keeps else item, record)
            for item, record in enumerate(records)
        ),
        about=ledger.obligations[records[0]].command if kind == "recall" else 0,
    )
    obligations = ledger.obligations
    for item, record in emission.items:
        old = obligations[record]
        one = old._replace(check=number) if kind == "verify" else old._replace(number=number)
        if kind == "do":
            out = "sent" if one.state == "sent" else "sending"
            one = one._replace(state=out, command=emission.command, item=item)
            one = one._replace(policy=ledger.active if one.number == number else one.policy)
        obligations = put(obligations, record, one)
    decided = ledger._replace(sequence=number, log=ledger.log | {emission}, obligations=obligations)
    label = f"deleter {deleter}: decides {words(emission)}"
    if "produce before commit" in world.broken and kind == "do":
        after = state._replace(
            ledger=ledger._replace(sequence=number),
            flight=state.flight | {emission},
            deleters=put(
                state.deleters, deleter, Deleter("producing", emission, uncommitted=decided)
            ),
        )
        yield Move(f"{label} and sends it, and has not committed", after)
        return
    after = state._replace(
        ledger=decided, deleters=put(state.deleters, deleter, Deleter("decided", emission))
    )
    yield Move(label, after)


def _go_on(world: World, state: State, number: int, deleter: Deleter) -> Iterator[Move[State]]:
    emission = deleter.emission
    assert emission is not None
    idle = put(state.deleters, number, Deleter())
    if "crash" in state.chances:
        yield Move("dies", spend(state, "crash")._replace(deleters=idle), fair=False)
    if deleter.at == "producing":
        if emission in state.topic:
            yield Move("commits, knowing that it is out", _marked(state, emission, deleter, idle))
        elif "time-out" in state.chances:
            after = spend(state, "time-out")._replace(deleters=idle)
            yield Move("gives up waiting for the broker", after, fair=False)
        return
    harmless = emission.kind != "do" or "emission is blind" in world.broken
    if deleter.at == "decided" and not harmless:
        if state.is_hidden and "what is not shown is empty" not in world.broken:
            return
        ends = frozenset() if state.is_hidden else state.unread
        looked = put(state.deleters, number, Deleter("looked", emission, ends))
        yield Move("reads the ends of the bus", state._replace(deleters=looked))
        return
    if deleter.ends & state.unread:
        again = put(state.deleters, number, Deleter("decided", emission))
        yield Move("rolls back, since not all is recorded", state._replace(deleters=again))
    else:
        yield from _produce(world, state, number, emission)


def _produce(world: World, state: State, number: int, emission: Emission) -> Iterator[Move[State]]:
    """The second transaction: it decides again under locks, and may only take items out."""
    busy = [
        one.emission.records for one in state.deleters if one.at == "producing" and one.emission
    ]
    ledger = state.ledger
    if any(record in records for records in busy for record in emission.records):
        return
    kept = []
    for item in emission.items:
        record = item[1]
        one = ledger.obligations[record]
        mine = one.number == emission.number
        if emission.kind != "do":
            kept.append(item)
            continue
        asked = _is_asked(world, state, ledger, record)
        if (
            mine
            and one.state in OUT
            and not asked
            and "what emission drops stays" not in world.broken
        ):
            ledger = withdraw(world, ledger, state.tick, record)
        trusted = "emission decides nothing" in world.broken
        if (trusted or (mine and one.state in OUT and asked)) and not _is_withheld(
            world, state, record
        ):
            kept.append(item)
    sent = emission._replace(items=tuple(kept))
    ledger = ledger._replace(log=(ledger.log - {emission}) | {sent})
    if not kept:
        left = state._replace(ledger=ledger, deleters=put(state.deleters, number, Deleter()))
        yield Move("leaves everything out", left)
        return
    after = state._replace(
        ledger=ledger,
        flight=state.flight | {sent},
        deleters=put(state.deleters, number, Deleter("producing", sent)),
    )
    yield Move(f"sends {words(sent)}", after, fault=_fault(world, state, sent))


def _fault(world: World, state: State, sent: Emission) -> str | None:
    """What is wrong with an erasure that leaves now, by the right rules."""
    if sent.kind != "do":
        return None
    right = World(persons=world.persons, history=world.history, same_key=world.same_key)
    facts, parked = state.ledger.facts, {who for _, who in state.parked}
    if state.old or any(world.persons[record] in parked for record in sent.records):
        return UNREAD
    for record in sent.records:
        if right.asks(facts, state.policy, state.tick, record):
            continue
        if ("hold", world.persons[record]) in facts:
            return HOLD
        if right.asks(facts, 1 - state.policy, state.tick, record):
            return POLICY
        return MINIMUM
    return None


def _marked(state: State, emission: Emission, deleter: Deleter, idle: tuple[Deleter, ...]) -> State:
    ledger = state.ledger
    if deleter.uncommitted:
        ledger = ledger._replace(log=ledger.log | {emission})
    for record in emission.records:
        one = ledger.obligations[record]
        if deleter.uncommitted:
            one = deleter.uncommitted.obligations[record]
        if emission.kind == "do" and one.state in OUT and one.number == emission.number:
            one = become(one, "sent")
        ledger = ledger._replace(obligations=put(ledger.obligations, record, one))
    return state._replace(ledger=ledger, deleters=idle)


def _adopt(world: World, state: State) -> Iterator[Move[State]]:
    """What a restored ledger does before anything leaves."""
    ledger = state.ledger
    if "nothing is adopted" in world.broken:
        after = state._replace(ledger=ledger._replace(is_blind=False))
        yield Move("the restored ledger goes on", after)
        return
    if state.unread or (state.flight and "adoption waits for nothing" not in world.broken):
        return
    known = {one.number for one in ledger.log}
    for emission in sorted(one for one in state.topic if one.number not in known):
        ledger = ledger._replace(log=ledger.log | {emission})
        for item, record in emission.items:
            one = ledger.obligations[record]
            if emission.kind == "verify":
                new = one._replace(check=emission.number)
            elif emission.kind == "recall":
                new = one._replace(state="recalling", number=emission.number)
            else:
                new = Obligation("sending", emission.number, emission.command, item, ledger.active)
            ledger = ledger._replace(obligations=put(ledger.obligations, record, new))
    ledger = ledger._replace(is_blind=False)
    for record in range(len(world.persons)):
        ledger = withdraw(world, ledger, state.tick, record)
    yield Move("the restored ledger adopts what is out", state._replace(ledger=ledger))


def words(emission: Emission) -> str:
    """An emission for a reader."""
    items = ", ".join(f"item {item} = record {record}" for item, record in emission.items)
    kind = {"do": "an erasure", "recall": "a recall", "verify": "a check"}[emission.kind]
    return f"{kind} no. {emission.number} (command {emission.command}: {items})"
