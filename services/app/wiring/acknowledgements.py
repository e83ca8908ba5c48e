"""Build and run the acknowledgements role."""

from __future__ import annotations

from threading import Event

from consumers.acknowledgements import ROLE, AcknowledgementHandler
from services.app.settings import Settings
from services.app.wiring.consumer_loops import consumer_loop
from services.app.wiring.required_topics import required_topics
from services.app.wiring.resources import open_resources, utc_now
from services.app.wiring.telemetry import open_observer
from services.operations.observers.acknowledgements import AcknowledgementsObserver


def run_acknowledgements(settings: Settings, stop: Event) -> None:
    """Run the acknowledgements role until `stop` is set."""
    with open_resources(settings) as opened:
        ledger = opened.ledger(ROLE)
        policy = opened.wait_for_active_policy(ledger, stop)
        bus, codec, cipher = opened.kafka_client(), opened.codec(), opened.dead_letter_cipher()
        observer = open_observer(AcknowledgementsObserver, opened, ROLE, policy)
        by_system = required_topics(policy).acknowledgements
        bus.ensure_topics(opened.kafka_access(ROLE, policy).topics)
        signatures = opened.signing()
        observer.signing_disabled(not signatures.required)
        observer.systems_without_keys(lambda: signatures.systems_without_keys(by_system, utc_now()))
        topics = {topic.name: (topic, system) for system, topic in by_system.items()}
        handler = AcknowledgementHandler(
            policy=policy,
            codec=codec,
            topics=topics,
            verifiers=signatures.acknowledgement_verifiers(by_system),
            ledger=ledger,
            cipher=cipher,
            observer=observer,
            now=utc_now,
            tracer=opened.tracer(ROLE),
        )
        consumer_loop(opened, ROLE, bus, ledger, list(topics), handler, observer, policy).run(stop)
