"""Threads of a role: loops that run side by side, and a server that runs inside a `with` block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socketserver import BaseServer
from threading import Event, Thread


def run_threads(stop: Event, *loops: Callable[[Event], None]) -> None:
    """Run all loops until `stop` is set or one of them ends; then each ends after its present step.

    Once all have ended, the first error is raised.
    """
    errors: list[BaseException] = []

    def run(loop: Callable[[Event], None]) -> None:
        try:
            loop(stop)
        except BaseException as cause:
            errors.append(cause)
        finally:
            stop.set()

    threads = [Thread(target=run, args=(loop,), name=f"agent-{n}") for n, loop in enumerate(loops)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@contextmanager
def serving_thread(server: BaseServer, name: str) -> Iterator[None]:
    """Serve in a thread of that name inside the `with` block; close the server afterwards."""
    thread = Thread(target=server.serve_forever, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
