"""The acknowledgements role, put together."""

from __future__ import annotations

from threading import Event

from consumers.acknowledgements import ROLE, AcknowledgementHandler
from services.app.settings import Settings
from services.app.wiring.consumer_loops import consumer_loop
from services.app.wiring.required_topics import required_topics
from services.app.wiring.resources import open_resources, utc_now
from services.app.wiring.telemetry import open_observer


def run_acknowledgements(settings: Settings, stop: Event) -> None:
    """Run the acknowledgements role until `stop` is set."""
    with open_resources(settings) as opened:
        ledger = opened.ledger(ROLE)
        policy = opened.agreed(ledger, stop)
        bus, codec, seal = opened.bus(), opened.codec(), opened.seal()
        observer = open_observer(opened, ROLE, policy)
        by_system = required_topics(policy).acknowledgements
        bus.ensure(opened.use(ROLE, policy).topics)
        signatures = opened.signatures()
        observer.unsigned(not signatures.required)
        observer.keyless(lambda: signatures.keyless(by_system, utc_now()))
        topics = {topic.name: (topic, system) for system, topic in by_system.items()}
        handler = AcknowledgementHandler(
            policy=policy,
            codec=codec,
            topics=topics,
            verifiers=signatures.answers(by_system),
            ledger=ledger,
            seal=seal,
            observer=observer,
            now=utc_now,
            spans=opened.spans(ROLE),
        )
        consumer_loop(opened, ROLE, bus, ledger, list(topics), handler, observer).run(stop)
