"""The recorder, put together."""

from __future__ import annotations

from threading import Event

from consumers.recorder import ROLE, TOPICS, RecorderHandler
from services.app.settings import Settings
from services.app.wiring.consumer_loops import consumer_loop
from services.app.wiring.resources import open_resources, utc_now
from services.app.wiring.telemetry import open_observer


def run_recorder(settings: Settings, stop: Event) -> None:
    """Run the recorder until `stop` is set."""
    with open_resources(settings) as opened:
        ledger = opened.ledger(ROLE)
        policy = opened.agreed(ledger, stop)
        bus, codec, seal = opened.bus(), opened.codec(), opened.seal()
        observer = open_observer(opened, ROLE, policy)
        bus.ensure(opened.use(ROLE, policy).topics)
        handler = RecorderHandler(
            policy=policy,
            codec=codec,
            ledger=ledger,
            seal=seal,
            remains=opened.remains(ledger, policy),
            observer=observer,
            now=utc_now,
            spans=opened.spans(ROLE),
        )
        topics = [topic.name for topic in TOPICS]
        consumer_loop(opened, ROLE, bus, ledger, topics, handler, observer).run(stop)
