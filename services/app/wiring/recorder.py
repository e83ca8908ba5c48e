"""Build and run the recorder."""

from __future__ import annotations

from threading import Event

from consumers.recorder import ROLE, TOPICS, RecorderHandler
from services.app.settings import Settings
from services.app.wiring.consumer_loops import consumer_loop
from services.app.wiring.resources import open_resources, utc_now
from services.app.wiring.telemetry import open_observer
from services.operations.observers.recorder import RecorderObserver


def run_recorder(settings: Settings, stop: Event) -> None:
    """Run the recorder until `stop` is set."""
    with open_resources(settings) as opened:
        ledger = opened.ledger(ROLE)
        policy = opened.wait_for_active_policy(ledger, stop)
        bus, codec, cipher = opened.kafka_client(), opened.codec(), opened.dead_letter_cipher()
        observer = open_observer(RecorderObserver, opened, ROLE, policy)
        bus.ensure_topics(opened.kafka_access(ROLE, policy).topics)
        handler = RecorderHandler(
            policy=policy,
            codec=codec,
            ledger=ledger,
            cipher=cipher,
            tombstone_cipher=opened.tombstone_cipher(ledger, policy),
            observer=observer,
            now=utc_now,
            tracer=opened.tracer(ROLE),
        )
        topics = [topic.name for topic in TOPICS]
        consumer_loop(opened, ROLE, bus, ledger, topics, handler, observer, policy).run(stop)
