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


def test_a_hook_may_tell_what_a_second_reading_found() -> None:
    """Rows by table, zeros included."""
    document = {"status": "done", "counts": {"orders": 2}, "checked": {"orders": 0}}
    assert parse_result(document, "erase").checked == {"orders": 0}
    assert parse_result({"status": "done", "counts": {"orders": 2}}, "erase").checked is None


@pytest.mark.parametrize(
    ("document", "action", "why"),
    [
        ({"status": "done", "checked": {}}, "erase", "it counts nothing, not even zero rows"),
        ({"status": "done", "checked": {"orders": -1}}, "erase", "its counts are not a map"),
        ({"status": "done", "checked": 0}, "erase", "its counts are not a map"),
        ({"status": "failed", "checked": {"orders": 0}}, "erase", "erase that is failed"),
        ({"status": "done", "checked": {"orders": 0}}, "restrict", "restrict that is done"),
    ],
)
def test_a_second_reading_that_proves_nothing_is_refused(
    document: dict[str, object], action: str, why: str
) -> None:
    with pytest.raises(InvalidResult, match=why):
        parse_result(document, action)
