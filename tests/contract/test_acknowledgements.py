"""Acknowledgements: each is kept and decides the command's state; a terminal state does not change.

Each on SQLite and on PostgreSQL. The customer of most tests has ended on 1 June 2020 at 12:00Z, so that
R1 is due a lead time before 1 June 2022 at 12:00Z.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from services.deleter.acknowledgement import Acknowledgement, UnknownCommand
from services.deleter.escalation import close_command, escalate
from services.deleter.settlement import apply_acknowledgement
from services.ledger import tables
from services.ledger.command_state import IllegalTransition
from services.storage.database import Database
from tests.batches import message_of
from tests.contract.event_builders import (
    feedback,
    order,
)
from tests.contract.ledgers import (
    POLICY,
    FakeBus,
    acknowledge,
    claim_all,
    find_command,
    instant,
    later,
    record_events,
    select_rows,
    send_due,
)

JOINED = "2020-01-01T12:00:00Z"
ENDED = "2020-06-01T12:00:00Z"
FAR = "2060-01-01T00:00:00Z"


def count_commanded(ledger: Database, **values: object) -> int:
    """Return how many records the live commands cover."""
    ids = {row.command_id for row in select_rows(ledger, tables.command, **values)}
    return sum(row.command_id in ids for row in select_rows(ledger, tables.member, live=True))


class TestAnswers:
    """Each acknowledgement is kept and decides the state; a terminal state does not change."""

    @pytest.fixture
    def erasure(self, ledger: Database) -> UUID:
        """An erasure that was sent."""
        record_events(ledger, [feedback("e1", JOINED)], JOINED)
        (identity,) = claim_all(ledger, FAR)
        send_due(ledger, FakeBus(), FAR)
        return identity

    @pytest.mark.parametrize(
        ("status", "state"),
        [
            ("done", "acknowledged"),
            ("nothing_held", "acknowledged"),
            ("already_done", "acknowledged"),
            ("partial", "sent"),
            ("failed", "sent"),
            ("refused", "refused"),
        ],
    )
    def test_an_acknowledgement_sets_the_state_of_its_command(
        self, ledger: Database, erasure: UUID, status: str, state: str
    ) -> None:
        """`nothing_held` is suspicious where the ledger knows records."""
        result = acknowledge(ledger, erasure, status, FAR)  # type: ignore[arg-type]
        assert (result.state, result.repeated) == (state, False)
        assert result.is_unexpected is (status == "nothing_held")
        (row,) = select_rows(ledger, tables.command)
        assert (row.state, row.outcome) == (state, status)

    def test_a_final_acknowledgement_has_the_time_that_it_took(
        self, ledger: Database, erasure: UUID
    ) -> None:
        """The time counts from the first sending; an acknowledgement that settles nothing has none."""
        assert acknowledge(ledger, erasure, "partial", later(FAR, seconds=30)).duration is None
        assert acknowledge(ledger, erasure, "done", later(FAR, seconds=90)).duration == timedelta(
            seconds=90
        )
        assert acknowledge(ledger, erasure, "done", later(FAR, seconds=95)).duration is None

    def test_a_repeated_answer_changes_nothing(self, ledger: Database, erasure: UUID) -> None:
        """The repetition is recognised by its id."""
        acknowledge(ledger, erasure, "done", FAR, id="a")
        before = select_rows(ledger, tables.command)
        assert acknowledge(ledger, erasure, "done", later(FAR, days=1), id="a").repeated
        assert select_rows(ledger, tables.command) == before
        assert len(select_rows(ledger, tables.acknowledgement)) == 1

    @pytest.mark.parametrize(
        "late", ["failed", "partial", "refused", "recalled", "nothing_held", "done"]
    )
    def test_a_late_answer_is_kept_and_changes_nothing_that_is_settled(
        self, ledger: Database, erasure: UUID, late: str
    ) -> None:
        """The evidence then shows when and how the work was done."""
        acknowledge(ledger, erasure, "done", FAR)
        before = select_rows(ledger, tables.command)
        acknowledge(ledger, erasure, late, later(FAR, days=1))  # type: ignore[arg-type]
        assert select_rows(ledger, tables.command) == before
        assert len(select_rows(ledger, tables.acknowledgement)) == 2

    def test_recalled_without_a_recall_does_not_stop_the_deleter(
        self, ledger: Database, erasure: UUID
    ) -> None:
        """A system's unexpected status is refused, or the command repeated; the deleter continues."""
        try:
            acknowledge(ledger, erasure, "recalled", FAR)
        except IllegalTransition:
            return
        record_events(ledger, [feedback("e2", ENDED)], FAR)
        claim_all(ledger, FAR)
        assert count_commanded(ledger) == 2

    def test_a_failed_command_is_sent_again(self, ledger: Database, erasure: UUID) -> None:
        """A command is never given up without an operator."""
        bus = FakeBus()
        acknowledge(ledger, erasure, "failed", FAR)
        send_due(ledger, bus, later(FAR, days=1))
        assert len(bus.sent) == 1

    def test_a_completed_command_is_never_sent_again(self, ledger: Database, erasure: UUID) -> None:
        """A command that is done is not claimed again either."""
        bus = FakeBus()
        acknowledge(ledger, erasure, "done", FAR)
        send_due(ledger, bus, later(FAR, days=400))
        assert claim_all(ledger, later(FAR, days=400)) == []
        assert bus.sent == []

    def test_an_answer_to_an_unsent_command_is_illegal(self, ledger: Database) -> None:
        """The rejected acknowledgement changes nothing in the ledger."""
        record_events(ledger, [feedback("e1", JOINED)], JOINED)
        (identity,) = claim_all(ledger, FAR)
        with pytest.raises(IllegalTransition):
            acknowledge(ledger, identity, "done", FAR)
        assert select_rows(ledger, tables.acknowledgement) == []

    @pytest.mark.parametrize("system", ["crm", "website"])
    def test_an_acknowledgement_of_an_unknown_command_is_refused(
        self, ledger: Database, erasure: UUID, system: str
    ) -> None:
        """The command is unknown, or is another system's."""
        identity = erasure if system == "crm" else UUID(int=1)
        acknowledgement = Acknowledgement(
            command_id=identity,
            system=system,
            attempt=1,
            status="done",
            counts={},
            ground=None,
            at=instant(FAR),
        )
        with pytest.raises(UnknownCommand):
            ledger.run_in_transaction(
                lambda c: apply_acknowledgement(
                    c, message_of(acknowledgement, "a"), POLICY, instant(FAR)
                )
            )

    def test_a_controllers_refusal_is_final_and_anothers_is_escalated(
        self, ledger: Database
    ) -> None:
        """For a controller the command is only a notice (GDPR 17(2), 19)."""
        record_events(ledger, [order("o1", JOINED)], JOINED)
        claim_all(ledger, "2022-01-01T12:00:00Z")
        send_due(ledger, FakeBus(), "2022-01-01T12:00:00Z")
        for system in ("psp", "orders"):
            acknowledge(
                ledger, find_command(ledger, system=system), "refused", "2022-01-02T12:00:00Z"
            )
        commands = {row.system: row for row in select_rows(ledger, tables.command)}
        assert commands["psp"].escalated_at is None
        assert commands["orders"].escalated_at == instant("2022-01-02T12:00:00Z")
        assert commands["psp"].next_attempt_at is None

    def test_a_command_that_is_not_acknowledged_is_escalated_once(
        self, ledger: Database, erasure: UUID
    ) -> None:
        """The policy gives the website 48 hours."""
        assert (
            ledger.run_in_transaction(lambda c: escalate(c, POLICY, later(FAR, hours=47.9))) == []
        )
        at = later(FAR, hours=48)
        assert ledger.run_in_transaction(lambda c: escalate(c, POLICY, at)) == [
            ("website", erasure)
        ]
        assert (
            ledger.run_in_transaction(lambda c: escalate(c, POLICY, at + timedelta(days=1))) == []
        )

    def test_a_command_that_an_operator_gave_up_is_final(
        self, ledger: Database, erasure: UUID
    ) -> None:
        """It is not sent again, and giving up twice, or something unknown, is refused."""
        assert (
            ledger.run_in_transaction(lambda c: close_command(c, erasure, instant(FAR))) == "closed"
        )
        bus = FakeBus()
        send_due(ledger, bus, later(FAR, days=1))
        assert bus.sent == []
        with pytest.raises(IllegalTransition):
            ledger.run_in_transaction(lambda c: close_command(c, erasure, instant(FAR)))
        with pytest.raises(UnknownCommand):
            ledger.run_in_transaction(lambda c: close_command(c, UUID(int=1), instant(FAR)))
