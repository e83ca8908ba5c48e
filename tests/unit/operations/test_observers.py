"""Observing: what the roles do is what Prometheus sees, and no log line names a person."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import structlog
from structlog.testing import LogCapture

from services.deleter.dispatch import SentCommand
from services.deleter.settlement import Acknowledgement, AcknowledgementResult
from services.evidence.self_check import SelfCheckResult
from services.ledger.recording import RecordingResult
from services.operations.health import Health
from services.operations.holding_counts import HoldingCounts
from services.operations.metrics import Metrics
from services.operations.observers.roles import Observer
from services.operations.status import LedgerStatus
from services.requests.counts import RequestCounts as Rights
from services.storage.dead_letters import DeadLetter
from services.storage.offsets import OffsetGap, PartitionId

NOW = datetime(2026, 3, 15, 13, tzinfo=UTC)
COMMAND = UUID("00000000-0000-4000-8000-000000000001")
LOG = PartitionId(cluster_id="c", topic="retention.tagged.v1", topic_id="t", partition=2)
EMPTY = LedgerStatus(
    at=NOW,
    policy="optimum-pos 1",
    events=0,
    due=0,
    oldest_due_at=None,
    overdue=0,
    overdue_by={},
    commands={},
    escalated={},
    undeliverable={},
    suspicious=0,
    dead_letters={},
    kept_back={},
    gaps=(),
    key_conflicts=0,
    stops=(),
    backfills=(),
    open_too_long={},
)


@pytest.fixture
def said() -> LogCapture:
    """What was logged."""
    return LogCapture()


@pytest.fixture
def observer(said: LogCapture) -> Observer:
    """An observer whose logs are caught."""
    log: Any = structlog.wrap_logger(None, processors=[said])
    loop = Health(bound_seconds=60).loop("deleter")
    return Observer(role="deleter", metrics=Metrics(), log=log, loop=loop)


def value(observer: Observer, sample: str, **labels: str) -> float | None:
    """What one sample has."""
    return observer.metrics.registry.get_sample_value(sample, labels)


def facts(said: LogCapture) -> list[MutableMapping[str, Any]]:
    """The log lines."""
    return said.entries


def sent(attempt: int, late: float) -> SentCommand:
    """A command to the crm that left that many seconds after it was due."""
    return SentCommand(
        command_id=COMMAND,
        system="crm",
        action="erase",
        attempt=attempt,
        due_at=NOW,
        at=NOW + timedelta(seconds=late),
    )


def test_lateness_is_of_the_first_attempt_only(observer: Observer) -> None:
    """A repetition is not late: its command was out in time."""
    observer.sent([sent(1, 3.0), sent(2, 3_600.0)])
    assert value(observer, "termijn_lateness_seconds_sum", system="crm") == 3.0
    assert value(observer, "termijn_commands_sent_total", system="crm", action="erase") == 2


def test_what_the_ledger_forgot_is_counted_by_kind(observer: Observer, said: LogCapture) -> None:
    """And logged, as numbers."""
    observer.forgotten({"events": 2, "clocks": 1})
    assert value(observer, "termijn_ledger_forgotten_total", kind="events") == 2
    assert value(observer, "termijn_ledger_forgotten_total", kind="clocks") == 1
    [line] = facts(said)
    assert (line["events"], line["clocks"]) == (2, 1)


def test_broken_evidence_is_an_error(observer: Observer, said: LogCapture) -> None:
    """And 1 where Prometheus sees it, until it holds again; when it was sealed last is a time."""
    observer.rechecked(SelfCheckResult(broken="entry 3 was altered", sealed_at=None))
    assert value(observer, "termijn_evidence_broken") == 1
    assert [line["log_level"] for line in facts(said)] == ["error"]
    observer.rechecked(SelfCheckResult(broken=None, sealed_at=NOW))
    assert value(observer, "termijn_evidence_broken") == 0
    assert value(observer, "termijn_evidence_sealed_timestamp_seconds") == NOW.timestamp()


def test_running_unsigned_is_said_loudly(observer: Observer, said: LogCapture) -> None:
    """As an error, and where Prometheus sees it; a role that signs says 0."""
    observer.unsigned(False)
    assert (value(observer, "termijn_signing_off"), facts(said)) == (0, [])
    observer.unsigned(True)
    assert value(observer, "termijn_signing_off") == 1
    assert [line["log_level"] for line in facts(said)] == ["error"]


def test_an_unverifiable_answer_is_an_error(observer: Observer, said: LogCapture) -> None:
    """Counted by system and reason."""
    observer.unverifiable("crm", "forged")
    labels = {"system": "crm", "reason": "forged"}
    assert value(observer, "termijn_unverifiable_total", **labels) == 1
    assert [line["log_level"] for line in facts(said)] == ["error"]


def test_systems_without_keys_are_counted(observer: Observer, said: LogCapture) -> None:
    """Each is named at the start; the number follows what keys there are."""
    without = ["crm", "psp"]
    observer.keyless(lambda: without)
    assert value(observer, "termijn_systems_without_keys") == 2
    assert [line["system"] for line in facts(said)] == ["crm", "psp"]
    without.remove("crm")
    assert value(observer, "termijn_systems_without_keys") == 1


def test_what_arrived_overdue_is_not_late(observer: Observer) -> None:
    """Nothing was due two seconds before it went out: a year of lateness is its publisher's."""
    observer.sent([sent(1, 31_536_000.0)], NOW + timedelta(seconds=31_535_998))
    assert value(observer, "termijn_lateness_seconds_sum", system="crm") == 2.0


def test_what_was_due_after_the_last_look_is_late_from_its_own_instant(observer: Observer) -> None:
    """The later of the two counts."""
    observer.sent([sent(1, 3.0)], NOW - timedelta(seconds=9))
    assert value(observer, "termijn_lateness_seconds_sum", system="crm") == 3.0


def test_tagging_says_when(observer: Observer) -> None:
    """So that silence can be measured: 15 March 2026, 13:00 UTC."""
    observer.tagged("orders.order-placed", ("D4", "R5", "D4"), 2, NOW)
    assert value(observer, "termijn_events_tagged_total", type="orders.order-placed") == 2
    assert value(observer, "termijn_holdings_tagged_total", rule="D4") == 4
    assert value(observer, "termijn_holdings_tagged_total", rule="R5") == 2
    assert value(observer, "termijn_last_tagged_timestamp_seconds") == 1_773_579_600


def test_what_is_owed_becomes_gauges_and_goes_with_its_answer(observer: Observer) -> None:
    """Requests by right and state, the least time left in seconds, the late ones, and holds."""
    observer.owed(
        Rights(
            requests={("access", "ready"): 2, ("erasure", "received"): 1},
            left={"access": timedelta(days=-1), "erasure": timedelta(days=3)},
            late=1,
            holds=4,
        )
    )
    assert value(observer, "termijn_requests_open", right="access", state="ready") == 2
    assert value(observer, "termijn_request_left_seconds", right="access") == -86_400
    assert value(observer, "termijn_request_left_seconds", right="erasure") == 259_200
    assert value(observer, "termijn_requests_late") == 1
    assert value(observer, "termijn_holds_open") == 4
    observer.owed(Rights(requests={}, left={}, late=0, holds=0))
    assert value(observer, "termijn_requests_open", right="access", state="ready") is None
    assert value(observer, "termijn_request_left_seconds", right="access") is None


def test_the_census_is_shown_with_its_share(observer: Observer) -> None:
    """An estimate says what it is based on."""
    observer.counted(HoldingCounts(holdings={("D4", "orders", "open"): 40.0}, share=0.25))
    assert value(observer, "termijn_holdings", rule="D4", system="orders", state="open") == 40
    assert value(observer, "termijn_holdings_counted_ratio") == 0.25


def test_a_role_is_ready_once_it_is_able_and_until_it_tries_again(observer: Observer) -> None:
    """What it tries again for is in the log, not on a page."""
    health = observer.loop.health
    assert health.ready() == {"deleter": "has not begun"}
    observer.able()
    assert health.ready() == {}
    observer.tried_again("OperationalError: connection to host db.example lost")
    assert health.ready() == {"deleter": "tries again; its log says why"}
    assert health.alive() == {}


def test_what_will_be_counted_is_shown_at_zero(observer: Observer) -> None:
    """Prometheus does not see the first step of a series that begins with it."""
    observer.began(["crm"])
    assert value(observer, "termijn_batches_tried_again_total", role="deleter") == 0
    assert value(observer, "termijn_lateness_seconds_count", system="crm") == 0
    assert value(observer, "termijn_proof_seconds_count", system="crm") is None  # another role's


def test_recording_tells_new_from_known(observer: Observer) -> None:
    """And what is strange about it."""
    observer.recorded(RecordingResult(new=5, duplicates=2, conflicts=(), after_end=1, overdue=3))
    assert value(observer, "termijn_events_recorded_total", outcome="new") == 5
    assert value(observer, "termijn_events_recorded_total", outcome="duplicate") == 2
    assert value(observer, "termijn_activity_after_end_total") == 1
    assert value(observer, "termijn_overdue_on_arrival_total") == 3


def test_blindness_is_said_once_and_shown_always(observer: Observer, said: LogCapture) -> None:
    """A line a round would fill the disk."""
    for _ in range(3):
        observer.blind(["tagger: orders.order-placed.v1[0]"])
    assert value(observer, "termijn_deleter_blind") == 1
    observer.blind([])
    assert value(observer, "termijn_deleter_blind") == 0
    assert [line["event"] for line in facts(said)] == ["waited for unread events"]


def test_an_answer_is_counted_and_a_strange_one_apart(observer: Observer) -> None:
    """Nothing held, where the ledger knows records."""
    answer = Acknowledgement(
        acknowledgement_id="1",
        command_id=COMMAND,
        system="crm",
        attempt=1,
        status="nothing_held",
        counts={},
        ground=None,
        at=NOW,
    )
    observer.answered(
        answer,
        AcknowledgementResult(
            state="acknowledged", suspicious=True, repeated=False, took=timedelta(seconds=40)
        ),
    )
    assert value(observer, "termijn_acknowledgement_seconds_sum", system="crm") == 40
    assert (
        value(observer, "termijn_acknowledgements_total", system="crm", status="nothing_held") == 1
    )
    assert value(observer, "termijn_acknowledgements_suspicious_total", system="crm") == 1


def test_a_gap_is_an_error_with_its_place(observer: Observer, said: LogCapture) -> None:
    """The operator finds it without asking."""
    observer.gap(OffsetGap(role="recorder", log=LOG, expected=5, low=7, high=9))
    [line] = facts(said)
    assert line == {
        "event": "found a gap in the log",
        "log_level": "error",
        "topic": "retention.tagged.v1",
        "partition": 2,
        "expected": 5,
        "low": 7,
        "high": 9,
    }


def test_a_parked_message_is_told_by_its_place(observer: Observer, said: LogCapture) -> None:
    """Not by what is in it."""
    letter = DeadLetter(
        role="tagger",
        reason="missing-field",
        detail="customer_id: is missing",
        topic="orders.order-placed.v1",
        partition=1,
        offset=17,
        timestamp=NOW,
        at=NOW,
        key_id="k",
        sealed=b"customer:C1",
    )
    observer.parked(letter)
    assert value(observer, "termijn_dead_letters_total", role="tagger", reason="missing-field") == 1
    assert "C1" not in str(facts(said))
    assert facts(said)[0]["offset"] == 17


def test_a_batch_that_is_read_again_is_one_line(observer: Observer, said: LogCapture) -> None:
    """Database drivers write poems, with the statement and its values."""
    observer.tried_again("OperationalError: connection lost\n[SQL: ...]\n[parameters: customer:C1]")
    assert facts(said)[0]["why"] == "OperationalError: connection lost"
    assert value(observer, "termijn_batches_tried_again_total", role="deleter") == 1


def test_a_look_at_the_ledger_becomes_gauges(observer: Observer) -> None:
    """How long the oldest is due and overdue, in seconds."""
    observer.looked(
        replace(
            EMPTY,
            due=4,
            oldest_due_at=NOW - timedelta(minutes=2),
            overdue=1,
            overdue_by={"crm": NOW - timedelta(hours=1)},
            commands={("crm", "sent"): 3, ("crm", "acknowledged"): 9, ("psp", "refused"): 2},
            escalated={"psp": 2},
            undeliverable={"crm": 3},
            dead_letters={"undecodable": 1},
            open_too_long={"ticket": 6},
            key_conflicts=3,
        )
    )
    assert value(observer, "termijn_due_backlog") == 4
    assert value(observer, "termijn_oldest_due_seconds") == 120
    assert value(observer, "termijn_oldest_overdue_seconds", system="crm") == 3600
    assert value(observer, "termijn_commands_outstanding", system="crm", state="sent") == 3
    assert (
        value(observer, "termijn_commands_outstanding", system="crm", state="acknowledged") is None
    )
    assert value(observer, "termijn_commands_escalated", system="psp") == 2
    assert value(observer, "termijn_commands_undeliverable", system="crm") == 3
    assert value(observer, "termijn_dead_letters_parked", reason="undecodable") == 1
    assert value(observer, "termijn_clocks_open_too_long", clock="ticket") == 6
    assert value(observer, "termijn_key_conflicts") == 3


def test_a_refusal_stays_in_sight(observer: Observer) -> None:
    """The metric says that it counts what is not settled, or refused."""
    observer.looked(replace(EMPTY, commands={("psp", "refused"): 2}))
    assert value(observer, "termijn_commands_outstanding", system="psp", state="refused") == 2


def test_with_nothing_due_the_oldest_is_zero(observer: Observer) -> None:
    """Not what it was before."""
    observer.looked(EMPTY)
    assert value(observer, "termijn_oldest_due_seconds") == 0
    assert value(observer, "termijn_oldest_overdue_seconds", system="crm") is None
