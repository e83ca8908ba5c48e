"""Build the loop that reads topics for a role, from the settings."""

from __future__ import annotations

from collections.abc import Sequence

from consumers.batch_application import BatchHandler
from consumers.consumer_loop import ConsumerLoop
from services.app.wiring.resources import Resources, utc_now
from services.kafka.client import KafkaClient
from services.ledger import active_policy
from services.operations.observers.base import ConsumerObserver
from services.policy.model import Policy
from services.storage.database import Database


def consumer_loop(
    opened: Resources,
    role: str,
    bus: KafkaClient,
    ledger: Database,
    topics: Sequence[str],
    work: BatchHandler,
    observer: ConsumerObserver,
    policy: Policy,
) -> ConsumerLoop:
    """Build the loop of a role over these topics; the ledger has its offsets and the active policy."""
    kafka = opened.settings.kafka
    return ConsumerLoop(
        role=role,
        bus=bus,
        ledger=ledger,
        topics=topics,
        group=f"{kafka.group}-{role}",
        handler=work,
        observer=observer,
        now=utc_now,
        batch_size=kafka.batch,
        batch_seconds=kafka.batch_seconds,
        check_policy=lambda connection: active_policy.is_active(connection, policy),
    )
