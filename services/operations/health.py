"""Serving: what a role says over HTTP: `/metrics`, `/livez`, `/readyz`, and its own views.

On loopback, unless a setting names another address of this machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from services.operations.metrics import HOST

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to serve."""

    host: str = HOST
    """An address of this machine."""
    port: int = 0
    """0 is not asked for."""


@dataclass(slots=True, kw_only=True)
class LoopStatus:
    """One loop of a role: when it went round last, and what keeps it from its work."""

    name: str
    last_heartbeat: float
    not_ready_reason: str | None = "has not begun"
    """What keeps it from its work, in words without personal data; None while it does it."""


@dataclass(slots=True, kw_only=True)
class Health:
    """Whether each loop of a role goes round (alive), and does its work (ready).

    A role that is not alive is to be started anew; one that is not ready waits for something else, such
    as the bus, and goes on by itself. A role that a gap or another policy stops ends, and is neither.
    """

    timeout_seconds: float
    """A loop that has not gone round for longer hangs."""
    monotonic_seconds: Callable[[], float] = monotonic
    """Seconds that never go back."""
    _loops: list[LoopStatus] = field(default_factory=list)

    def add_loop(self, name: str) -> LoopHealth:
        """One more loop of the role, which counts as going round from now on."""
        part = LoopStatus(name=name, last_heartbeat=self.monotonic_seconds())
        self._loops.append(part)
        return LoopHealth(health=self, status=part)

    def stalled_loops(self) -> Mapping[str, str]:
        """What hangs, by loop; empty while the role is alive."""
        now = self.monotonic_seconds()
        return {
            part.name: f"has not gone round for {now - part.last_heartbeat:.0f} s"
            for part in self._loops
            if now - part.last_heartbeat > self.timeout_seconds
        }

    def not_ready_reasons(self) -> Mapping[str, str]:
        """What keeps each loop from its work; empty while the role is ready."""
        hindered = {
            part.name: part.not_ready_reason for part in self._loops if part.not_ready_reason
        }
        return {**hindered, **self.stalled_loops()}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopHealth:
    """How a loop says how it fares."""

    health: Health
    status: LoopStatus

    def heartbeat(self) -> None:
        """It goes round, whether it gets anything done or not."""
        self.status.last_heartbeat = self.health.monotonic_seconds()

    def mark_ready(self) -> None:
        """It does its work."""
        self.status.not_ready_reason = None

    def mark_not_ready(self, why: str) -> None:
        """It tried, and something keeps it from its work."""
        self.heartbeat()
        self.status.not_ready_reason = why

    def for_loop(self, name: str) -> LoopHealth:
        """Another loop of the same role."""
        return self.health.add_loop(name)


ExtraPage = Callable[[str], object | None]
"""What a role shows at a path, as JSON; None where there is nothing."""


def no_extra_page(path: str) -> None:
    """A role that shows nothing but how it fares."""


@contextmanager
def serve_http(
    registry: CollectorRegistry,
    health: Health,
    port: int,
    extra_page: ExtraPage = no_extra_page,
    host: str = HOST,
) -> Iterator[int]:
    """Serve until the block ends, which is given the port.

    Raises:
        OSError: the port is taken; port 0 takes any.
    """
    server = make_server(
        host, port, _application(registry, health, extra_page), ThreadingWSGIServer, _QuietHandler
    )
    thread = Thread(target=server.serve_forever, name="serving", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _application(
    registry: CollectorRegistry, health: Health, extra_page: ExtraPage
) -> WSGIApplication:
    metrics = make_wsgi_app(registry)
    looks = {"/livez": health.stalled_loops, "/readyz": health.not_ready_reasons}

    def answer(environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            found: Iterable[bytes] = metrics(environ, start)
            return found
        if path not in looks:
            if (shown := extra_page(path)) is not None:
                return _render(start, shown)
            return _status_text(start, "404 Not Found", "there are /metrics, /livez and /readyz")
        wrong = looks[path]()
        if not wrong:
            return _status_text(start, "200 OK", "ok")
        return _status_text(
            start, "503 Service Unavailable", "\n".join(f"{k}: {v}" for k, v in wrong.items())
        )

    return answer


def _status_text(start: StartResponse, status: str, text: str) -> Iterable[bytes]:
    start(status, [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")])
    return [f"{text}\n".encode()]


def _render(start: StartResponse, value: object) -> Iterable[bytes]:
    start("200 OK", [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
    return [json.dumps(value).encode()]


class _QuietHandler(WSGIRequestHandler):
    """Does not log requests: a scrape every few seconds is no event."""

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@contextmanager
def serve_http_on_free_port(
    registry: CollectorRegistry,
    health: Health,
    address: Address,
    default_port: int,
    extra_page: ExtraPage = no_extra_page,
) -> Iterator[str]:
    """Serve on the port asked for, else the role's own, or any where that is taken; the metrics' URL."""
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
