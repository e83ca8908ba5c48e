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
    went_round_at: float
    hindrance: str | None = "has not begun"
    """What keeps it from its work, in words without personal data; None while it does it."""


@dataclass(slots=True, kw_only=True)
class Health:
    """Whether each loop of a role goes round (alive), and does its work (ready).

    A role that is not alive is to be started anew; one that is not ready waits for something else, such
    as the bus, and goes on by itself. A role that a gap or another policy stops ends, and is neither.
    """

    bound_seconds: float
    """A loop that has not gone round for longer hangs."""
    clock: Callable[[], float] = monotonic
    """Seconds that never go back."""
    _parts: list[LoopStatus] = field(default_factory=list)

    def loop(self, name: str) -> LoopHealth:
        """One more loop of the role, which counts as going round from now on."""
        part = LoopStatus(name=name, went_round_at=self.clock())
        self._parts.append(part)
        return LoopHealth(health=self, part=part)

    def alive(self) -> Mapping[str, str]:
        """What hangs, by loop; empty while the role is alive."""
        now = self.clock()
        return {
            part.name: f"has not gone round for {now - part.went_round_at:.0f} s"
            for part in self._parts
            if now - part.went_round_at > self.bound_seconds
        }

    def ready(self) -> Mapping[str, str]:
        """What keeps each loop from its work; empty while the role is ready."""
        hindered = {part.name: part.hindrance for part in self._parts if part.hindrance}
        return {**hindered, **self.alive()}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopHealth:
    """How a loop says how it fares."""

    health: Health
    part: LoopStatus

    def went_round(self) -> None:
        """It goes round, whether it gets anything done or not."""
        self.part.went_round_at = self.health.clock()

    def able(self) -> None:
        """It does its work."""
        self.part.hindrance = None

    def hindered(self, why: str) -> None:
        """It tried, and something keeps it from its work."""
        self.went_round()
        self.part.hindrance = why

    def beside(self, name: str) -> LoopHealth:
        """Another loop of the same role."""
        return self.health.loop(name)


ExtraPage = Callable[[str], object | None]
"""What a role shows at a path, as JSON; None where there is nothing."""


def no_extra_page(path: str) -> None:
    """A role that shows nothing but how it fares."""


@contextmanager
def serve_http(
    registry: CollectorRegistry,
    health: Health,
    port: int,
    view: ExtraPage = no_extra_page,
    host: str = HOST,
) -> Iterator[int]:
    """Serve until the block ends, which is given the port.

    Raises:
        OSError: the port is taken; port 0 takes any.
    """
    server = make_server(
        host, port, _application(registry, health, view), ThreadingWSGIServer, _QuietHandler
    )
    thread = Thread(target=server.serve_forever, name="serving", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _application(registry: CollectorRegistry, health: Health, view: ExtraPage) -> WSGIApplication:
    metrics = make_wsgi_app(registry)
    looks = {"/livez": health.alive, "/readyz": health.ready}

    def answer(environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            found: Iterable[bytes] = metrics(environ, start)
            return found
        if path not in looks:
            if (shown := view(path)) is not None:
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
    where: Address,
    usual: int,
    view: ExtraPage = no_extra_page,
) -> Iterator[str]:
    """Serve on the port asked for, else the role's own, or any where that is taken; the metrics' URL."""
    with ExitStack() as stack:
        try:
            served_at = serve_http(registry, health, where.port or usual, view, where.host)
            port = stack.enter_context(served_at)
        except OSError:
            if where.port:
                raise
            port = stack.enter_context(serve_http(registry, health, 0, view, where.host))
        yield f"http://{where.host}:{port}/metrics"
