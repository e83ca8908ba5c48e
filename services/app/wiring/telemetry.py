"""What a role shows of itself: its metrics, health and log, from its start to its end."""

from __future__ import annotations

from importlib.metadata import version
from platform import python_version

from consumers import tagger
from services.app.wiring.resources import Resources, utc_now
from services.deleter import deleter
from services.operations import logs
from services.operations.health import Address, Health, serve_http_on_free_port
from services.operations.metrics import PORTS, Metrics
from services.operations.observers.roles import Observer
from services.policy.model import Policy


def open_observer(
    opened: Resources, role: str, policy: Policy, *, idle_seconds: float = 0.0
) -> Observer:
    settings = opened.settings.operating
    logs.configure(settings.log_format)
    metrics = Metrics()
    metrics.set("termijn_role_info", 1, role=role, policy=policy.policy, version=policy.version)
    metrics.set("termijn_build_info", 1, version=version("termijn"), python=python_version())
    if role == tagger.ROLE:  # it has been silent since now
        metrics.set("termijn_last_tagged_timestamp_seconds", utc_now().timestamp())
    if role == deleter.ROLE:  # nothing was signed since it stood still: it has a day from now
        metrics.set("termijn_evidence_sealed_timestamp_seconds", utc_now().timestamp())
    health = Health(bound_seconds=settings.liveness_timeout_seconds + idle_seconds)
    fares = health.loop(role)
    metrics.follow("termijn_role_ready", lambda: not health.ready(), role=role)
    where = Address(host=settings.metrics_host, port=settings.metrics_port)
    url = opened.stack.enter_context(
        serve_http_on_free_port(metrics.registry, health, where, PORTS[role])
    )
    log = logs.logger(role)
    log.info("started", metrics=url, policy=policy.version)
    opened.stack.callback(log.info, "stopped")
    observer = Observer(role=role, metrics=metrics, log=log, loop=fares)
    observer.began(policy.systems)
    return observer
