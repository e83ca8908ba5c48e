"""Build and run the rights role: it answers requests, and reads corrections in a second loop."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from threading import Event

from sqlalchemy import Connection

from consumers.corrections import ROLE, CorrectionHandler
from schemas.cloudevents import CloudEvent
from services.app.settings import Settings
from services.app.threads import run_threads
from services.app.wiring.consumer_loops import consumer_loop
from services.app.wiring.required_topics import required_topics
from services.app.wiring.resources import catch_up_check, open_resources, utc_now
from services.app.wiring.telemetry import open_observer
from services.events.publisher import Publisher
from services.kafka.role_loop import run_loop
from services.ledger import active_policy
from services.operations.observers.requests import RequestsObserver
from services.operations.throttle import Throttled
from services.requests.counts import count as count_requests
from services.requests.provenance import count_duties, end_erased_duties
from services.requests.responder import RequestResponder
from services.storage.database import database_now

_CATCH_UP_TIMEOUT = timedelta(seconds=2)


def run_rights(settings: Settings, stop: Event) -> None:
    """Run the rights role until `stop` is set."""
    with open_resources(settings) as opened:
        ledger = opened.ledger("rights")
        policy = opened.wait_for_active_policy(ledger, stop)
        bus, codec = opened.kafka_client(), opened.codec()
        seconds = settings.answering.interval_seconds
        observer = open_observer(RequestsObserver, opened, ROLE, policy, idle_seconds=seconds)
        topics = required_topics(policy)
        bus.ensure_topics(opened.kafka_access(ROLE, policy).topics)
        publisher = Publisher(
            policy=policy,
            codec=codec,
            sender=bus.open_producer(),
            encryption=opened.field_encryption(policy),
        )

        def publish(events: Sequence[CloudEvent]) -> None:
            for _ in publisher.send_batches(publisher.build_message(event) for event in events):
                pass

        responder = RequestResponder(
            ledger=ledger,
            policy=policy,
            catch_up_check=catch_up_check(bus, ledger, topics, _CATCH_UP_TIMEOUT),
            publish=publish,
            observer=observer,
            margin=timedelta(seconds=settings.answering.margin_seconds),
        )
        request_topics = {
            topic.name: topic
            for topic in topics.business.values()
            if policy.events[topic.schema].act == "request-received"
        }

        def end_duties(connection: Connection) -> int:
            now = database_now(connection)
            active_policy.require_active(connection, policy, now)
            return end_erased_duties(connection, policy, now)

        def measure() -> None:
            ledger.run_in_transaction(end_duties)
            with ledger.transaction() as connection:
                active_policy.is_active(connection, policy)  # an idle role changes over too
                now = database_now(connection)
                observer.requests_counted(count_requests(connection, policy, now))
                observer.duties_counted(count_duties(connection, now))

        measurement = Throttled(
            run=measure, interval_seconds=settings.operating.metrics_interval_seconds
        )

        def answer() -> float:
            responder.run_once()
            measurement.run_if_due()
            return seconds

        corrections = consumer_loop(
            opened,
            ROLE,
            bus,
            ledger,
            list(request_topics),
            CorrectionHandler(
                codec=codec,
                topics=request_topics,
                ledger=ledger,
                keys=opened.request_keys(),
                cipher=opened.dead_letter_cipher(),
                observer=observer,
                now=utc_now,
            ),
            observer.for_loop("reading") if request_topics else observer,
            policy,
        )
        run_threads(
            stop,
            answering=lambda stop: run_loop(answer, observer, stop),
            reading=corrections.run if request_topics else _wait,
        )


def _wait(stop: Event) -> None:
    stop.wait()
