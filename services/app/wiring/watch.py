"""Build and run the watch, which reads Kafka and the keys; of a ledger it reads only the active policy."""

from __future__ import annotations

import asyncio
import logging
from importlib.metadata import version
from platform import python_version
from threading import Event
from typing import Final

from consumers.watch import ROLE, WatchApp
from services.app.kafka_settings import kafka_security
from services.app.settings import Settings
from services.app.wiring.required_topics import required_topics
from services.app.wiring.resources import Resources, open_resources, utc_now
from services.operations import logs
from services.operations.health import Address, Health, serve_http_on_free_port
from services.operations.metrics import Metrics
from services.operations.ports import PORTS
from services.operations.watch.observer import WatchObserver
from services.policy.model import Policy

_DIRECTORY: Final = "watch"


def run_watch(settings: Settings, stop: Event) -> None:
    """Run the watch until `stop` is set."""
    with open_resources(settings) as opened:
        policy = opened.policy_in_force()
        topics = required_topics(policy)
        signatures = opened.signing()
        watch = WatchApp(
            group=f"{settings.kafka.group}-{ROLE}",
            bootstrap=settings.kafka.bootstrap_servers,
            security=kafka_security(settings.kafka),
            data=settings.storage.data / _DIRECTORY,
            commands=topics.commands,
            acknowledgements=topics.acknowledgements,
            commander=signatures.command_verifier(),
            verifiers=signatures.acknowledgement_verifiers(topics.acknowledgements),
            codec=opened.codec(),
            observer=_observer(opened, policy),
            now=utc_now,
        )
        opened.kafka_client().ensure_topics(opened.kafka_access(ROLE, policy).topics)
        watch.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        asyncio.run(watch.run(stop))


def _observer(opened: Resources, policy: Policy) -> WatchObserver:
    settings = opened.settings.operating
    logs.configure(settings.log_format)
    logs.redirect_library_logs(logging.WARNING, "faust", "mode", "aiokafka", "asyncio")
    metrics = Metrics()
    metrics.set("termijn_role_info", 1, role=ROLE, policy=policy.policy, version=policy.version)
    metrics.set("termijn_build_info", 1, version=version("termijn"), python=python_version())
    health = Health(timeout_seconds=settings.liveness_timeout_seconds)
    loop = health.add_loop(ROLE)
    metrics.set_function("termijn_role_ready", lambda: not health.not_ready_reasons(), role=ROLE)
    log = logs.logger(ROLE)
    observer = WatchObserver(metrics=metrics, log=log, loop=loop)
    observer.started(policy.systems)
    address = Address(host=settings.metrics_host, port=settings.metrics_port)
    url = opened.stack.enter_context(
        serve_http_on_free_port(metrics.registry, health, address, PORTS[ROLE], observer.page)
    )
    log.info("started", metrics=url, policy=policy.version)
    opened.stack.callback(log.info, "stopped")
    return observer
