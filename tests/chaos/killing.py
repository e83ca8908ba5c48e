"""Kills processes at random moments and starts them again."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Self

from tests.e2e.running import Running
from tests.patience import Patience


class Killer(threading.Thread):
    """Kills the processes that `choose` returns, at random within `pause` seconds, and restarts them."""

    def __init__(
        self,
        running: Running,
        seed: int,
        *,
        choose: Callable[[random.Random], str],
        restart: Callable[[str], None],
        pause: tuple[float, float],
    ) -> None:
        super().__init__(daemon=True)
        self._running = running
        self._random = random.Random(seed)
        self._choose = choose
        self._restart = restart
        self._pause = pause
        self._enough = threading.Event()
        self.kills = 0

    def run(self) -> None:
        """Kill until `stop`; seldom a process that has not started, or under load none would ever start."""
        killed: Counter[str] = Counter()
        while not self._enough.wait(self._random.uniform(*self._pause)):
            name = self._choose(self._random)
            if (
                not self._running.has_started(name, killed[name] + 1)
                and self._random.random() < 0.9
            ):
                continue
            self._running.end(name, kill=True)
            self._restart(name)
            killed[name] += 1
            self.kills += 1

    def stop(self, kills: int = 0) -> None:
        """Stop once the required number of kills is reached."""
        patience = Patience(120)
        while self.kills < kills and not patience.is_over:
            time.sleep(0.2)
        self._enough.set()
        self.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
