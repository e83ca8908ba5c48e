"""A purpose that was restricted because it had ended is lifted once it goes on again.

On SQLite and on PostgreSQL. A club's app keeps a member's record for care, which ends a year after the
membership, and for service, which ends after twenty years.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pytest

from services.deleter import activation
from services.deleter.acknowledgement import Acknowledgement, Status
from services.deleter.claim import claim_due
from services.deleter.dispatch import RetryPolicy, dispatch, lease
from services.deleter.forecast import ForecastLine, forecast
from services.deleter.paused_systems import PausedSystems
from services.deleter.settlement import apply_acknowledgement
from services.deleter.verification import recommand_since, verify_commands
from services.ledger import active_policy, tables
from services.ledger.key_conflicts import decide_conflict
from services.ledger.recording import record
from services.policy.model import Policy
from services.storage.database import Database
from tests.batches import message_of
from tests.contract.event_builders import Event, arrival, event
from tests.contract.ledgers import FakeBus, instant, run_as_role, select_rows
from tests.unit.policy.small import small

PRIVACY = """\
events:
  club.objected:
    process: q
    fields: {client_id: {}, purpose: {}}
    subject: [{kind: client, field: client_id}]
    act: objection-raised
  club.objection-decided:
    process: q
    fields: {client_id: {}, purpose: {}, outcome: {one_of: [upheld, rejected]}}
    subject: [{kind: client, field: client_id}]
    act: objection-decided
  club.consented:
    process: q
    fields: {client_id: {}, purpose: {}}
    subject: [{kind: client, field: client_id}]
    act: consent-given
  club.hold:
    process: q
    fields: {client_id: {}, hold_id: {}, ground: {one_of: [legal_claim]}}
    subject: [{kind: client, field: client_id}]
    act: hold-placed
"""
LONG_SERVICE = {
    "    pseudonymise: true\n": "",
    "events:\n": PRIVACY,
    "  law: {title: Law": "  interest: {title: Interest, dpv: eu-gdpr:A6-1-f, article: GDPR 6(1)(f),"
    " ground: legitimate_interest}\n"
    "  consent: {title: Consent, dpv: eu-gdpr:A6-1-a, article: GDPR 6(1)(a), ground: consent}\n"
    "  law: {title: Law",
}
SERVICE = "purpose: service, basis: contract, rule: study, systems: [app]"
POLICY = small(
    "purpose: care, basis: interest, rule: membership, systems: [app]",
    SERVICE,
    changed=LONG_SERVICE,
)
WITH_NUMBERS = small(
    "purpose: care, basis: interest, rule: membership, systems: [app]",
    SERVICE,
    changed={
        **LONG_SERVICE,
        "      stay_id: {business_key: true}": "      stay_id: {identifies: true}",
    },
)
"""The policy in which the number of a stay names one person's rows."""
JOINED, LEFT, ENDED, BACK, GONE = (
    *("2020-01-01T10:00:00Z", "2021-01-01T10:00:00Z"),
    *("2022-01-01T10:00:00Z", "2022-03-01T10:00:00Z", "2022-03-05T10:00:00Z"),
)
"""The member joins and leaves; a year later care has ended; the member comes back, and leaves for good."""


@dataclass
class Club:
    """The ledger and the deleter of the club, on the test's own time."""

    ledger: Database
    policy: Policy = POLICY
    bus: FakeBus = field(default_factory=FakeBus)
    acknowledged: int = 0

    def record_events(self, events: Sequence[Event], now: str) -> None:
        arrivals = [arrival(item, self.policy) for item in events]

        def work(connection: Any) -> None:
            active_policy.require_active(connection, self.policy, instant(now))
            record(connection, arrivals, self.policy, instant(now))

        run_as_role(self.ledger, "recorder", work)

    def activate(self, policy: Policy, now: str) -> None:
        run_as_role(
            self.ledger, "operators", lambda c: activation.activate(c, policy, instant(now))
        )
        self.policy = policy

    def send(self, now: str) -> list[str]:
        """Claim and send what is due, without an answer; return action and purposes of each."""
        at, before = instant(now), len(self.bus.sent)
        for _ in range(3):
            self._as_deleter(lambda c: claim_due(c, self.policy, at, limit=100))
            self._as_deleter(lambda c: verify_commands(c, self.policy, at, limit=100))
            leased = self._as_deleter(lambda c: lease(c, at, PausedSystems(), limit=100))
            self._as_deleter(
                lambda c, leased=leased: dispatch(  # type: ignore[misc]
                    c, leased, self.bus, self.policy, at, RetryPolicy()
                )
            )
        return [
            f"{message.value['action']} {' '.join(message.value['purposes'])}"
            for message in self.bus.sent[before:]
        ]

    def work(self, now: str) -> list[str]:
        """Send what is due, and let the app carry out everything, until nothing is left to do."""
        done: list[str] = []
        for _ in range(10):
            sent = self.send(now)
            done += sent
            rows = select_rows(self.ledger, tables.command, state="sent")
            for row in rows:
                status: Status = "recalled" if row.action == "recall" else "done"
                self.answer(row.command_id, status, now)
            if not sent and not rows:
                return done
        raise AssertionError(f"there is always more to do: {done}")

    def answer(self, command: UUID, status: Status, now: str) -> None:
        self.acknowledged += 1
        acknowledgement = Acknowledgement(
            command_id=command,
            system="app",
            attempt=1,
            status=status,
            counts={"rows": 0},
            ground=None,
            at=instant(now),
        )
        message = message_of(acknowledgement, f"a{self.acknowledged}")
        run_as_role(
            self.ledger,
            "acknowledgements",
            lambda c: apply_acknowledgement(c, message, self.policy, instant(now)),
        )

    def find(self, action: str, state: str | None = None) -> UUID:
        """Return the last command of an action, or the one in a state."""
        wanted = {"action": action} | ({"state": state} if state else {})
        rows = select_rows(self.ledger, tables.command, **wanted)
        identity: UUID = max(rows, key=lambda row: row.seq).command_id
        return identity

    def _as_deleter(self, work: Callable[[Any], Any]) -> Any:
        return run_as_role(self.ledger, "deleter", work)


@pytest.fixture
def club(ledger: Database) -> Club:
    return Club(ledger)


def joined(id_: str = "j1", time: str = JOINED) -> Event:
    return event(id_, "club.joined", time, "/club", client_id="1", stay_id="1")


def left(id_: str, time: str) -> Event:
    return event(id_, "club.left", time, "/club", client_id="1")


def returned(id_: str, time: str) -> Event:
    return event(id_, "club.returned", time, "/club", client_id="1")


def privacy(id_: str, type_: str, time: str, **fields: str) -> Event:
    return event(id_, type_, time, "/club", client_id="1", **fields)


def restricted(club: Club) -> None:
    """Let the app restrict care, as the membership ended more than a year ago."""
    club.record_events([joined(), left("l1", LEFT)], LEFT)
    assert club.work(ENDED) == ["restrict care"]


class TestWhatWasRestricted:
    """The app has carried out the restriction."""

    def test_a_clock_that_is_opened_again_lifts(self, club: Club) -> None:
        restricted(club)
        club.record_events([returned("r1", BACK)], BACK)
        assert club.work(BACK) == ["lift care"]
        [message] = [item for item in club.bus.sent if item.value["action"] == "lift"]
        assert message.value["reason"] == "a purpose that had ended goes on"
        assert [item["id"] for item in message.value["records"]] == ["j1"]
        assert club.work("2023-01-01T10:00:00Z") == []

    def test_it_is_restricted_and_lifted_as_often_as_it_ends_and_goes_on(self, club: Club) -> None:
        restricted(club)
        for year in (2022, 2024, 2026):
            back, gone = f"{year}-03-01T10:00:00Z", f"{year}-06-01T10:00:00Z"
            club.record_events([returned(f"r{year}", back)], back)
            assert club.work(back) == ["lift care"]
            club.record_events([left(f"l{year}", gone)], gone)
            assert club.work(gone) == []
            assert club.work(f"{year + 1}-06-01T10:00:00Z") == ["restrict care"]

    def test_an_end_that_is_corrected_to_a_later_one_lifts(self, club: Club) -> None:
        """The last end counts: care then ends a year after it."""
        restricted(club)
        club.record_events([left("l2", "2021-12-01T10:00:00Z")], BACK)
        assert club.work(BACK) == ["lift care"]
        assert club.work("2022-12-01T10:00:00Z") == ["restrict care"]

    def test_a_new_policy_with_a_longer_term_lifts(self, club: Club) -> None:
        restricted(club)
        rules = {**POLICY.rules, "membership": replace(POLICY.rules["membership"], term="P5Y")}
        club.activate(replace(POLICY, version="2", rules=rules), BACK)
        assert club.work(BACK) == ["lift care"]
        assert club.work("2025-12-31T10:00:00Z") == ["restrict care"]

    def test_a_consent_that_is_given_later_lifts(self, ledger: Database) -> None:
        """With it the record is kept for two years instead of one."""
        holding = (
            "purpose: care, basis: contract, rule: year, systems: [app],"
            " on_consent: {basis: consent, rule: two-years}"
        )
        club = Club(ledger, small(holding, SERVICE, changed=LONG_SERVICE))
        club.record_events([joined()], JOINED)
        assert club.work("2021-01-01T10:00:00Z") == ["restrict care"]
        consent = privacy("c1", "club.consented", "2021-02-01T10:00:00Z", purpose="care")
        club.record_events([consent], "2021-02-01T10:00:00Z")
        assert club.work("2021-02-01T10:00:00Z") == ["lift care"]
        assert club.work("2022-01-01T10:00:00Z") == ["restrict care"]

    def test_of_two_purposes_that_ended_together_only_the_one_that_goes_on(
        self, ledger: Database
    ) -> None:
        """The app restricts the other again, in case it can only restrict a row as a whole."""
        club = Club(
            ledger,
            small(
                "purpose: care, basis: contract, rule: membership, systems: [app]",
                "purpose: tax, basis: contract, rule: year, systems: [app]",
                SERVICE,
                changed=LONG_SERVICE,
            ),
        )
        club.record_events([joined(), left("l1", JOINED)], JOINED)
        assert club.work("2021-01-01T10:00:00Z") == ["restrict care tax"]
        club.record_events([returned("r1", BACK)], BACK)
        assert club.work(BACK) == ["lift care", "restrict tax"]
        assert club.work(BACK) == []

    def test_an_erasure_that_is_due_meanwhile_lifts_nothing(self, club: Club) -> None:
        """Everything is to be erased: care is needed no more, although it ended later than before."""
        restricted(club)
        club.record_events([left("l2", "2021-12-01T10:00:00Z")], "2040-01-01T10:00:00Z")
        assert club.work("2040-01-01T10:00:00Z") == ["erase care service", "verify care service"]

    def test_what_a_legal_hold_keeps_is_not_lifted(self, club: Club) -> None:
        """Both purposes have ended, care now as the last one: only the hold needs the record."""
        restricted(club)
        now = "2040-01-01T10:00:00Z"
        hold = privacy("h1", "club.hold", BACK, hold_id="h1", ground="legal_claim")
        club.record_events([hold, left("l2", "2039-01-01T20:00:00Z")], now)
        assert club.work(now) == ["restrict service"]

    def test_a_backup_from_before_the_lift_is_lifted_again(self, club: Club) -> None:
        restricted(club)
        club.record_events([returned("r1", BACK)], BACK)
        assert club.work(BACK) == ["lift care"]
        later = "2022-03-10T10:00:00Z"
        run_as_role(
            club.ledger,
            "operators",
            lambda c: recommand_since(c, "app", instant("2022-02-01T10:00:00Z"), instant(later)),
        )
        assert club.work(later) == ["lift care"]
        assert club.work(later) == []

    def test_a_backup_from_before_two_restrictions_is_restricted_once(
        self, ledger: Database
    ) -> None:
        """No clock shows that the first one is over: consent made the purpose go on meanwhile."""
        holding = (
            "purpose: care, basis: contract, rule: year, systems: [app],"
            " on_consent: {basis: consent, rule: two-years}"
        )
        club = Club(ledger, small(holding, SERVICE, changed=LONG_SERVICE))
        club.record_events([joined()], JOINED)
        assert club.work("2021-01-01T10:00:00Z") == ["restrict care"]
        consent = privacy("c1", "club.consented", "2021-02-01T10:00:00Z", purpose="care")
        club.record_events([consent], "2021-02-01T10:00:00Z")
        assert club.work("2021-02-01T10:00:00Z") == ["lift care"]
        assert club.work(ENDED) == ["restrict care"]
        run_as_role(
            ledger,
            "operators",
            lambda c: recommand_since(c, "app", instant(JOINED), instant(BACK)),
        )
        assert "restrict care" in club.work(BACK)
        assert club.work(BACK) == []


class TestAContestedKey:
    """Another person's event has the same number; commands about either wait for a decision."""

    def test_the_lift_waits_for_the_decision(self, ledger: Database) -> None:
        club = Club(ledger, WITH_NUMBERS)
        restricted(club)
        other = event("j2", "club.joined", BACK, "/club", client_id="2", stay_id="1")
        club.record_events([other, returned("r1", BACK)], BACK)
        assert club.work(BACK) == []
        run_as_role(
            club.ledger,
            "operators",
            lambda c: decide_conflict(c, "stay_id", "1", "client:1", club.policy, instant(GONE)),
        )
        assert club.work(GONE) == ["lift care"]

    def test_a_lift_that_is_out_is_recalled(self, ledger: Database) -> None:
        club = Club(ledger, WITH_NUMBERS)
        restricted(club)
        club.record_events([returned("r1", BACK)], BACK)
        assert club.send(BACK) == ["lift care"]
        other = event("j2", "club.joined", BACK, "/club", client_id="2", stay_id="1")
        club.record_events([other], GONE)
        assert club.work(GONE) == ["recall care"]


class TestAPersonsOwnRestriction:
    """What an objection restricts stays restricted, whatever becomes of the purpose's term."""

    def test_a_purpose_under_an_objection_is_not_lifted(self, club: Club) -> None:
        restricted(club)
        objection = privacy("o1", "club.objected", BACK, purpose="care")
        club.record_events([objection, returned("r1", BACK)], BACK)
        assert club.work(BACK) == ["restrict care"]
        rejected = privacy(
            "o2",
            "club.objection-decided",
            "2022-04-01T10:00:00Z",
            purpose="care",
            outcome="rejected",
        )
        club.record_events([rejected], "2022-04-01T10:00:00Z")
        assert set(club.work("2022-04-01T10:00:00Z")) == {"lift care"}

    def test_an_objection_recalls_a_lift_that_is_out(self, club: Club) -> None:
        restricted(club)
        club.record_events([returned("r1", BACK)], BACK)
        assert club.send(BACK) == ["lift care"]
        now = "2022-03-02T10:00:00Z"
        club.record_events([privacy("o1", "club.objected", now, purpose="care")], now)
        assert sorted(club.work(now)) == ["recall care", "restrict care"]


class TestWhatIsOut:
    """The command is sent and not acknowledged as the facts change."""

    def test_a_recalled_restriction_needs_no_lift(self, club: Club) -> None:
        club.record_events([joined(), left("l1", LEFT)], LEFT)
        assert club.send(ENDED) == ["restrict care"]
        club.record_events([returned("r1", BACK)], BACK)
        assert club.work(BACK) == ["recall care"]

    @pytest.mark.parametrize("recalled", [True, False])
    def test_a_restriction_that_was_carried_out_before_its_recall_is_lifted(
        self, club: Club, recalled: bool
    ) -> None:
        """The app answers the recall, or the restriction itself."""
        club.record_events([joined(), left("l1", LEFT)], LEFT)
        assert club.send(ENDED) == ["restrict care"]
        club.record_events([returned("r1", BACK)], BACK)
        assert club.send(BACK) == ["recall care"]
        if recalled:
            club.answer(club.find("recall"), "already_done", BACK)
        else:
            club.answer(club.find("restrict"), "done", BACK)
        assert club.work(BACK) == ["lift care"]

    def test_a_lift_that_is_recalled_leaves_the_restriction(self, club: Club) -> None:
        """The member leaves for good: care had ended after all, and is restricted in the app."""
        restricted(club)
        club.record_events([returned("r1", BACK)], BACK)
        assert club.send(BACK) == ["lift care"]
        club.record_events([left("l2", GONE)], "2023-06-01T10:00:00Z")
        assert club.work("2023-06-01T10:00:00Z") == ["recall care"]

    def test_a_lift_that_was_carried_out_before_its_recall_is_restricted_again(
        self, club: Club
    ) -> None:
        restricted(club)
        club.record_events([returned("r1", BACK)], BACK)
        assert club.send(BACK) == ["lift care"]
        now = "2023-06-01T10:00:00Z"
        club.record_events([left("l2", GONE)], now)
        assert club.send(now) == ["recall care"]
        club.answer(club.find("recall"), "already_done", now)
        assert club.work(now) == ["restrict care"]

    def test_a_lift_in_the_outbox_is_cancelled(self, club: Club) -> None:
        restricted(club)
        club.record_events([returned("r1", BACK)], BACK)
        at = instant(BACK)
        run_as_role(club.ledger, "deleter", lambda c: claim_due(c, club.policy, at, limit=100))
        now = "2023-06-01T10:00:00Z"
        club.record_events([left("l2", GONE)], now)
        assert club.work(now) == []


def with_membership_in_test(version: str) -> Policy:
    rules = {**POLICY.rules, "membership": replace(POLICY.rules["membership"], status="test")}
    return replace(POLICY, version=version, rules=rules)


class TestARuleInTest:
    """An operator activates a policy in which the membership's rule is in test, or is no longer."""

    def test_it_commands_nothing_until_it_is_active(self, ledger: Database) -> None:
        club = Club(ledger, with_membership_in_test("test"))
        club.record_events([joined(), left("l1", LEFT)], LEFT)
        assert club.work(ENDED) == []
        club.activate(POLICY, BACK)
        assert club.work(BACK) == ["restrict care"]

    def test_what_is_out_is_recalled_when_it_goes_back_to_test(self, club: Club) -> None:
        club.record_events([joined(), left("l1", LEFT)], LEFT)
        assert club.send(ENDED) == ["restrict care"]
        club.activate(with_membership_in_test("test"), BACK)
        assert club.work(BACK) == ["recall care"]
        assert club.work("2039-12-31T10:00:00Z") == ["restrict service"]

    def test_what_was_restricted_is_lifted_when_it_goes_back_to_test(self, club: Club) -> None:
        restricted(club)
        club.activate(with_membership_in_test("test"), BACK)
        assert club.work(BACK) == ["lift care"]
        club.activate(replace(POLICY, version="2"), GONE)
        assert club.work(GONE) == ["restrict care"]

    def test_an_erasure_that_is_out_is_recalled_when_it_goes_back_to_test(
        self, ledger: Database
    ) -> None:
        holding = "purpose: care, basis: contract, rule: membership, systems: [app]"
        club = Club(ledger, small(holding, changed=LONG_SERVICE))
        rules = {**club.policy.rules}
        rules["membership"] = replace(rules["membership"], status="test")
        in_test = replace(club.policy, version="test", rules=rules)
        club.record_events([joined(), left("l1", LEFT)], LEFT)
        assert club.send(ENDED) == ["erase care"]
        club.activate(in_test, BACK)
        assert club.work(BACK) == ["recall care"]
        assert club.work("2050-01-01T10:00:00Z") == []

    def test_the_forecast_of_an_import_marks_what_it_would_command(self, ledger: Database) -> None:
        policy = with_membership_in_test("test")
        arrivals = [arrival(item, policy, "2019") for item in (joined(), left("l1", LEFT))]

        def work(connection: Any) -> list[ForecastLine]:
            record(connection, arrivals, policy, instant(ENDED))
            return forecast(connection, "2019", policy, instant(ENDED))

        [line] = ledger.run_in_transaction(work)
        assert (line.system, line.rule, line.action, line.records) == (
            *("app", "membership"),
            *("in test, not sent: restrict", 1),
        )
