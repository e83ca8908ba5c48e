"""Limits: how fast and how often the system is asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.policy.retry import backoff


@dataclass(slots=True, kw_only=True)
class TokenBucket:
    """At most `per_second` on average and `burst` at once; time is given, never looked up."""

    per_second: float
    burst: int
    _tokens: float = field(default=-1.0, init=False)
    _at: datetime | None = field(default=None, init=False)

    def take(self, now: datetime) -> bool:
        """Take one token, if there is one."""
        if self._at is None:
            self._tokens = float(self.burst)
        else:
            gone = max(0.0, (now - self._at).total_seconds())  # a clock set back gives nothing
            self._tokens = min(float(self.burst), self._tokens + gone * self.per_second)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often one attempt is tried, and how long each wait is: it doubles, up to the cap."""

    max_attempts: int
    base: timedelta
    cap: timedelta

    def delay_after(self, tries: int) -> timedelta | None:
        """How long after that many tries the next follows; nothing when they are used up."""
        if tries >= self.max_attempts:
            return None
        return backoff(self.base, self.cap, tries)
