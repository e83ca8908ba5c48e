"""The health server: metrics, and whether a role is alive and ready, on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from services.operations.health import Health, serve_http
from services.operations.metrics import Metrics


class Clock:
    """A clock in seconds that a test sets."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    """Return the health of a role whose loops hang after a minute."""
    return Health(timeout_seconds=60, monotonic_seconds=clock)


@pytest.fixture
def page(health: Health) -> Iterator[str]:
    """Return the address at which it is served."""
    metrics = Metrics()
    metrics.set("termijn_gaps", 1)
    with serve_http(metrics.registry, health, 0) as port:
        yield f"http://127.0.0.1:{port}"


def get(address: str) -> tuple[int, str]:
    """Return status and text."""
    try:
        with urlopen(address) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def test_a_loop_with_heartbeats_is_alive(health: Health, clock: Clock, page: str) -> None:
    """However long the role runs."""
    loop = health.add_loop("deleter")
    for minute in range(5):
        clock.at = 60.0 * minute
        assert get(f"{page}/livez") == (200, "ok\n")
        loop.heartbeat()


def test_a_loop_that_hangs_is_neither_alive_nor_ready(
    health: Health, clock: Clock, page: str
) -> None:
    """The reason states since when the loop hangs."""
    loop = health.add_loop("deleter")
    loop.mark_ready()
    clock.at = 61.0
    reply = (503, "deleter: no heartbeat for 61 s\n")
    assert get(f"{page}/livez") == reply
    assert get(f"{page}/readyz") == reply


def test_one_hanging_loop_of_two_is_enough_to_be_not_alive(
    health: Health, clock: Clock, page: str
) -> None:
    """The rights role has two."""
    first = health.add_loop("rights")
    first.for_loop("reading")
    clock.at = 61.0
    first.heartbeat()
    assert get(f"{page}/livez") == (503, "reading: no heartbeat for 61 s\n")


def test_a_role_that_waits_for_another_is_alive_and_not_ready(health: Health, page: str) -> None:
    """A restart would not help."""
    loop = health.add_loop("tagger")
    assert get(f"{page}/readyz") == (503, "tagger: has not started\n")
    loop.mark_ready()
    assert get(f"{page}/readyz") == (200, "ok\n")
    loop.mark_not_ready("tries again")
    assert get(f"{page}/readyz") == (503, "tagger: tries again\n")
    assert get(f"{page}/livez") == (200, "ok\n")


def test_the_health_server_has_metrics_and_no_other_pages(page: str) -> None:
    """A mistyped path gets the list of valid ones."""
    status, text = get(f"{page}/metrics")
    assert status == 200
    assert "termijn_gaps 1.0" in text
    assert get(f"{page}/") == (404, "not found; the pages are /metrics, /livez and /readyz\n")


def test_health_is_served_on_loopback_while_the_block_lasts(health: Health) -> None:
    """They are served on no other address, and the port is free afterwards."""
    metrics = Metrics()
    with serve_http(metrics.registry, health, 0) as port:
        listening = Path("/proc/net/tcp").read_text("ascii")
    addresses = [line.split()[1] for line in listening.splitlines() if f":{port:04X} " in line]
    assert {address.split(":")[0] for address in addresses} == {"0100007F"}
    with serve_http(metrics.registry, health, port) as again:
        assert again == port


def test_a_port_that_is_in_use_is_reported(health: Health) -> None:
    """The caller decides what to do."""
    registry = Metrics().registry
    with (
        serve_http(registry, health, 0) as port,
        pytest.raises(OSError, match="in use"),
        serve_http(registry, health, port),
    ):
        pass
