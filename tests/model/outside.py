"""The bus, the agent with its system, its acknowledgements and how they are applied, in the model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from services.ledger.command_state import State as CommandState
from services.ledger.command_state import next_state
from tests.model.checker import Move
from tests.model.recorder import CLAIMABLE, OUT, withdraw
from tests.model.state import Answer, Deleter, Emission, Ledger, Note, Promise, State, World, put


def moves(world: World, state: State) -> Iterator[Move[State]]:
    """Return the possible next steps of bus, agent, system and acknowledgements."""
    for emission in sorted(state.flight):
        lost = state._replace(flight=state.flight - {emission})
        landed = lost._replace(topic=state.topic | {emission})
        yield Move(f"no. {emission.number} arrives on the bus", landed)
        if all(deleter.emission != emission for deleter in state.deleters):
            yield Move(f"no. {emission.number} is lost on its way", lost, fair=False)
    for emission in sorted(state.topic):
        if emission.number not in state.read:
            label = f"the agent reads no. {emission.number}"
            yield Move(label, _taken(world, state, emission))
            if "lost item" in state.chances and len(emission.items) > 1:
                after = state.spend("lost item", short=state.short | {emission.number})
                cut = emission._replace(items=emission.items[:-1])
                yield Move(f"{label} but its last item", _taken(world, after, cut), fair=False)
        elif all(answer.number != emission.number for answer in state.answers):
            yield from _answer(world, state, emission)
    if state.ends is None and any(note.phase == "do" for note in state.notes):
        after = state._replace(ends=frozenset(emission.number for emission in state.topic))
        yield Move("the agent's round begins: it reads the end of its topic", after)
    for record, note in enumerate(state.notes):
        if note.phase == "do":
            yield from _start(world, state, record, note)
        elif note.phase == "begun":
            yield from _carry_out(world, state, record)
    for answer in sorted(state.answers - state.ledger.settled):
        yield from _settle(world, state, answer)
    yield from _misfortunes(world, state)


def _taken(world: World, state: State, emission: Emission) -> State:
    state = state._replace(read=state.read | {emission.number})
    for record in emission.records if emission.kind != "check" else ():
        note = state.notes[record]
        other = note.phase == "recalled" and note.about != emission.command
        by_command = world.broken == "recalls name commands" and other
        if emission.number < note.number and not (by_command and emission.kind == "erasure"):
            continue
        state = state.note(record, number=emission.number)
        if emission.kind == "erasure" and note.phase != "begun":
            state = state.note(record, phase="do")
        elif emission.kind == "recall" and note.phase in ("", "do", "refused"):
            state = state.note(record, phase="recalled", about=emission.about)
    return state


def _start(world: World, state: State, record: int, note: Note) -> Iterator[Move[State]]:
    looks = world.broken != "refused without looking"
    if "refuse" in state.chances and (state.rows[record] or not looks):
        after = state.spend("refuse").note(record, phase="refused")
        yield Move(f"the system refuses record {record}", after, fair=False)
    obeys_unread = world.broken == "the agent obeys unread"
    if state.ends is not None and (state.ends <= state.read or obeys_unread):
        later = [e for e in state.topic if e.number > note.number and e.number in state.ends]
        recalled = any(e.kind == "recall" and record in e.records for e in later)
        after = state._replace(ends=None).note(record, phase="begun", did=note.number)
        label = f"the agent begins record {record}, of no. {note.number}"
        yield Move(label, after, fault=Promise.OBEYED if recalled else None)


def _carry_out(world: World, state: State, record: int) -> Iterator[Move[State]]:
    gone = world.same_key | {record} if record in world.same_key else {record}
    rows = tuple(row and at not in gone for at, row in enumerate(state.rows))
    unknown = state.ledger.obligations[record].state in (*CLAIMABLE, "unsent", "refused")
    fault = Promise.KNOWN if state.rows[record] and unknown and not state.ledger.is_blind else None
    after = state._replace(rows=rows, missed=state.missed - {record}).note(record, phase="done")
    label = f"the system erases record {record}"
    yield Move(label, after, fault=fault)
    if "agent dies" in state.chances:
        after = state.spend("agent dies", rows=rows, ends=None)
        yield Move(f"{label}, and the agent dies", after, False, fault)
    if "miss" in state.chances:
        after = state.spend("miss", missed=state.missed | {record}).note(record, phase="done")
        yield Move(f"the system passes over a row of record {record}", after, False, fault)


def _status(world: World, state: State, emission: Emission, record: int) -> str | None:
    """Return the status that the agent reports for an item that it has dealt with."""
    note, there = state.notes[record], state.rows[record]
    mine = note.number == emission.number
    if emission.kind == "check":
        return "found" if there else "absent"
    if note.phase == "begun" or (note.phase == "do" and mine):
        return None
    if emission.kind == "recall":
        if world.broken == "recalled without looking":
            there = note.phase in ("recalled", "do", "refused")
        return "recalled" if there else "already_done"
    if note.phase == "done":
        return "done" if note.did == emission.number else "already_done"
    return "refused" if note.phase == "refused" and mine else "overtaken"


def _answer(world: World, state: State, emission: Emission) -> Iterator[Move[State]]:
    items = emission.items[:-1] if emission.number in state.short else emission.items
    statuses = {}
    for item, record in items:
        status = _status(world, state, emission, record)
        if status is None:
            return
        statuses[item] = status
    whole = "done" if "done" in statuses.values() else ""
    if world.broken == "refused speaks for a whole" and "refused" in statuses.values():
        whole, statuses = "refused", {}
    done = {item for item, status in statuses.items() if status in ("done", "already_done")}
    done = done if emission.kind == "erasure" else set()
    checked = tuple((item, state.rows[record]) for item, record in items if item in done)
    named = tuple((item, status) for item, status in statuses.items() if status != whole)
    reply = Answer(emission.number, whole, len(items), named, checked)
    label = f"the agent answers no. {emission.number}"
    yield Move(f"{label}: {reply}", state._replace(answers=state.answers | {reply}))
    if checked and "unchecked" in state.chances:
        quiet = state.spend("unchecked", answers=state.answers | {reply._replace(checked=())})
        yield Move(f"{label}, unchecked: {reply}", quiet, fair=False)
    if emission.kind == "recall" and "refuse recall" in state.chances:
        failed = reply._replace(statuses=tuple((item, "failed") for item, _ in items))
        after = state.spend("refuse recall", answers=state.answers | {failed})
        yield Move(f"{label}: {failed}", after, fair=False)


def _settle(world: World, state: State, answer: Answer) -> Iterator[Move[State]]:
    """Apply an acknowledgement, which counts for the items of its own attempt only."""
    ledger, emission = state.ledger, state.ledger.emission(answer.number)
    if emission is None or ledger.is_blind:
        return  # set aside, with an alarm
    if state.locked & set(emission.records):
        return
    items = dict(emission.items)
    if world.broken == "items are renumbered":
        items |= dict(max(e for e in ledger.log if e.command == emission.command).items)
    counts = answer.speaks_for == len(items) or world.broken == "done has no count"
    named = dict(answer.statuses) if counts or answer.whole != "done" else {}
    whole = answer.whole if counts or answer.whole == "refused" else "failed"
    checked = dict(answer.checked)
    ledger = ledger._replace(settled=ledger.settled | {answer})
    for item, record in items.items():
        status = named.get(item, whole or "failed")
        after = _after(world, ledger, emission, record, status, checked.get(item))
        ledger = withdraw(world, ledger.change(record, state=after), state.tick, record)
    yield Move(f"the answer to no. {answer.number} is settled", state._replace(ledger=ledger))


def _after(
    world: World, ledger: Ledger, emission: Emission, record: int, status: str, there: bool | None
) -> str:
    """Return an obligation's state after an acknowledgement; `there`: the verification found the record."""
    old = ledger.obligations[record]
    highest = old.number == emission.number or world.broken == "a lower attempt frees"
    stale = emission.number <= ledger.fence and world.broken != "no fence after a restore"
    if emission.kind == "check":
        mine = old.state == "acknowledged" and old.check == emission.number and not stale
        return _proven(world, ledger, record, status == "found") if mine else old.state
    if status in ("done", "already_done"):
        if there is not None and not stale and old.state != "erased":
            return _proven(world, ledger, record, there)
        by_omission = world.broken == "what is not checked is proven"
        done = "erased" if by_omission and emission.kind == "erasure" else "acknowledged"
        return old.state if stale or old.state == "erased" else done
    if status == "refused" and highest and old.state in OUT:
        return next_state(cast(CommandState, old.state), "refused")
    failed = status == "failed" and world.broken == "a failed recall counts"
    taken_back = failed or (status == "recalled" and highest)
    is_recall = old.state == "recalling" and emission.kind == "recall"
    return "recalled" if is_recall and taken_back else old.state


def _proven(world: World, ledger: Ledger, record: int, there: bool) -> str:
    """Return the state after a verification; a record found is free only once its command is answered."""
    number = ledger.obligations[record].number
    answered = any(answer.number == number for answer in ledger.settled)
    if there and not answered and world.broken != "what is found is free at once":
        return "sent"
    return next_state("acknowledged", "still_present" if there else "proven")


def _misfortunes(world: World, state: State) -> Iterator[Move[State]]:
    ledger = state.ledger
    if "inbox lost" in state.chances:
        read = state.read if world.broken == "positions outlive the inbox" else frozenset()
        after = state.spend("inbox lost", notes=(Note(),) * len(state.notes), ends=None, read=read)
        yield Move("the agent's inbox is lost", after, fair=False)
    if "system restored" in state.chances and not all(state.rows):
        gone = frozenset(record for record, row in enumerate(state.rows) if not row)
        rows = (True,) * len(state.rows)
        after = state.spend("system restored", rows=rows, back=state.back | gone)
        yield Move("the system is restored from a backup", after, fair=False)
    if state.back:
        new = ledger._replace(fence=ledger.sequence)
        for record in state.back:
            if new.obligations[record].state in ("acknowledged", "erased"):
                new = new.change(record, state=_proven(world, ledger, record, there=True))
                new = new._replace(due=put(new.due, record, 0))
                new = withdraw(world, new, state.tick, record)
        yield Move("the ledger learns of it", state._replace(ledger=new, back=frozenset()))
    if "ledger restored" in state.chances and state.backup is None:
        yield Move("the ledger is backed up", state._replace(backup=ledger), fair=False)
    elif "ledger restored" in state.chances and state.backup:
        sequence = (state.backup if world.broken == "numbers fall" else ledger).sequence
        after = state.spend(
            "ledger restored",
            ledger=state.backup._replace(is_blind=True, sequence=sequence),
            unread=state.unread | (ledger.facts - state.backup.facts),
            deleters=(Deleter(),) * len(state.deleters),
            recorders=(),
            backup=None,
        )
        yield Move("the ledger is restored from its backup", after, fair=False)


def judge(state: State) -> str | None:
    """Return what is wrong with a state."""
    for record, obligation in enumerate(state.ledger.obligations):
        if state.rows[record]:
            excused = {"erased": state.back, "acknowledged": state.back | state.missed}
            wrong = record not in excused.get(obligation.state, {record})
        else:
            wrong = obligation.state in ("", "recalled", "cancelled", "refused")
        if wrong and not state.ledger.is_blind:
            return Promise.TRUE
    return None
