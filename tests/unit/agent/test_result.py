"""Results of hooks: their limits are checked before they are used."""

from __future__ import annotations

import pytest

from services.agent.result import InvalidResult, parse_result


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        ({f"t{number}": 1 for number in range(1_001)}, "has 1,001 items; the most is 1,000"),
        ({"t" * 513: 1}, "a name in its counts is not a line of at most 512 bytes"),
        ({"\N{SNOWMAN}" * 171: 1}, "a name in its counts is not a line of at most 512 bytes"),
        ({"a\0b": 1}, "a name in its counts is not a line of at most 512 bytes"),
    ],
    ids=["too many", "too long", "too long in bytes", "a null character"],
)
def test_counts_beyond_the_limits_are_refused(counts: dict[str, int], why: str) -> None:
    with pytest.raises(InvalidResult, match=why):
        parse_result({"status": "done", "counts": counts}, "erase")


def test_counts_at_the_limits_are_accepted() -> None:
    counts = {f"{number:04}{'t' * 508}": 1 for number in range(1_000)}
    assert parse_result({"status": "done", "counts": counts}, "erase").counts == counts
