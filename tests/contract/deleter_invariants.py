"""The deleter's invariants, judged by the oracle: nothing too early, nothing missing, nothing twice."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import select

from services.ledger import tables
from services.ledger.item_states import read_states
from services.ledger.messages import command_ids
from services.storage.database import Database
from tests.contract.event_builders import Event
from tests.oracle import commands as oracle
from tests.oracle.catalogue import holdings_of
from tests.oracle.windows import Holding

OPEN_STATES = ("unsent", "sending", "sent", "refused")
"""States of commands still to be carried out; done ones, and those being recalled, are not judged."""


class CommandedRecord(NamedTuple):
    """One record of one command."""

    source: str
    record: str
    subject: str
    system: str
    action: str
    purposes: tuple[str, ...]
    state: str


def list_commanded_records(ledger: Database) -> list[CommandedRecord]:
    """Return every record of every live command."""
    event, record, member, command = tables.event, tables.record, tables.member, tables.command
    query = (
        select(
            event.c.source,
            event.c.id,
            record.c.subject,
            command.c.system,
            command.c.action,
            member.c.step,
            command.c.state,
        )
        .select_from(member)
        .join(command, command.c.command_id == member.c.command_id)
        .join(record, record.c.record_id == member.c.record_id)
        .join(event, event.c.event_id == record.c.event_id)
        .where(member.c.live)
    )
    with ledger.transaction() as connection:
        return [
            CommandedRecord(
                source=row.source,
                record=row.id,
                subject=row.subject,
                system=row.system,
                action=row.action,
                purposes=tuple(row.step.split(" ")[1:]),
                state=row.state,
            )
            for row in connection.execute(query)
        ]


def find_too_early(
    ledger: Database, events: Sequence[Event], now: datetime
) -> list[CommandedRecord]:
    """Return the live commands that the known events do not require by now."""
    holdings = _holdings_by_record(events)
    return [
        commanded
        for commanded in list_commanded_records(ledger)
        if commanded.state in OPEN_STATES and not _is_due(commanded, holdings, events, now)
    ]


def find_missing(ledger: Database, events: Sequence[Event], now: datetime) -> list[tuple[Any, ...]]:
    """Return the steps that the known events require by now and that no command does or has done."""
    commanded: defaultdict[tuple[str, str, str, str], set[tuple[str, str]]] = defaultdict(set)
    for expected in list_commanded_records(ledger):
        key = (expected.source, expected.record, expected.subject, expected.system)
        commanded[key] |= {(expected.action, purpose) for purpose in expected.purposes or ("",)}
    return [
        (*key, action, purpose)
        for key, serving in _holdings_by_record(events).items()
        for action, purpose in _due_actions(key[3], serving, events, now)
        if ("erase", "") not in commanded[key] and (action, purpose) not in commanded[key]
    ]


def find_unlogged(ledger: Database) -> list[tuple[str, str]]:
    """Return, by command, changes in the outbox that the evidence lacks or has more than once.

    Commands that were never sent are only counted in the evidence.
    """
    logged: defaultdict[UUID, list[tuple[str, str]]] = defaultdict(list)
    counted: Counter[str] = Counter()
    times_sent: Counter[UUID] = Counter()
    with ledger.transaction() as connection:
        messages = {
            row.message_id: command_ids(row.commands)
            for row in connection.execute(select(tables.message))
        }
        pending = select(tables.evidence_pending).order_by(tables.evidence_pending.c.pending_id)
        for row in connection.execute(pending):
            for item, state in read_states(row.states or ""):
                logged[messages[row.message_id][item]].append((row.kind, state))
            body = json.loads(row.body)
            if "commands" in body:
                counted[body.get("state", row.kind)] += body["commands"]
        commands = {row.command_id: row for row in connection.execute(select(tables.command))}
    for ids in messages.values():
        times_sent.update(ids)
    problems = [] if counted["commanded"] == len(commands) else [("commanded", "all")]
    unsent = Counter(row.state for row in commands.values() if row.message_id is None)
    problems += [(end, "unsent") for end in ("cancelled", "closed") if counted[end] != unsent[end]]
    for identity, entries in logged.items():
        state = commands[identity].state
        kinds = Counter(kind for kind, _ in entries)
        if kinds["sent"] != times_sent[identity]:
            problems.append(("sent", str(identity)))
        last = entries[-1][1]
        moving = ("unsent", "sending", "sent")
        if (state in moving) != (last in moving) or (state not in moving and last != state):
            problems.append((state, str(identity)))
        problems += [
            ("twice", str(identity))
            for (_, before), (kind, after) in pairwise(entries)
            if kind == "state" and after == before
        ]
    missing = times_sent.keys() - logged.keys()
    return problems + [("sent", str(identity)) for identity in missing]


def _holdings_by_record(events: Sequence[Event]) -> dict[tuple[str, str, str, str], list[Holding]]:
    """Return the holdings that each system serves for each record: event, subject, system."""
    holdings: defaultdict[tuple[str, str, str, str], list[Holding]] = defaultdict(list)
    for event in events:
        for holding in holdings_of(event, events):
            for system in holding["systems"]:
                holdings[holding["source"], holding["event"], holding["subject"], system].append(
                    holding
                )
    return holdings


def _due_actions(
    system: str, serving: list[Holding], events: Sequence[Event], now: datetime
) -> Iterator[tuple[str, str]]:
    erasure = oracle.erase(system, serving)
    if erasure and erasure.due <= now:
        yield "erase", ""
        return
    if len(serving) > 1:
        for holding in serving:
            due = holding["due_at"][system]
            if due is not None and due <= now:
                yield "restrict", holding["purpose"]
    for holding in serving:
        if holding["rule"] == "R4":
            masking = oracle.pseudonymise(system, holding, _of_event(holding, events))
            if masking and masking.due <= now:
                yield "pseudonymise", ""


def _is_due(
    commanded: CommandedRecord,
    served: dict[tuple[str, str, str, str], list[Holding]],
    events: Sequence[Event],
    now: datetime,
) -> bool:
    serving = served[commanded.source, commanded.record, commanded.subject, commanded.system]
    if not serving:  # no holding that counts is in this system
        return False
    if commanded.action == "erase":
        erasure = oracle.erase(commanded.system, serving)
        return erasure is not None and erasure.due <= now
    if commanded.action == "restrict":
        ends = [
            served_holding["due_at"][commanded.system]
            for served_holding in serving
            if served_holding["purpose"] in commanded.purposes
        ]
        return all(due is not None and due <= now for due in ends)
    (holding,) = [holding for holding in serving if holding["rule"] == "R4"]
    masking = oracle.pseudonymise(commanded.system, holding, _of_event(holding, events))
    return masking is not None and masking.due <= now


def _of_event(holding: Holding, events: Sequence[Event]) -> list[Holding]:
    (event,) = [
        e for e in events if (e["source"], e["id"]) == (holding["source"], holding["event"])
    ]
    return holdings_of(event, events)
