"""Serve a role's `/metrics`, `/livez`, `/readyz` and extra pages over HTTP.

On loopback, unless a setting names another address of this machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from services.agent.serving_thread import serving_thread
from services.operations.ports import HOST

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """The address to serve on."""

    host: str = HOST
    """An address of this machine."""
    port: int = 0
    """0: the role's default."""


@dataclass(slots=True, kw_only=True)
class LoopStatus:
    """The state of one loop of a role: its last heartbeat, and why it is not ready."""

    name: str
    last_heartbeat: float
    not_ready_reason: str | None = "has not started"
    """Why the loop is not ready, without personal data; None while it is ready."""


@dataclass(slots=True, kw_only=True)
class Health:
    """The health of a role: whether each of its loops is alive, and ready.

    Restart a role that is not alive. A role that is not ready waits for something else, such as Kafka, and
    continues on its own. A role that a gap stops exits, and is neither.
    """

    timeout_seconds: float
    """A loop without a heartbeat for longer is stalled."""
    monotonic_seconds: Callable[[], float] = monotonic
    """A monotonic clock, in seconds."""
    _loops: list[LoopStatus] = field(default_factory=list)

    def add_loop(self, name: str) -> LoopHealth:
        """Add a loop of the role, which counts as alive from now on."""
        status = LoopStatus(name=name, last_heartbeat=self.monotonic_seconds())
        self._loops.append(status)
        return LoopHealth(health=self, status=status)

    def stalled_loops(self) -> Mapping[str, str]:
        """Return the stalled loops with their description; empty while the role is alive."""
        now = self.monotonic_seconds()
        return {
            loop.name: f"no heartbeat for {now - loop.last_heartbeat:.0f} s"
            for loop in self._loops
            if now - loop.last_heartbeat > self.timeout_seconds
        }

    def not_ready_reasons(self) -> Mapping[str, str]:
        """Return why each loop is not ready; empty while the role is ready."""
        reasons = {
            loop.name: loop.not_ready_reason for loop in self._loops if loop.not_ready_reason
        }
        return {**reasons, **self.stalled_loops()}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopHealth:
    """The handle with which a loop reports its health."""

    health: Health
    status: LoopStatus

    def heartbeat(self) -> None:
        """Report that the loop runs, whether it gets anything done or not."""
        self.status.last_heartbeat = self.health.monotonic_seconds()

    def mark_ready(self) -> None:
        """Report that the loop does its work."""
        self.status.not_ready_reason = None

    def mark_not_ready(self, why: str) -> None:
        """Report that the loop runs but cannot do its work."""
        self.heartbeat()
        self.status.not_ready_reason = why

    def for_loop(self, name: str) -> LoopHealth:
        """Return the handle for another loop of the same role."""
        return self.health.add_loop(name)


ExtraPage = Callable[[str], object | None]
"""Returns what a role shows at a path, as JSON; None if there is no such page."""


def no_extra_page(path: str) -> None:
    """Show no extra page."""


@contextmanager
def serve_http(
    registry: CollectorRegistry,
    health: Health,
    port: int,
    extra_page: ExtraPage = no_extra_page,
    host: str = HOST,
) -> Iterator[int]:
    """Serve until the `with` block ends, and yield the port.

    Raises:
        OSError: the port is taken; port 0 takes any.
    """
    server = make_server(
        host, port, _application(registry, health, extra_page), ThreadingWSGIServer, _QuietHandler
    )
    with serving_thread(server, "serving"):
        yield server.server_port


def _application(
    registry: CollectorRegistry, health: Health, extra_page: ExtraPage
) -> WSGIApplication:
    metrics = make_wsgi_app(registry)
    checks = {"/livez": health.stalled_loops, "/readyz": health.not_ready_reasons}

    def respond(environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            response: Iterable[bytes] = metrics(environ, start)
            return response
        if path not in checks:
            if (page := extra_page(path)) is not None:
                return _render(start, page)
            return _status_text(
                start, "404 Not Found", "not found; the pages are /metrics, /livez and /readyz"
            )
        problems = checks[path]()
        if not problems:
            return _status_text(start, "200 OK", "ok")
        return _status_text(
            start, "503 Service Unavailable", "\n".join(f"{k}: {v}" for k, v in problems.items())
        )

    return respond


def _status_text(start: StartResponse, status: str, text: str) -> Iterable[bytes]:
    start(status, [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")])
    return [f"{text}\n".encode()]


def _render(start: StartResponse, value: object) -> Iterable[bytes]:
    start("200 OK", [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
    return [json.dumps(value).encode()]


class _QuietHandler(WSGIRequestHandler):
    """Logs no requests, since Prometheus scrapes every few seconds."""

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@contextmanager
def serve_http_on_free_port(
    registry: CollectorRegistry,
    health: Health,
    address: Address,
    default_port: int,
    extra_page: ExtraPage = no_extra_page,
) -> Iterator[str]:
    """Serve on the configured, the default or any free port, and yield the metrics' URL."""
    with ExitStack() as stack:
        try:
            served_at = serve_http(
                registry, health, address.port or default_port, extra_page, address.host
            )
            port = stack.enter_context(served_at)
        except OSError:
            if address.port:
                raise
            port = stack.enter_context(serve_http(registry, health, 0, extra_page, address.host))
        yield f"http://{address.host}:{port}/metrics"
