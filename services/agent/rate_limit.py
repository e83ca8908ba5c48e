"""Limits the load on the system: a token bucket for the rate, and a policy for retries."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.policy.retry import backoff


@dataclass(slots=True, kw_only=True)
class TokenBucket:
    """Allows `per_second` calls on average and `burst` at once; the caller gives the time."""

    per_second: float
    burst: int
    _tokens: float = field(default=-1.0, init=False)
    _at: datetime | None = field(default=None, init=False)

    def take(self, now: datetime) -> bool:
        """Take a token, and return whether there was one."""
        if self._at is None:
            self._tokens = float(self.burst)
        else:
            elapsed = max(
                0.0, (now - self._at).total_seconds()
            )  # a clock that was set back gives no tokens
            self._tokens = min(float(self.burst), self._tokens + elapsed * self.per_second)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitedRetries:
    """How often one attempt is tried, and the delay between tries: it doubles, up to the cap."""

    max_attempts: int
    base: timedelta
    cap: timedelta

    def delay_after(self, tries: int) -> timedelta | None:
        """Return the delay before the next try after that many tries; None when no try is left."""
        if tries >= self.max_attempts:
            return None
        return backoff(self.base, self.cap, tries)
