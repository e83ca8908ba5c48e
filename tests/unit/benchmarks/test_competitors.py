"""The tagger's rivals: what they give must be what the tagger gives, else nothing is compared."""

from __future__ import annotations

import pytest

from tests.benchmarks.competitors import check_same
from tests.benchmarks.figures import ResultsDiffer

TAGGED = frozenset({(b"customer:C1", b"1"), (b"customer:C2", b"2")})


def test_equal_results_may_be_compared() -> None:
    """Their order does not count, nor does a repetition."""
    check_same(TAGGED, frozenset([*TAGGED, *TAGGED]), "x")


@pytest.mark.parametrize(
    ("theirs", "why"),
    [
        ([(b"customer:C1", b"1")], "x: 1 of 2 tagged events are missing, 0 are others"),
        (
            [(b"customer:C1", b"1"), (b"customer:C2", b"3")],
            "x: 1 of 2 tagged events are missing, 1 are others",
        ),
        ([*TAGGED, (b"customer:C3", b"3")], "x: 0 of 2 tagged events are missing, 1 are others"),
    ],
)
def test_different_results_are_not_compared(theirs: list[tuple[bytes, bytes]], why: str) -> None:
    """One too few, another value, one too many."""
    with pytest.raises(ResultsDiffer, match=why):
        check_same(TAGGED, frozenset(theirs), "x")
