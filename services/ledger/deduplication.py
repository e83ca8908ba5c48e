"""Find which events of a batch are new: others are duplicates, or conflict with what is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select

from services.events.ingestion_plan import IngestionPlan, TaggedEventRow
from services.ledger import tables
from services.policy.ids import event_id, old_event_id
from services.storage.bulk import select_in


def deduplicate(
    connection: Connection, plans: Sequence[IngestionPlan]
) -> tuple[list[IngestionPlan], int, list[TaggedEventRow]]:
    """Separate new events from duplicates and conflicts; of several with one identity the first counts."""
    first_plans: dict[UUID, IngestionPlan] = {}
    for plan in plans:
        if first_plans.setdefault(plan.event_id, plan) is not plan:
            first_plans[plan.event_id] = min(first_plans[plan.event_id], plan, key=_arrival_order)
    recorded = _recorded_content(connection, first_plans)
    if not recorded and len(first_plans) == len(plans):
        return list(plans), 0, []
    new_plans = [plan for event_id, plan in first_plans.items() if event_id not in recorded]
    hashes = recorded | {plan.event_id: plan.event.content_hash for plan in new_plans}
    conflicts = [plan.event for plan in plans if plan.event.content_hash != hashes[plan.event_id]]
    return new_plans, len(plans) - len(new_plans) - len(conflicts), conflicts


def _arrival_order(plan: IngestionPlan) -> tuple[datetime, str, int, int]:
    """Return the key by which the first of several events with one identity is chosen."""
    event = plan.event
    return (event.time, event.source, event.offset, event.partition)


def _recorded_content(
    connection: Connection, plans: Mapping[UUID, IngestionPlan]
) -> dict[UUID, bytes]:
    """Return the content hashes of recorded events, found by their identity or by their old identity."""
    events = [plan.event for plan in plans.values()]
    ids = {*plans, *(old_event_id(event.source, event.id) for event in events)}
    column = tables.event.c
    query = select(column.type, column.source, column.id, column.content_hash)
    hashes = {
        event_id(row.type, row.source, row.id): bytes(row.content_hash)
        for row in select_in(connection, query, column.event_id, ids)
    }
    return {id: content for id, content in hashes.items() if id in plans}
