"""The deleter, put together; it seals the evidence and purges the ledger beside its work."""

from __future__ import annotations

from datetime import timedelta
from threading import Event

from services.app.settings import Settings
from services.app.wiring.required_topics import required_topics
from services.app.wiring.resources import catch_up_check, open_resources, utc_now
from services.app.wiring.telemetry import open_observer
from services.deleter.deleter import ROLE, ClockSkew, Deleter, DeleterLimits
from services.deleter.dispatch import RetryPolicy
from services.deleter.publisher import KafkaCommandPublisher
from services.evidence.purge.purger import Purger
from services.evidence.sealer import PATIENCE_SECONDS, EvidenceSealer, KafkaHeadPublisher
from services.evidence.self_check import ChainSelfCheck
from services.kafka.errors import RETRYABLE_ERRORS
from services.operations.holding_counts import HoldingCounter
from services.operations.status import read_status
from services.operations.throttle import Throttled
from services.requests.command_attachments import RequestAttachments
from services.storage.database import database_now, describe_error

_POLL_SECONDS = 1.0
_CATCH_UP_TIMEOUT = timedelta(seconds=2)
_SEAL_SECONDS = 1.0
"""Between two looks at what is to be sealed, while there is erasing to do."""
_FORGET_SECONDS = 1.0
"""Between two looks at what may be forgotten."""


def run_deleter(settings: Settings, stop: Event) -> None:
    """Run the deleter until `stop` is set."""
    with open_resources(settings) as opened:
        ledger = opened.ledger("deleter")
        opened.stack.enter_context(ledger.sole_deleter())
        policy = opened.agreed(ledger)
        bus, codec = opened.bus(), opened.codec()
        observer = open_observer(opened, ROLE, policy)
        needed = required_topics(policy)
        bus.ensure(opened.use(ROLE, policy).topics)
        deleting, signatures = settings.deleting, opened.signatures()
        observer.unsigned(not signatures.required)
        kept = opened.remains(ledger, policy)
        deleter = Deleter(
            ledger=ledger,
            outlet=KafkaCommandPublisher(
                sender=bus.sender(),
                codec=codec,
                topics=needed.commands,
                signer=signatures.signer(),
                spans=opened.spans(ROLE),
            ),
            sight=catch_up_check(bus, ledger, needed, _CATCH_UP_TIMEOUT),
            policy=policy,
            observer=observer,
            now=utc_now,
            limits=DeleterLimits(
                claim=deleting.claim_records,
                relay=deleting.dispatch_batch,
                commands_per_hour=deleting.commands_per_hour,
                clock_tolerance=timedelta(seconds=deleting.clock_tolerance_seconds),
            ),
            enclosures=RequestAttachments(
                keys=opened.request_keys(),
                key_of=lambda system: signatures.encrypts_to(system, utc_now()),
            ),
            remains=kept,
            patience=RetryPolicy(
                base=timedelta(seconds=deleting.retry_seconds),
                cap=timedelta(seconds=deleting.retry_cap_seconds),
                validity=timedelta(seconds=deleting.validity_seconds),
            ),
        )
        keeping = EvidenceSealer(
            ledger=ledger,
            references=opened.references(),
            ring=signatures.keys.private() if signatures.required else None,
            outlet=KafkaHeadPublisher(sender=bus.sender(PATIENCE_SECONDS), codec=codec),
            unpublished=observer.unpublished,
        )
        forgetting = Purger(
            ledger=ledger,
            policy=policy,
            remains=kept,
            sight=catch_up_check(bus, ledger, needed, _CATCH_UP_TIMEOUT),
            observer=observer,
        )
        census, recheck = HoldingCounter(policy=policy), ChainSelfCheck()

        def measure() -> None:
            with ledger.transaction() as connection:
                at = database_now(connection)
                observer.disagreed((utc_now() - at).total_seconds())
                observer.looked(read_status(connection, policy, at, history=False))
                observer.counted(census.step(connection, at))
                observer.rechecked(recheck.step(connection))

        measuring = Throttled(measure=measure, seconds=settings.operating.metrics_interval_seconds)
        sealing = Throttled(measure=keeping.round, seconds=_SEAL_SECONDS)
        forgetful = Throttled(measure=forgetting.round, seconds=_FORGET_SECONDS)
        handled = sealed = 0
        while not stop.is_set():
            try:
                measuring.now_and_then()
                if handled:
                    sealing.now_and_then()  # erasing comes first: what waits is in no hurry
                else:
                    sealed = keeping.round()
                    forgetful.now_and_then()
                handled = deleter.round()
            except ClockSkew as cause:
                observer.disagreed(cause.seconds)
                observer.tried_again(str(cause))
                stop.wait(_POLL_SECONDS)
            except RETRYABLE_ERRORS as cause:
                observer.tried_again(describe_error(cause))
                stop.wait(_POLL_SECONDS)
            else:
                observer.went_round()
                observer.able()
                if not handled and not sealed:
                    stop.wait(deleting.idle_seconds)
