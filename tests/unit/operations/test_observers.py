"""Observers: Prometheus sees what the roles do, and no log line names a person."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import pytest
import structlog
from structlog.testing import LogCapture

from services.deleter.acknowledgement import Acknowledgement
from services.deleter.dispatch import SentCommand
from services.deleter.settlement import AcknowledgementResult
from services.evidence.self_check import SelfCheckResult
from services.ledger.recording import RecordingResult
from services.operations.health import Health
from services.operations.holding_counts import HoldingCounts
from services.operations.metrics import Metrics
from services.operations.observers.acknowledgements import AcknowledgementsObserver
from services.operations.observers.base import RoleObserver
from services.operations.observers.deleter import DeleterObserver
from services.operations.observers.recorder import RecorderObserver
from services.operations.observers.requests import RequestsObserver
from services.operations.observers.tagger import TaggerObserver
from services.operations.status import LedgerStatus
from services.requests.counts import RequestCounts as Rights
from services.requests.provenance import DutyCounts
from services.storage.dead_letters import DeadLetter
from services.storage.gaps import OffsetGap
from services.storage.offsets import PartitionId

T = TypeVar("T", bound=RoleObserver)
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
    unexpected_acknowledgements=0,
    dead_letters={},
    kept_back={},
    gaps=(),
    key_conflicts=0,
    pauses=(),
    backfills=(),
    open_too_long={},
)


@pytest.fixture
def log() -> LogCapture:
    """Return a log that keeps its lines."""
    return LogCapture()


def observing(kind: type[T], role: str, log: LogCapture) -> T:
    """An observer whose logs are caught."""
    logger: Any = structlog.wrap_logger(None, processors=[log])
    loop = Health(timeout_seconds=60).add_loop(role)
    return kind(role=role, metrics=Metrics(), log=logger, loop=loop)


@pytest.fixture
def tagger(log: LogCapture) -> TaggerObserver:
    """The tagger's observer."""
    return observing(TaggerObserver, "tagger", log)


@pytest.fixture
def recorder(log: LogCapture) -> RecorderObserver:
    """The recorder's observer."""
    return observing(RecorderObserver, "recorder", log)


@pytest.fixture
def acknowledgements(log: LogCapture) -> AcknowledgementsObserver:
    """The observer of the acknowledgements role."""
    return observing(AcknowledgementsObserver, "acknowledgements", log)


@pytest.fixture
def deleter(log: LogCapture) -> DeleterObserver:
    """The deleter's observer."""
    return observing(DeleterObserver, "deleter", log)


@pytest.fixture
def rights(log: LogCapture) -> RequestsObserver:
    """The observer of the rights role."""
    return observing(RequestsObserver, "rights", log)


def value(observer: RoleObserver, sample: str, **labels: str) -> float | None:
    """Return the value of one sample."""
    return observer.metrics.registry.get_sample_value(sample, labels)


def facts(log: LogCapture) -> list[MutableMapping[str, Any]]:
    """The log lines."""
    return log.entries


def sent_command(attempt: int, late: float) -> SentCommand:
    """A command to the crm that left that many seconds after it was due."""
    return SentCommand(
        command_id=COMMAND,
        system="crm",
        action="erase",
        attempt=attempt,
        due_at=NOW,
        at=NOW + timedelta(seconds=late),
    )


def test_lateness_counts_for_the_first_attempt_only(deleter: DeleterObserver) -> None:
    """A repetition is not late: its command was sent in time."""
    deleter.commands_sent([sent_command(1, 3.0), sent_command(2, 3_600.0)])
    assert value(deleter, "termijn_lateness_seconds_sum", system="crm") == 3.0
    assert value(deleter, "termijn_commands_sent_total", system="crm", action="erase") == 2


def test_purged_rows_are_counted_by_kind(deleter: DeleterObserver, log: LogCapture) -> None:
    """The counts are logged as numbers."""
    deleter.rows_purged({"events": 2, "clocks": 1})
    assert value(deleter, "termijn_ledger_forgotten_total", kind="events") == 2
    assert value(deleter, "termijn_ledger_forgotten_total", kind="clocks") == 1
    [line] = facts(log)
    assert (line["events"], line["clocks"]) == (2, 1)


def test_broken_evidence_is_an_error(deleter: DeleterObserver, log: LogCapture) -> None:
    """The metric is 1 until the log verifies again; the time of the last append is a metric as well."""
    deleter.audit_log_checked(SelfCheckResult(broken="entry 3 was altered", sealed_at=None))
    assert value(deleter, "termijn_evidence_broken") == 1
    assert [line["log_level"] for line in facts(log)] == ["error"]
    deleter.audit_log_checked(SelfCheckResult(broken=None, sealed_at=NOW))
    assert value(deleter, "termijn_evidence_broken") == 0
    assert value(deleter, "termijn_evidence_sealed_timestamp_seconds") == NOW.timestamp()


def test_running_without_signatures_is_logged_as_an_error(
    deleter: DeleterObserver, log: LogCapture
) -> None:
    """Prometheus sees it too; a role that signs exports 0."""
    deleter.signing_disabled(False)
    assert (value(deleter, "termijn_signing_off"), facts(log)) == (0, [])
    deleter.signing_disabled(True)
    assert value(deleter, "termijn_signing_off") == 1
    assert [line["log_level"] for line in facts(log)] == ["error"]


def test_an_unverifiable_answer_is_an_error(
    acknowledgements: AcknowledgementsObserver, log: LogCapture
) -> None:
    """Counted by system and reason."""
    acknowledgements.signature_rejected("crm", "forged")
    labels = {"system": "crm", "reason": "forged"}
    assert value(acknowledgements, "termijn_unverifiable_total", **labels) == 1
    assert [line["log_level"] for line in facts(log)] == ["error"]


def test_systems_without_keys_are_counted(
    acknowledgements: AcknowledgementsObserver, log: LogCapture
) -> None:
    """Each is named at the start; the number follows the present keys."""
    without = ["crm", "psp"]
    acknowledgements.systems_without_keys(lambda: without)
    assert value(acknowledgements, "termijn_systems_without_keys") == 2
    assert [line["system"] for line in facts(log)] == ["crm", "psp"]
    without.remove("crm")
    assert value(acknowledgements, "termijn_systems_without_keys") == 1


def test_a_record_that_arrived_overdue_is_not_late(deleter: DeleterObserver) -> None:
    """Nothing was due until two seconds before the command was sent: the rest is its publisher's delay."""
    deleter.commands_sent([sent_command(1, 31_536_000.0)], NOW + timedelta(seconds=31_535_998))
    assert value(deleter, "termijn_lateness_seconds_sum", system="crm") == 2.0


def test_a_record_that_became_due_after_the_last_scan_is_late_from_then_on(
    deleter: DeleterObserver,
) -> None:
    """The later of the two times counts."""
    deleter.commands_sent([sent_command(1, 3.0)], NOW - timedelta(seconds=9))
    assert value(deleter, "termijn_lateness_seconds_sum", system="crm") == 3.0


def test_the_time_of_the_last_tagged_event_is_exported(tagger: TaggerObserver) -> None:
    """So that silence can be measured: 15 March 2026, 13:00 UTC."""
    tagger.tagged("orders.order-placed", ("D4", "R5", "D4"), 2, NOW)
    assert value(tagger, "termijn_events_tagged_total", type="orders.order-placed") == 2
    assert value(tagger, "termijn_holdings_tagged_total", rule="D4") == 4
    assert value(tagger, "termijn_holdings_tagged_total", rule="R5") == 2
    assert value(tagger, "termijn_last_tagged_timestamp_seconds") == 1_773_579_600


def test_a_duty_that_is_met_is_a_zero_for_each_limit(rights: RequestsObserver) -> None:
    """A panel without data would not show that no person waits."""
    rights.duties_counted(DutyCounts(open={"month": 2}, late=1, time_left={}))
    rights.duties_counted(DutyCounts(open={}, late=0, time_left={}))
    for reason in ("month", "contacted", "disclosed"):
        assert value(rights, "termijn_provenance_open", reason=reason) == 0
    assert value(rights, "termijn_provenance_late") == 0


def test_open_requests_are_gauges_until_they_are_answered(rights: RequestsObserver) -> None:
    """Requests by right and state, the least time left in seconds, the late ones, and holds."""
    rights.requests_counted(
        Rights(
            requests={("access", "ready"): 2, ("erasure", "received"): 1},
            time_left={"access": timedelta(days=-1), "erasure": timedelta(days=3)},
            overdue=1,
            holds=4,
        )
    )
    assert value(rights, "termijn_requests_open", right="access", state="ready") == 2
    assert value(rights, "termijn_request_left_seconds", right="access") == -86_400
    assert value(rights, "termijn_request_left_seconds", right="erasure") == 259_200
    assert value(rights, "termijn_requests_late") == 1
    assert value(rights, "termijn_holds_open") == 4
    rights.requests_counted(Rights(requests={}, time_left={}, overdue=0, holds=0))
    assert value(rights, "termijn_requests_open", right="access", state="ready") is None
    assert value(rights, "termijn_request_left_seconds", right="access") is None


def test_the_holding_counts_are_exported_with_their_sample(deleter: DeleterObserver) -> None:
    """An estimate states on which share it is based."""
    deleter.holdings_counted(
        HoldingCounts(holdings={("D4", "orders", "open"): 40.0}, coverage=0.25)
    )
    assert value(deleter, "termijn_holdings", rule="D4", system="orders", state="open") == 40
    assert value(deleter, "termijn_holdings_counted_ratio") == 0.25


def test_a_role_is_ready_until_it_retries(deleter: DeleterObserver) -> None:
    """The reason of the retry is in the log, not in the health response."""
    health = deleter.loop.health
    assert health.not_ready_reasons() == {"deleter": "has not started"}
    deleter.ready()
    assert health.not_ready_reasons() == {}
    deleter.batch_retried("OperationalError: connection to host db.example lost")
    assert health.not_ready_reasons() == {"deleter": "retrying; the log has the cause"}
    assert health.stalled_loops() == {}


def test_counters_are_exported_at_zero(deleter: DeleterObserver) -> None:
    """Prometheus does not see the first step of a series that begins with it."""
    deleter.started(["crm"])
    assert value(deleter, "termijn_batches_tried_again_total", role="deleter") == 0
    assert value(deleter, "termijn_lateness_seconds_count", system="crm") == 0
    assert value(deleter, "termijn_proof_seconds_count", system="crm") is None  # another role's


def test_recording_counts_new_events_and_duplicates(recorder: RecorderObserver) -> None:
    """The metrics count what is unusual about a recording as well."""
    recorder.recorded(RecordingResult(new=5, duplicates=2, conflicts=(), after_end=1, overdue=3))
    assert value(recorder, "termijn_events_recorded_total", outcome="new") == 5
    assert value(recorder, "termijn_events_recorded_total", outcome="duplicate") == 2
    assert value(recorder, "termijn_activity_after_end_total") == 1
    assert value(recorder, "termijn_overdue_on_arrival_total") == 3


def test_waiting_for_catch_up_is_logged_once_and_exported_always(
    deleter: DeleterObserver, log: LogCapture
) -> None:
    """A line at every run would fill the disk."""
    for _ in range(3):
        deleter.waiting_for_catch_up(["tagger: orders.order-placed.v1[0]"])
    assert value(deleter, "termijn_deleter_blind") == 1
    deleter.waiting_for_catch_up([])
    assert value(deleter, "termijn_deleter_blind") == 0
    assert [line["event"] for line in facts(log)] == ["waiting for unread events"]


def test_a_suspicious_answer_is_counted_separately(
    acknowledgements: AcknowledgementsObserver,
) -> None:
    """The system has no data, where the ledger knows records."""
    answer = Acknowledgement(
        command_id=COMMAND,
        system="crm",
        attempt=1,
        status="nothing_held",
        counts={},
        ground=None,
        at=NOW,
    )
    result = AcknowledgementResult(
        state="acknowledged", is_unexpected=True, repeated=False, duration=timedelta(seconds=40)
    )
    acknowledgements.acknowledged([(answer, result)])
    assert value(acknowledgements, "termijn_acknowledgement_seconds_sum", system="crm") == 40
    assert (
        value(
            acknowledgements, "termijn_acknowledgements_total", system="crm", status="nothing_held"
        )
        == 1
    )
    assert value(acknowledgements, "termijn_acknowledgements_suspicious_total", system="crm") == 1


def test_a_gap_is_an_error_with_its_offset(recorder: RecorderObserver, log: LogCapture) -> None:
    """The operator finds it without asking."""
    recorder.gap_found(OffsetGap(role="recorder", log=LOG, expected=5, low=7, high=9))
    [line] = facts(log)
    assert line == {
        "event": "found a gap in the log",
        "log_level": "error",
        "topic": "retention.tagged.v1",
        "partition": 2,
        "expected": 5,
        "low": 7,
        "high": 9,
    }


def test_a_parked_message_is_logged_with_its_offset(
    tagger: TaggerObserver, log: LogCapture
) -> None:
    """Its content is not logged."""
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
    tagger.dead_lettered(letter)
    assert value(tagger, "termijn_dead_letters_total", role="tagger", reason="missing-field") == 1
    assert "C1" not in str(facts(log))
    assert facts(log)[0]["offset"] == 17


def test_a_batch_that_is_read_again_is_one_log_line(
    deleter: DeleterObserver, log: LogCapture
) -> None:
    """Errors of database drivers have many lines, with the statement and its values."""
    deleter.batch_retried(
        "OperationalError: connection lost\n[SQL: ...]\n[parameters: customer:C1]"
    )
    assert facts(log)[0]["why"] == "OperationalError: connection lost"
    assert value(deleter, "termijn_batches_tried_again_total", role="deleter") == 1


def test_a_measurement_of_the_ledger_is_exported_as_gauges(deleter: DeleterObserver) -> None:
    """How long the oldest is due and overdue, in seconds."""
    deleter.status_measured(
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
    assert value(deleter, "termijn_due_backlog") == 4
    assert value(deleter, "termijn_oldest_due_seconds") == 120
    assert value(deleter, "termijn_oldest_overdue_seconds", system="crm") == 3600
    assert value(deleter, "termijn_commands_outstanding", system="crm", state="sent") == 3
    assert (
        value(deleter, "termijn_commands_outstanding", system="crm", state="acknowledged") is None
    )
    assert value(deleter, "termijn_commands_escalated", system="psp") == 2
    assert value(deleter, "termijn_commands_undeliverable", system="crm") == 3
    assert value(deleter, "termijn_dead_letters_parked", reason="undecodable") == 1
    assert value(deleter, "termijn_clocks_open_too_long", clock="ticket") == 6
    assert value(deleter, "termijn_key_conflicts") == 3


def test_a_refusal_stays_visible_in_the_metrics(deleter: DeleterObserver) -> None:
    """The metric counts commands that are not in a final state, and refused ones."""
    deleter.status_measured(replace(EMPTY, commands={("psp", "refused"): 2}))
    assert value(deleter, "termijn_commands_outstanding", system="psp", state="refused") == 2


def test_without_due_records_the_oldest_is_zero(deleter: DeleterObserver) -> None:
    """The gauge does not keep its last value."""
    deleter.status_measured(EMPTY)
    assert value(deleter, "termijn_oldest_due_seconds") == 0
    assert value(deleter, "termijn_oldest_overdue_seconds", system="crm") is None
