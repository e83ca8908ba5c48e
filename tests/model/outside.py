"""The bus, the agent beside the system, the answers it gives and how they are settled."""

from __future__ import annotations

from collections.abc import Iterator

from services.ledger.command_state import next_state
from tests.model.checker import Move
from tests.model.deleter import CLAIMABLE
from tests.model.recorder import withdraw
from tests.model.state import (
    Answer,
    Deleter,
    Emission,
    Ledger,
    Note,
    State,
    World,
    become,
    put,
    spend,
)

KNOWN = "what can be carried out is known to be out"
OBEYED = "a recall that could be read is obeyed"
TRUE = "what the ledger shows is so"
SAID_DONE = ("done", "already_done", "nothing_held")


def moves(world: World, state: State) -> Iterator[Move[State]]:
    """What bus, agent, system and acknowledgements can do next."""
    for emission in sorted(state.flight):
        flight = state.flight - {emission}
        landed = state._replace(flight=flight, topic=state.topic | {emission})
        yield Move(f"no. {emission.number} arrives on the bus", landed)
        waiting = any(one.emission == emission for one in state.deleters)
        if not waiting or "lose" in state.chances:
            lost = state if not waiting else spend(state, "lose")
            lost = lost._replace(flight=flight)
            if not waiting:
                yield Move(f"no. {emission.number} is lost on its way", lost, fair=False)
    for emission in sorted(state.topic):
        if emission.number not in state.read:
            yield Move(f"the agent reads no. {emission.number}", _taken(world, state, emission))
            if "lost item" in state.chances and len(emission.items) > 1:
                cut = emission._replace(items=emission.items[:-1])
                after = _taken(world, spend(state, "lost item"), cut)
                after = after._replace(short=state.short | {emission.number})
                yield Move(f"the agent reads no. {emission.number} but its last item", after, False)
        elif not any(one.number == emission.number for one in state.answers):
            yield from _answer(world, state, emission)
    if state.ends is None and any(note.phase == "do" for note in state.notes):
        ends = frozenset(one.number for one in state.topic)
        yield Move(
            "the agent's round begins: it reads the end of its topic", state._replace(ends=ends)
        )
    for record, note in enumerate(state.notes):
        yield from _carry_out(world, state, record, note)
    for answer in sorted(state.answers - state.ledger.settled):
        yield from _settle(world, state, answer)
    yield from _misfortunes(world, state)


def _taken(world: World, state: State, emission: Emission) -> State:
    notes = state.notes
    for _, record in emission.items if emission.kind != "verify" else ():
        note = notes[record]
        other = note.phase == "recalled" and note.about != emission.command
        by_command = "recalls name commands" in world.broken and other and emission.kind == "do"
        if emission.number < note.number and not by_command:
            continue
        note = note._replace(number=emission.number)
        if emission.kind == "do" and note.phase != "begun":
            note = note._replace(phase="do")
        elif emission.kind == "recall" and note.phase in ("", "do", "refused"):
            note = note._replace(phase="recalled", about=emission.about)
        notes = put(notes, record, note)
    return state._replace(notes=notes, read=state.read | {emission.number})


def _carry_out(world: World, state: State, record: int, note: Note) -> Iterator[Move[State]]:
    if note.phase == "do":
        looks = "refused without looking" not in world.broken
        if "refuse" in state.chances and (state.rows[record] or not looks):
            after = spend(state, "refuse")
            after = after._replace(notes=put(state.notes, record, note._replace(phase="refused")))
            yield Move(f"the system refuses record {record}", after, fair=False)
        if state.ends is None or not (
            state.ends <= state.read or "the agent obeys unread" in world.broken
        ):
            return
        recalled = any(
            one.kind == "recall" and one.number > note.number and record in one.records
            for one in state.topic
            if one.number in state.ends
        )
        begun = note._replace(phase="begun", did=note.number)
        after = state._replace(notes=put(state.notes, record, begun), ends=None)
        label = f"the agent begins record {record}, of no. {note.number}"
        yield Move(label, after, fault=OBEYED if recalled else None)
    elif note.phase == "begun":
        rows = put(state.rows, record, False)
        if record in world.same_key:
            rows = tuple(row and at not in world.same_key for at, row in enumerate(rows))
        known = state.ledger.is_blind or state.ledger.obligations[record].state not in (
            *CLAIMABLE,
            "unsent",
            "refused",
        )
        fault = KNOWN if state.rows[record] and not known else None
        done = put(state.notes, record, note._replace(phase="done"))
        after = state._replace(rows=rows, notes=done, missed=state.missed - {record})
        yield Move(f"the system erases record {record}", after, fault=fault)
        if "agent dies" in state.chances:
            after = spend(state, "agent dies")._replace(rows=rows, read=state.read, ends=None)
            yield Move(
                f"the system erases record {record}, and the agent dies", after, False, fault
            )
        if "miss" in state.chances:
            after = spend(state, "miss")._replace(notes=done, missed=state.missed | {record})
            yield Move(f"the system passes over a row of record {record}", after, False, fault)


def _answer(world: World, state: State, emission: Emission) -> Iterator[Move[State]]:
    items = emission.items[:-1] if emission.number in state.short else emission.items
    statuses = []
    for item, record in items:
        note, there = state.notes[record], state.rows[record]
        if emission.kind == "verify":
            statuses.append((item, "found" if there else "absent"))
        elif note.phase == "begun" or (note.phase == "do" and note.number == emission.number):
            return
        elif emission.kind == "recall":
            undone = there
            if "recalled without looking" in world.broken:
                undone = note.phase in ("recalled", "do", "refused")
            statuses.append((item, "recalled" if undone else "already_done"))
        elif note.phase == "done":
            statuses.append((item, "done" if note.did == emission.number else "already_done"))
        elif note.phase == "refused" and note.number == emission.number:
            statuses.append((item, "refused"))
        else:
            statuses.append((item, "overtaken"))
    whole = ""
    if emission.kind == "do" and any(status == "done" for _, status in statuses):
        whole = "done"
    if "refused speaks for a whole" in world.broken and ("refused" in dict(statuses).values()):
        whole, statuses = "refused", []
    found = [
        (item, state.rows[record])
        for item, record in items
        if (item, "done") in statuses or (item, "already_done") in statuses
        if emission.kind == "do"
    ]
    statuses = [one for one in statuses if one[1] != whole]
    reply = Answer(emission.number, whole, len(items), tuple(statuses), tuple(found))
    after = state._replace(answers=state.answers | {reply})
    yield Move(f"the agent answers no. {emission.number}: {_describe(reply)}", after)
    if found and "unchecked" in state.chances:
        quiet = spend(state, "unchecked")._replace(
            answers=state.answers | {reply._replace(checked=())}
        )
        yield Move(
            f"the agent answers no. {emission.number}, unchecked: {_describe(reply)}", quiet, False
        )
    if emission.kind == "recall" and "refuse recall" in state.chances:
        failed = reply._replace(statuses=tuple((item, "failed") for item, _ in items))
        after = spend(state, "refuse recall")._replace(answers=state.answers | {failed})
        yield Move(f"the agent answers no. {emission.number}: {_describe(failed)}", after, False)


def _settle(world: World, state: State, answer: Answer) -> Iterator[Move[State]]:
    """The acknowledgements role: an answer speaks for the mask of its own attempt."""
    ledger = state.ledger
    emission = next((one for one in ledger.log if one.number == answer.number), None)
    producing = [one.emission for one in state.deleters if one.at == "producing" and one.emission]
    if emission is None or ledger.is_blind:
        return  # set aside, with an alarm
    if any(record in one.records for one in producing for record in emission.records):
        return
    items = dict(emission.items)
    if "items are renumbered" in world.broken:
        newest = max(one.number for one in ledger.log if one.command == emission.command)
        items |= dict(next(one.items for one in ledger.log if one.number == newest))
    counts = answer.speaks_for == len(items) or "done has no count" in world.broken
    reply = dict.fromkeys(items, answer.whole if answer.whole == "done" and counts else "failed")
    if answer.whole == "refused":
        reply = dict.fromkeys(items, "refused")
    if counts or answer.whole != "done":
        reply |= dict(answer.statuses)
    checked = dict(answer.checked)
    ledger = ledger._replace(settled=ledger.settled | {answer})
    for item, record in items.items():
        ledger = _apply(world, ledger, emission, record, reply[item], checked.get(item))
        ledger = withdraw(world, ledger, state.tick, record)
    after = state._replace(ledger=ledger)
    yield Move(f"the answer to no. {answer.number} is settled", after)


def _apply(
    world: World, ledger: Ledger, emission: Emission, record: int, status: str, found: bool | None
) -> Ledger:
    one = ledger.obligations[record]
    highest = one.number == emission.number or "a lower attempt frees" in world.broken
    stale = emission.number <= ledger.fence and "no fence after a restore" not in world.broken
    becomes = one.state
    if emission.kind == "verify":
        if one.state == "acknowledged" and one.check == emission.number and not stale:
            found = status == "found"
            becomes = _found(world, ledger, record) if found else become(one, "proven").state
    elif status in SAID_DONE:
        if not stale and one.state not in ("erased", "acknowledged"):
            becomes = "acknowledged"
        if becomes == "acknowledged" and not stale:
            if found is not None:
                proven = next_state("acknowledged", "proven")
                becomes = _found(world, ledger, record) if found else proven
            elif "what is not checked is proven" in world.broken and emission.kind == "do":
                becomes = "erased"
    elif status == "refused" and highest and one.state in ("sending", "sent"):
        becomes = become(one, "refused").state
    elif one.state == "recalling" and emission.kind == "recall":
        failed = status == "failed" and "a failed recall counts" in world.broken
        becomes = "recalled" if failed or (status == "recalled" and highest) else "recalling"
    return ledger._replace(obligations=put(ledger.obligations, record, one._replace(state=becomes)))


def _found(world: World, ledger: Ledger, record: int) -> str:
    """The state of what is there although it was carried out: free only if nothing more is out."""
    number = ledger.obligations[record].number
    answered = any(one.number == number for one in ledger.settled)
    is_free = answered or "what is found is free at once" in world.broken
    return next_state("acknowledged", "still_present") if is_free else "sent"


def _misfortunes(world: World, state: State) -> Iterator[Move[State]]:
    ledger = state.ledger
    if "inbox lost" in state.chances:
        apart = "positions outlive the inbox" in world.broken
        after = spend(state, "inbox lost")._replace(
            notes=(Note(),) * len(state.notes), ends=None, read=state.read if apart else frozenset()
        )
        yield Move("the agent's inbox is lost", after, fair=False)
    if "system restored" in state.chances and not all(state.rows):
        gone = frozenset(record for record, row in enumerate(state.rows) if not row)
        after = spend(state, "system restored")._replace(
            rows=(True,) * len(state.rows), back=state.back | gone
        )
        yield Move("the system is restored from a backup", after, fair=False)
    if state.back:
        new = ledger._replace(fence=ledger.sequence)
        for record in state.back:
            one = new.obligations[record]
            if one.state in ("acknowledged", "erased"):
                one = one._replace(state=_found(world, ledger, record))
                new = new._replace(
                    obligations=put(new.obligations, record, one), due=put(new.due, record, 0)
                )
                new = withdraw(world, new, state.tick, record)
        yield Move("the ledger learns of it", state._replace(ledger=new, back=frozenset()))
    if "ledger restored" in state.chances:
        if state.backup is None:
            yield Move("the ledger is backed up", state._replace(backup=ledger), fair=False)
            return
        old = state.backup
        if "numbers fall" not in world.broken:
            old = old._replace(sequence=ledger.sequence)
        after = spend(state, "ledger restored")._replace(
            ledger=old._replace(is_blind=True),
            unread=state.unread | (ledger.facts - old.facts),
            deleters=(Deleter(),) * len(state.deleters),
            recorders=(),
            backup=None,
        )
        yield Move("the ledger is restored from its backup", after, fair=False)


def judge(state: State) -> str | None:
    """What is wrong with a state."""
    if state.ledger.is_blind:
        return None
    for record, one in enumerate(state.ledger.obligations):
        there = state.rows[record]
        if there and one.state == "erased" and record not in state.back:
            return TRUE
        if there and one.state == "acknowledged" and record not in state.back | state.missed:
            return TRUE
        if not there and one.state in ("", "recalled", "cancelled", "refused"):
            return TRUE
    return None


def _describe(answer: Answer) -> str:
    statuses = ", ".join(f"item {item} {status}" for item, status in answer.statuses)
    whole = f"{answer.whole} for {answer.speaks_for}" if answer.whole else ""
    found = "".join(f"; item {i} read again, {'found' if f else 'gone'}" for i, f in answer.checked)
    return ", ".join(filter(None, (whole, statuses))) + found
