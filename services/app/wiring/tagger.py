"""Build and run the tagger."""

from __future__ import annotations

from datetime import datetime
from threading import Event

from consumers.tagger import ROLE, TaggerHandler
from services.app.settings import Settings
from services.app.wiring.consumer_loops import consumer_loop
from services.app.wiring.required_topics import required_topics
from services.app.wiring.resources import open_resources, utc_now
from services.app.wiring.telemetry import open_observer
from services.events.tagger import EventTagger
from services.operations.observers.tagger import TaggerObserver
from services.storage.database import Database, database_now


def run_tagger(settings: Settings, stop: Event) -> None:
    """Run the tagger until `stop` is set."""
    with open_resources(settings) as opened:
        ledger = opened.ledger(ROLE)
        policy = opened.wait_for_active_policy(ledger, stop)
        bus, codec = opened.kafka_client(), opened.codec(policy)
        cipher = opened.dead_letter_cipher()
        observer = open_observer(TaggerObserver, opened, ROLE, policy)
        observer.silent_since(utc_now())
        topics = required_topics(policy).business
        bus.ensure_topics(opened.kafka_access(ROLE, policy).topics)
        handler = TaggerHandler(
            tagger=EventTagger(
                policy=policy, codec=codec, topics=topics, bound=settings.tagging.bound
            ),
            codec=codec,
            forwarder=bus.open_bulk_producer(),
            sender=bus.open_producer(),
            cipher=cipher,
            ledger=ledger,
            observer=observer,
            now=utc_now,
            database_now=lambda: _database_now(ledger),
            tracer=opened.tracer(ROLE),
        )
        consumer_loop(opened, ROLE, bus, ledger, list(topics), handler, observer, policy).run(stop)


def _database_now(ledger: Database) -> datetime:
    with ledger.transaction() as connection:
        return database_now(connection)
