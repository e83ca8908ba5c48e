"""Together: the parts of the agent run side by side, and end together."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread


def run_threads(stop: Event, *parts: Callable[[Event], None]) -> None:
    """Run all parts until `stop` is set or one ends; then all end, each after what it is at.

    The first error of a part is raised when all have ended.
    """
    errors: list[BaseException] = []

    def run(part: Callable[[Event], None]) -> None:
        try:
            part(stop)
        except BaseException as cause:
            errors.append(cause)
        finally:
            stop.set()

    threads = [Thread(target=run, args=(part,), name=f"agent-{n}") for n, part in enumerate(parts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
