"""The loops of one role, each in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread


def run_threads(stop: Event, **loops: Callable[[Event], None]) -> None:
    """Run all loops until `stop` is set or one of them ends; then each ends after its present step.

    Each loop's thread has its name. Once all have ended, the first error is raised.
    """
    errors: list[BaseException] = []

    def run(loop: Callable[[Event], None]) -> None:
        try:
            loop(stop)
        except BaseException as cause:
            errors.append(cause)
        finally:
            stop.set()

    threads = [Thread(target=run, args=(loop,), name=name) for name, loop in loops.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
