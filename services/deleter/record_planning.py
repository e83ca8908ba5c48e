"""Plan many records: which obligations facts and policy require now that have no command yet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from services.deleter.command_size import record_size, split_by_size
from services.deleter.due_obligations import DueObligations
from services.deleter.planning import (
    needed_restrictions,
    obsolete,
    outstanding,
    without_awaiting,
    without_contested_keys,
    without_handed_over,
)
from services.deleter.repeated_notices import review_notices
from services.deleter.resumed_purposes import review_restrictions
from services.ledger import clocks, outbox, state_changes
from services.ledger.command_draft import CommandDraft
from services.ledger.conflicted_keys import load_conflicted_keys
from services.ledger.facts import LedgerFacts, load_facts
from services.ledger.given_notices import load_given_notices
from services.ledger.purpose_commands import (
    load_purpose_commands,
    members,
    release_members,
    steps,
)
from services.ledger.rows import RecordRow
from services.ledger.subject_lock import lock_subjects
from services.policy.check_times import clocks_of
from services.policy.ids import clock_id
from services.policy.model import Policy
from services.policy.notices import ended_systems
from services.policy.obligation import Obligation
from services.policy.obligations import obligations_of
from services.policy.tagged_event import TaggedEvent

IsPostponed = Callable[[Obligation, TaggedEvent, str], bool]
"""Whether an obligation to the record of an event and a subject has to wait."""


class PlannedObligation(NamedTuple):
    """A due obligation to one record, and the version (epoch) of each clock it depends on."""

    record_id: UUID
    subject: str
    obligation: Obligation
    epochs: tuple[tuple[str, UUID, int], ...]
    names_subject: bool
    acts: int
    """How many privacy events there are of the event's subjects."""
    size: int = 0
    """How many bytes the record takes in a command, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanningResult:
    """The obligations to records that need a command now."""

    obligations: Sequence[PlannedObligation]
    """Obligations that are due and have no command yet."""
    withheld: Set[UUID]
    """Records with an obligation that has to wait."""
    superseded: Mapping[UUID, str]
    """Records, with their subject, for which no restriction is needed once their erasure is sent."""
    facts: LedgerFacts


def plan_obligations(
    connection: Connection,
    rows: Collection[RecordRow],
    events: Mapping[UUID, TaggedEvent],
    policy: Policy,
    now: datetime,
    subjects: Collection[str],
    is_postponed: IsPostponed,
) -> PlanningResult:
    """Return every obligation to these records that is due, is not postponed and has no command yet.

    An erasure that waits, here or in the outbox, does not make a restriction needless meanwhile.

    1. Lock the clocks of the records, then their subjects and `subjects`, until the transaction ends.
    2. Read the facts, the commands that are active or unsent, and the conflicts about keys.
    3. Plan each record.
    4. Free records of restrictions that were lifted and of notices that are given again, and cancel or
       recall commands that facts or policy no longer require.
    """
    # Step 1: lock clocks, then subjects.
    keys = {key for row in rows for key in clocks_of(events[row.event_id], row.subject, policy)}
    locked = clocks.load_clocks(connection, {clock_id(key) for key in keys})
    own_subjects = {row.subject for row in rows} | set(subjects)
    lock_subjects(connection, own_subjects, "command")
    # Step 2: read the facts.
    standings = {clock_uuid: clock.standing for clock_uuid, clock in locked.items()}
    subjects_by_event = {row.event_id: events[row.event_id].subjects for row in rows}
    co_subjects = {subject for names in subjects_by_event.values() for subject in names}
    facts = load_facts(connection, standings, own_subjects | co_subjects, policy)
    acts = {
        event: sum(facts.acts.get(subject, 0) for subject in names)
        for event, names in subjects_by_event.items()
    }
    active = outbox.active_obligations(connection, {row.record_id for row in rows})
    with_privacy_events = {row.record_id for row in rows if facts.subject_state(row.subject)}
    transferred = outbox.transferred_records(connection, active.keys(), policy)
    unsent = outbox.unsent_erasures(connection, with_privacy_events & active.keys())
    restricting = load_purpose_commands(connection, _records_with(active, "restrict ", "lift "))
    given = load_given_notices(connection, _records_with(active, "notify "))
    conflicted_keys = load_conflicted_keys(connection, events.values(), policy)
    # Step 3: plan each record.
    due_obligations = DueObligations(facts, policy, now)
    planned: list[PlannedObligation] = []
    withheld: set[UUID] = set()
    superseded: dict[UUID, str] = {}
    forbidden: list[tuple[UUID, str, str]] = []
    over: set[tuple[UUID, UUID]] = set()
    for row in rows:
        active_obligations = active.get(row.record_id, frozenset())
        event = events[row.event_id]
        due = without_awaiting(
            due_obligations.of_record(event, row.subject, active_obligations),
            transferred.get(row.record_id, ()),
        )
        review = review_restrictions(
            restricting.get(row.record_id, ()), event, row.subject, facts, policy, now
        )
        notices = review_notices(
            given.get(row.record_id, ()),
            due,
            partial(
                obligations_of, event, row.subject, facts, policy, ended_systems(active_obligations)
            ),
            now,
        )
        active_obligations = notices.given | (
            active_obligations - steps(review.over) - steps(notices.over)
        )
        over |= members(review.over) | members(notices.over)
        is_contested = conflicted_keys.blocks(event)
        due = without_handed_over(
            without_contested_keys(due) if is_contested else [*due, *review.lifts],
            transferred.get(row.record_id, ()),
            event,
            row.subject,
            policy,
        )
        forbidden += [
            (row.record_id, system, key) for system, key in obsolete(due, active_obligations)
        ]
        new_obligations = [
            obligation
            for obligation in outstanding(due, active_obligations)
            if not review.restricts(obligation)
        ]
        restrictions = [
            obligation
            for obligation in needed_restrictions(due, active_obligations)
            if obligation not in new_obligations
        ]
        unsent_systems = set(unsent.get(row.record_id, ())) if restrictions else set()
        if any(is_postponed(obligation, event, row.subject) for obligation in new_obligations):
            withheld.add(row.record_id)
            new_obligations = [
                obligation
                for obligation in new_obligations
                if not is_postponed(obligation, event, row.subject)
            ]
            unsent_systems |= {
                obligation.system
                for obligation in restrictions
                if (obligation.system, "erase") not in active_obligations
            }
        elif any(
            (obligation.system, "erase") not in active_obligations for obligation in restrictions
        ):
            superseded[row.record_id] = row.subject
        new_obligations += [
            obligation for obligation in restrictions if obligation.system in unsent_systems
        ]
        size = record_size(event, policy) if new_obligations else 0
        for obligation in new_obligations:
            epochs = tuple(
                (str(key), clock_id(key), locked[clock_id(key)].epoch) for key in obligation.clocks
            )
            planned.append(
                PlannedObligation(
                    record_id=row.record_id,
                    subject=row.subject,
                    obligation=obligation,
                    epochs=epochs,
                    names_subject=obligation.action != "erase"
                    or (obligation.system, "pseudonymise") not in active_obligations,
                    acts=acts[row.event_id],
                    size=size,
                )
            )
    # Step 4: free the records of commands that are over, and cancel or recall those no longer required.
    release_members(connection, over)
    if forbidden:
        unwanted = outbox.commands_for_obligations(connection, forbidden)
        for command in outbox.cancel_or_recall(connection, unwanted, policy, now):
            state_changes.schedule_rescan(connection, command, now)
    return PlanningResult(
        obligations=planned, withheld=withheld, superseded=superseded, facts=facts
    )


def _records_with(
    active: Mapping[UUID, Collection[tuple[str, str]]], *beginnings: str
) -> set[UUID]:
    """Return the records with an active obligation whose key begins so."""
    return {
        record
        for record, keys in active.items()
        if any(key.startswith(beginnings) for _, key in keys)
    }


def group_into_commands(planned: Iterable[PlannedObligation]) -> list[CommandDraft]:
    """Group planned obligations that differ only in their record into commands, as large as Kafka allows.

    The drafts are in the order of the instants at which they are due.
    """
    groups: defaultdict[tuple[Any, ...], list[tuple[UUID, int]]] = defaultdict(list)
    first_items: dict[tuple[Any, ...], PlannedObligation] = {}
    for item in planned:
        obligation = item.obligation
        group = (
            obligation.due,
            obligation.system,
            item.subject,
            obligation.action,
            obligation.rules,
            obligation.purposes,
            obligation.reason,
            obligation.key,
            obligation.not_before,
            obligation.erase_by,
            item.epochs,
            item.names_subject,
            item.acts,
        )
        groups[group].append((item.record_id, item.size))
        first_items.setdefault(group, item)
    drafts = []
    for group, records in groups.items():
        first_item = first_items[group]
        obligation = first_item.obligation
        for chunk in split_by_size(sorted(records)):
            drafts.append(
                CommandDraft(
                    system=obligation.system,
                    subject=first_item.subject,
                    action=obligation.action,
                    step=obligation.key,
                    rules=obligation.rules,
                    purposes=obligation.purposes,
                    reason=obligation.reason,
                    due_at=obligation.due,
                    not_before=obligation.not_before,
                    erase_by=obligation.erase_by,
                    epochs=first_item.epochs,
                    records=chunk,
                    names_subject=first_item.names_subject,
                    acts=first_item.acts,
                    request=obligation.request,
                )
            )
    return sorted(
        drafts, key=lambda draft: (draft.due_at, draft.system, draft.subject, draft.action)
    )
