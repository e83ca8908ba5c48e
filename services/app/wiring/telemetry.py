"""Serve a role's metrics and health, and write its log, while it runs."""

from __future__ import annotations

from importlib.metadata import version
from platform import python_version
from typing import TypeVar

from services.app.wiring.resources import Resources
from services.operations import logs
from services.operations.health import Address, Health, serve_http_on_free_port
from services.operations.metrics import Metrics
from services.operations.observers.base import RoleObserver
from services.operations.ports import PORTS
from services.policy.model import Policy

T = TypeVar("T", bound=RoleObserver)


def open_observer(
    kind: type[T], opened: Resources, role: str, policy: Policy, *, idle_seconds: float = 0.0
) -> T:
    """Serve a role's metrics and health until the resources close, and return its observer.

    `idle_seconds` is the pause of the role's loop between two runs; the liveness timeout is longer by it.
    """
    settings = opened.settings.operating
    logs.configure(settings.log_format)
    metrics = Metrics()
    metrics.set("termijn_role_info", 1, role=role, policy=policy.policy, version=policy.version)
    metrics.set("termijn_build_info", 1, version=version("termijn"), python=python_version())
    health = Health(timeout_seconds=settings.liveness_timeout_seconds + idle_seconds)
    loop = health.add_loop(role)
    metrics.set_function("termijn_role_ready", lambda: not health.not_ready_reasons(), role=role)
    address = Address(host=settings.metrics_host, port=settings.metrics_port)
    url = opened.stack.enter_context(
        serve_http_on_free_port(metrics.registry, health, address, PORTS[role])
    )
    log = logs.logger(role)
    log.info("started", metrics=url, policy=policy.version)
    opened.stack.callback(log.info, "stopped")
    observer = kind(role=role, metrics=metrics, log=log, loop=loop)
    observer.started(policy.systems)
    return observer
