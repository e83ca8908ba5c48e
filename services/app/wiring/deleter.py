"""Build and run the deleter, which also signs the evidence log and purges the ledger."""

from __future__ import annotations

from datetime import timedelta
from threading import Event

from services.app.settings import DeleterSettings, Settings
from services.app.wiring.required_topics import required_topics
from services.app.wiring.resources import catch_up_check, open_resources, utc_now
from services.app.wiring.telemetry import open_observer
from services.deleter.command_topics import KafkaCommandTopics
from services.deleter.deleter import ROLE, Deleter, DeleterLimits
from services.deleter.dispatch import RetryPolicy
from services.deleter.flow_forecast import make_daily_forecast
from services.deleter.publisher import KafkaCommandPublisher
from services.deleter.scheduled_activation import ScheduledActivation
from services.deleter.worker import DeleterWorker
from services.evidence.purge.purger import Purger
from services.evidence.sealer import PATIENCE_SECONDS, EvidenceSealer, KafkaHeadPublisher
from services.evidence.self_check import ChainSelfCheck
from services.ledger import active_policy
from services.ledger.forecasts import last_daily_at, load_open_surges
from services.operations.holding_counts import HoldingCounter
from services.operations.observers.deleter import DeleterObserver
from services.operations.status import read_status
from services.operations.throttle import Throttled
from services.requests.command_attachments import RequestAttachments
from services.storage.database import database_now
from services.storage.single_instance import deleter_lock

_CATCH_UP_TIMEOUT = timedelta(seconds=2)
_SEAL_INTERVAL = 1.0
"""Between two runs of sealing while there is erasing to do."""
_PURGE_INTERVAL = 2.0
"""Between two runs of the purge."""
_ACTIVATION_INTERVAL = 5.0
"""Between two checks of whether the scheduled policy's day has come."""
_FORECAST_INTERVAL = 5.0
"""Between two checks of whether a forecast is due."""


def run_deleter(settings: Settings, stop: Event) -> None:
    """Run the deleter until `stop` is set."""
    with open_resources(settings) as opened:
        ledger = opened.ledger("deleter")
        opened.stack.enter_context(deleter_lock(ledger))
        policy = opened.wait_for_active_policy(ledger, stop)
        bus, codec = opened.kafka_client(), opened.codec()
        observer = open_observer(DeleterObserver, opened, ROLE, policy)
        observer.not_sealed_since(utc_now())  # the alert waits a day from now
        topics = required_topics(policy)
        bus.ensure_topics(opened.kafka_access(ROLE, policy).topics)
        deleting, signatures = settings.deleting, opened.signing()
        observer.signing_disabled(not signatures.required)
        tombstone_cipher = opened.tombstone_cipher(ledger, policy)
        deleter = Deleter(
            ledger=ledger,
            publisher=KafkaCommandPublisher(
                sender=bus.open_producer(),
                codec=codec,
                topics=topics.commands,
                signer=signatures.signer(),
                spans=opened.tracer(ROLE),
            ),
            catch_up_check=catch_up_check(bus, ledger, topics, _CATCH_UP_TIMEOUT),
            policy=policy,
            observer=observer,
            now=utc_now,
            limits=_limits(deleting),
            attachments=RequestAttachments(
                keys=opened.request_keys(),
                key_of=lambda system: signatures.encryption_key(system, utc_now()),
            ),
            tombstone_cipher=tombstone_cipher,
            retry_policy=_retry_policy(deleting),
            command_topics=KafkaCommandTopics(
                bus=bus,
                codec=codec,
                topics=list(topics.commands.values()),
                verifier=signatures.command_verifier(),
                group=opened.kafka_access(ROLE, policy).user,
                unreadable=observer.command_unreadable,
            ),
        )
        sealer = EvidenceSealer(
            ledger=ledger,
            pseudonymizer=opened.pseudonymizer(),
            ring=signatures.keys.private() if signatures.required else None,
            publisher=KafkaHeadPublisher(sender=bus.open_producer(PATIENCE_SECONDS), codec=codec),
            unpublished=observer.heads_not_published,
        )
        purger = Purger(
            ledger=ledger,
            policy=policy,
            tombstone_cipher=tombstone_cipher,
            catch_up_check=catch_up_check(bus, ledger, topics, _CATCH_UP_TIMEOUT),
            observer=observer,
        )
        counter, self_check = HoldingCounter(policy=policy), ChainSelfCheck()

        def measure() -> None:
            with ledger.transaction() as connection:
                active_policy.is_active(connection, policy)  # an idle deleter changes over too
                at = database_now(connection)
                observer.clock_skewed((utc_now() - at).total_seconds())
                observer.status_measured(read_status(connection, policy, at, history=False))
                observer.holdings_counted(counter.advance(connection, at))
                observer.audit_log_checked(self_check.check_next(connection))
                observer.surges_measured(load_open_surges(connection))
                if deleting.surge_factor:
                    observer.forecast_measured(last_daily_at(connection))

        measurement = Throttled(
            run=measure, interval_seconds=settings.operating.metrics_interval_seconds
        )
        throttled_sealing = Throttled(run=sealer.run_once, interval_seconds=_SEAL_INTERVAL)
        throttled_purge = Throttled(run=purger.run_once, interval_seconds=_PURGE_INTERVAL)
        scheduled = ScheduledActivation(ledger=ledger, observer=observer)
        throttled_activation = Throttled(
            run=scheduled.run_once, interval_seconds=_ACTIVATION_INTERVAL
        )

        def forecast() -> None:
            if deleting.surge_factor and make_daily_forecast(ledger, policy):
                observer.forecast_made()

        DeleterWorker(
            erase=deleter.run_once,
            seal=sealer.run_once,
            seal_if_due=throttled_sealing.run_if_due,
            purge_if_due=throttled_purge.run_if_due,
            measure_if_due=measurement.run_if_due,
            forecast_if_due=Throttled(run=forecast, interval_seconds=_FORECAST_INTERVAL).run_if_due,
            activate_if_due=throttled_activation.run_if_due,
            observer=observer,
            idle_seconds=deleting.idle_seconds,
        ).run(stop)


def _limits(deleting: DeleterSettings) -> DeleterLimits:
    return DeleterLimits(
        records_per_claim=deleting.claim_records,
        commands_per_dispatch=deleting.dispatch_batch,
        commands_per_hour=deleting.commands_per_hour,
        surge_factor=deleting.surge_factor,
        clock_tolerance=timedelta(seconds=deleting.clock_tolerance_seconds),
    )


def _retry_policy(deleting: DeleterSettings) -> RetryPolicy:
    return RetryPolicy(
        base=timedelta(seconds=deleting.retry_seconds),
        cap=timedelta(seconds=deleting.retry_cap_seconds),
        validity=timedelta(seconds=deleting.validity_seconds),
    )
