"""How long a command waits before it is repeated."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.deleter.dispatch import RetryPolicy


@pytest.mark.parametrize(
    ("attempt", "wait"),
    [
        (1, timedelta(minutes=1)),
        (2, timedelta(minutes=2)),
        (3, timedelta(minutes=4)),
        (9, timedelta(minutes=256)),
        (10, timedelta(hours=6)),
        (1000, timedelta(hours=6)),
    ],
)
def test_each_wait_is_twice_the_one_before_up_to_six_hours(attempt: int, wait: timedelta) -> None:
    """The retries never end: nothing is given up silently."""
    assert RetryPolicy().delay_after(attempt) == wait
