"""`termijn topics` where Kafka cannot be reached."""

from __future__ import annotations

import pytest

from tests.unit.cli.conftest import Call


@pytest.mark.parametrize("words", [("check",), ("apply",), ("apply", "--dry-run")])
def test_the_embedded_broker_has_nothing_to_check(
    termijn: Call, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """One line states this, without waiting for an answer that never comes."""
    monkeypatch.setenv("TERMIJN_KAFKA_CLUSTER_ID", "embedded-1")
    refused = termijn("topics", *words)
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == (
        "termijn: the embedded broker has no topic settings; set KAFKA_BOOTSTRAP_SERVERS to Kafka brokers\n"
    )
