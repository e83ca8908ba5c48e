"""Requests are answered from the ledger: what each system did, what is kept and why, and not too early."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from schemas.cloudevents import CloudEvent
from services.crypto.envelope import AeadCipher
from services.crypto.jwe import decrypt, encrypt, new_key, to_public
from services.deleter.acknowledgement import Acknowledgement
from services.deleter.dispatch import RetryPolicy, dispatch, lease
from services.deleter.paused_systems import PausedSystems
from services.deleter.settlement import apply_acknowledgements
from services.deleter.verification import verify_commands
from services.ledger import backfills, tables
from services.policy.request_cases import Case
from services.requests import disclosures
from services.requests.build_report import build_report
from services.requests.command_attachments import RequestAttachments
from services.requests.delivery import PackageDelivery, PackageIncomplete
from services.requests.report import Report, RetainedData, SystemOutcome
from services.requests.request_keys import KeyDestroyed, RequestKeys
from services.requests.responder import RequestResponder, load_cases
from services.storage.database import Database
from tests.batches import message_of
from tests.contract.event_builders import Event
from tests.contract.ledgers import POLICY, FakeBus, claim_all, instant, record_events, select_rows

ORDERED = "2026-03-15T13:00:00Z"
ASKED = "2026-04-02T09:00:00Z"
VERIFIED = "2026-04-03T09:00:00Z"
NOW = "2026-04-04T09:00:00Z"
SEAL = AeadCipher(bytes(32))
KEYS = RequestKeys(cipher=SEAL, former_cipher=lambda: SEAL)
SYSTEM_KEY = new_key()


def event(id: str, type: str, time: str, **data: Any) -> Event:
    return {"id": id, "source": "/s", "type": type, "time": time, "data": data}


def order(number: int = 1) -> Event:
    return event(
        f"order-{number}",
        "orders.order-placed",
        ORDERED,
        order_id=f"O{number}",
        customer_id="C1",
        consumer_id="K1",
        amount="12.50",
        payment={"method": "ideal"},
    )


def request_event(right: str, time: str = ASKED, request: str = "Q1") -> Event:
    return event(
        f"asked-{request}",
        "privacy.request-received",
        time,
        subject="consumer:K1",
        request_id=request,
        right=right,
    )


def identity_verified(time: str = VERIFIED, request: str = "Q1") -> Event:
    return event(
        f"verified-{request}",
        "privacy.identity-verified",
        time,
        subject="consumer:K1",
        request_id=request,
    )


class FakeSystems:
    """Systems that acknowledge as the test sets; a system without a setting does the command."""

    def __init__(self, ledger: Database, **manners: str) -> None:
        self.ledger = ledger
        self.bus = FakeBus()
        self.manners = manners
        self.left = 0
        """The rows that verifications still find after a reported erasure."""

    def complete_all(self, now: str = NOW) -> None:
        """Send what is due, and acknowledge it."""
        at = instant(now)
        claim_all(self.ledger, at)
        self._round(at)
        self.ledger.run_in_transaction(lambda c: verify_commands(c, POLICY, at, limit=1_000))
        self._round(at)

    def _round(self, at: datetime) -> None:
        enclosures = RequestAttachments(
            keys=KEYS, key_of=lambda name: to_public(SYSTEM_KEY) if name == "psp" else None
        )
        leased = self.ledger.run_in_transaction(
            lambda c: lease(c, at, PausedSystems(), limit=1_000)
        )
        before = len(self.bus.sent)
        self.ledger.run_in_transaction(
            lambda c: dispatch(
                c, leased, self.bus, POLICY, at, RetryPolicy(), attachments=enclosures
            )
        )
        answers = [
            self._answer(command.value, at)
            for command in self.bus.sent[before:]
            if self.manners.get(command.system) != "silent"
        ]

        def settle(connection: Any) -> None:
            messages = [
                message_of(answer, f"{answer.command_id}/{answer.attempt}") for answer in answers
            ]
            apply_acknowledgements(connection, messages, POLICY, at)
            disclosures.store_disclosures(connection, answers, at)

        self.ledger.run_in_transaction(settle)

    def commands_received(self, action: str) -> dict[str, dict[str, Any]]:
        """Return the commands of one action that each system received."""
        return {
            command.system: dict(command.value)
            for command in self.bus.sent
            if command.value["action"] == action
        }

    def _answer(self, value: Any, at: datetime) -> Acknowledgement:
        refused = self.manners.get(value["system"]) == "refuse"
        about, to = value["command_id"], value.get("disclose_to")
        records = [{"type": "orders.order-placed", "id": "order-1", "data": {"name": "CANARY"}}]
        content = {"command_id": about, "system": value["system"], "records": records}
        return Acknowledgement(
            command_id=UUID(about),
            system=value["system"],
            attempt=value["attempt"],
            status="refused" if refused else "done",
            counts={"rows": self.left if value["action"] == "verify" else 1},
            ground="a duty of its own" if refused else None,
            at=at,
            disclosure=encrypt(content, to, about) if to and not refused else None,
        )


class CaughtUp:
    def lagging_partitions(self) -> Sequence[str]:
        return []


class Lagging:
    def lagging_partitions(self) -> Sequence[str]:
        return ["recorder: retention.tagged.v1[0]"]


class RecordingObserver:
    def __init__(self) -> None:
        self.outcomes: list[tuple[str, str]] = []

    def request_decided(self, right: str, outcome: str) -> None:
        self.outcomes.append((right, outcome))

    def waiting_for_catch_up(self, spots: Sequence[str]) -> None:
        pass


class FakePublisher:
    """Keeps published answers to requests; it can be unavailable."""

    def __init__(self) -> None:
        self.events: list[CloudEvent] = []
        self.away = False

    def __call__(self, events: Sequence[CloudEvent]) -> None:
        if self.away:
            raise ConnectionError
        self.events.extend(events)


def build_responder(
    ledger: Database, publish: FakePublisher, sight: Any = None
) -> RequestResponder:
    return RequestResponder(
        ledger=ledger,
        policy=POLICY,
        catch_up_check=sight or CaughtUp(),
        publish=publish,
        observer=RecordingObserver(),
        margin=timedelta(days=3),
    )


@pytest.fixture
def database_clock(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """The database's clock for the rights role, which a test sets."""
    clock = [instant(NOW)]
    for module in ("responder", "delivery", "command_attachments"):
        monkeypatch.setattr(f"services.requests.{module}.database_now", lambda _: clock[0])
    return clock


def load_case(ledger: Database, request: str = "Q1") -> Case:
    with ledger.transaction() as connection:
        cases = load_cases(connection, "consumer:K1", POLICY)
    return next(case for case in cases if case.request == request)


def load_report(ledger: Database, now: str = NOW) -> Report:
    case = load_case(ledger)
    with ledger.transaction() as connection:
        return build_report(connection, case, POLICY, instant(now))


def system_outcome(system: str, outcome: Any, at: str | None, **fields: Any) -> SystemOutcome:
    when = instant(at) if at else None
    return SystemOutcome(
        system=system, action="erase", outcome=outcome, at=when, records=1, **fields
    )


def test_the_answer_to_an_erasure_lists_what_is_erased_and_what_is_kept(ledger: Database) -> None:
    """The books keep the order for 7 years from the end of 2026; everything else is erased."""
    record_events(ledger, [order(), request_event("erasure"), identity_verified()], NOW)
    FakeSystems(ledger).complete_all()
    report = load_report(ledger)
    assert report.verdict == "partly"
    assert [part for part in report.parts if part.records == 1 and part.system != "crm"] == [
        system_outcome("mail", "done", NOW),
        system_outcome("orders", "done", NOW),
        system_outcome("psp", "done", NOW),
        system_outcome("research", "done", NOW),
    ]
    assert [item for item in report.kept if item.system == "accounting"] == [
        RetainedData(
            system="accounting",
            purpose="legal_compliance",
            why="legal_obligation",
            article="GDPR 17(3)(b)",
            until=instant("2034-01-01T00:00:00+01:00"),
            records=1,
        )
    ]


def test_an_answer_names_a_refusal_with_its_ground_and_a_silent_system(
    ledger: Database,
) -> None:
    """The PSP is a controller and refuses; the platform does not acknowledge."""
    record_events(ledger, [order(), request_event("erasure"), identity_verified()], NOW)
    FakeSystems(ledger, psp="refuse", orders="silent").complete_all()
    parts = {part.system: part for part in load_report(ledger).parts}
    assert (parts["psp"].outcome, parts["psp"].ground) == ("refused", "a duty of its own")
    assert parts["orders"].outcome == "under_way"


def test_an_answer_does_not_report_uncommanded_erasures_as_done(ledger: Database) -> None:
    """Right after the verification no command has been sent."""
    record_events(ledger, [order(), request_event("erasure"), identity_verified()], NOW)
    assert {part.outcome for part in load_report(ledger).parts} == {"under_way"}


def test_an_answer_does_not_report_unverified_erasures_as_done(ledger: Database) -> None:
    """All systems report `done`, but their verifications still find a row, so nothing is done."""
    record_events(ledger, [order(), request_event("erasure"), identity_verified()], NOW)
    systems = FakeSystems(ledger)
    systems.left = 1
    systems.complete_all()
    outcomes = {part.system: part.outcome for part in load_report(ledger).parts}
    assert outcomes.pop("psp") == "done"  # a controller's word is all that there is
    assert set(outcomes.values()) == {"under_way"}


def test_a_legal_hold_is_listed_as_a_ground(ledger: Database) -> None:
    """Under a hold nothing is erased, not even what no law requires to be kept."""
    hold = event(
        "hold",
        "privacy.hold-placed",
        ORDERED,
        subject="consumer:K1",
        hold_id="H",
        ground="legal_claim",
    )
    record_events(ledger, [order(), request_event("erasure"), identity_verified(), hold], NOW)
    FakeSystems(ledger).complete_all()
    report = load_report(ledger)
    assert (report.verdict, report.refusal) == ("refused", "nothing_to_grant")
    assert {item.why for item in report.kept} == {"hold"}


def test_an_erasure_is_answered_once_all_systems_have_done_it(
    ledger: Database, database_clock: list[datetime]
) -> None:
    """The platform's silence delays the answer, which is then given once."""
    record_events(ledger, [order(), request_event("erasure"), identity_verified()], NOW)
    systems, published = FakeSystems(ledger, orders="silent"), FakePublisher()
    systems.complete_all()
    role = build_responder(ledger, published)
    assert role.run_once() == 0
    systems.manners.clear()
    systems.complete_all("2026-04-05T09:00:00Z")
    database_clock[0] = instant("2026-04-05T09:00:00Z")
    assert [role.run_once(), role.run_once()] == [1, 0]
    (event,) = published.events
    assert (event.type, event.data["request_id"], event.data["outcome"]) == (
        "privacy.request-answered",
        "Q1",
        "partly",
    )
    assert event.data["done"] == ["crm", "mail", "orders", "psp", "research"]
    assert event.data["pending"] == []
    assert "accounting" in event.data["kept"]


@pytest.mark.parametrize("imported", ["all", "the order"])
def test_a_request_about_unreleased_events_is_not_answered(
    ledger: Database, database_clock: list[datetime], imported: str
) -> None:
    """Nothing is answered while the request, or some of the person's data, is held back."""
    record_events(ledger, [order()], NOW, backfill="history")
    record_events(
        ledger,
        [request_event("erasure"), identity_verified()],
        NOW,
        "history" if imported == "all" else None,
    )
    systems, published = FakeSystems(ledger), FakePublisher()
    systems.complete_all()
    role = build_responder(ledger, published)
    database_clock[0] = instant("2026-04-30T09:00:00Z")
    assert role.run_once() == 0
    ledger.run_in_transaction(lambda c: backfills.release(c, "history", "operator", instant(NOW)))
    systems.complete_all("2026-04-30T09:00:00Z")
    assert role.run_once() == 1
    assert published.events[0].data["outcome"] == "partly"


def test_near_the_limit_an_answer_names_the_systems_that_have_not_erased(
    ledger: Database, database_clock: list[datetime]
) -> None:
    """A request of 2 April must be answered by 2 May, and is answered three days before."""
    record_events(ledger, [order(), request_event("erasure"), identity_verified()], NOW)
    FakeSystems(ledger, orders="silent").complete_all()
    published = FakePublisher()
    role = build_responder(ledger, published)
    database_clock[0] = instant("2026-04-29T08:59:59Z")
    assert role.run_once() == 0
    database_clock[0] = instant("2026-04-29T09:00:01Z")
    assert role.run_once() == 1
    assert published.events[0].data["pending"] == ["orders"]


def test_a_request_without_proof_of_identity_is_refused_within_the_month(
    ledger: Database, database_clock: list[datetime]
) -> None:
    """The refusal has the reason (GDPR 12(4), 12(6)), and no command was sent."""
    record_events(ledger, [order(), request_event("erasure")], NOW)
    systems, published = FakeSystems(ledger), FakePublisher()
    systems.complete_all()
    role = build_responder(ledger, published)
    assert role.run_once() == 0
    database_clock[0] = instant("2026-04-30T09:00:00Z")
    assert role.run_once() == 1
    (event,) = published.events
    assert event.type == "privacy.request-refused"
    assert "12(6)" in event.data["reasons"]
    assert systems.bus.sent == []


def test_nothing_is_answered_while_events_are_unread(
    ledger: Database, database_clock: list[datetime]
) -> None:
    """The verification of identity may be among the unread messages."""
    record_events(ledger, [order(), request_event("erasure")], NOW)
    database_clock[0] = instant("2026-05-30T09:00:00Z")
    published = FakePublisher()
    assert build_responder(ledger, published, Lagging()).run_once() == 0
    assert published.events == []


def test_an_answer_that_could_not_be_published_is_published_later_unchanged(
    ledger: Database, database_clock: list[datetime]
) -> None:
    """Its identity and its time stay those of the moment when it was decided."""
    record_events(ledger, [order(), request_event("restriction"), identity_verified()], NOW)
    FakeSystems(ledger).complete_all()
    published = FakePublisher()
    published.away = True
    role = build_responder(ledger, published)
    with pytest.raises(ConnectionError):
        role.run_once()
    published.away = False
    database_clock[0] = instant("2026-04-20T09:00:00Z")
    role.run_once()
    assert [(event.time, event.data["outcome"]) for event in published.events] == [
        (instant(NOW), "granted")
    ]


def test_a_restriction_that_was_lifted_before_it_was_commanded_is_answered(
    ledger: Database, database_clock: list[datetime]
) -> None:
    """Both events arrive late and together: no system is commanded, and the answer waits for none."""
    lifted = event(
        "lifted",
        "privacy.restriction-lifted",
        "2026-04-03T12:00:00Z",
        subject="consumer:K1",
        request_id="Q1",
    )
    record_events(ledger, [order(), request_event("restriction"), identity_verified(), lifted], NOW)
    FakeSystems(ledger).complete_all()
    published = FakePublisher()
    build_responder(ledger, published).run_once()
    assert [event.data["outcome"] for event in published.events] == ["granted"]


def test_access_beside_erasure_waits_for_no_system_that_only_erases(
    ledger: Database, database_clock: list[datetime]
) -> None:
    """What is erased at the same instant is not disclosed; books and dossier are."""
    record_events(
        ledger,
        [
            order(),
            request_event("access"),
            identity_verified(),
            request_event("erasure", request="Q2"),
            identity_verified(request="Q2"),
        ],
        NOW,
    )
    FakeSystems(ledger).complete_all()
    handed: list[Report] = []
    PackageDelivery(ledger=ledger, policy=POLICY, keys=KEYS).deliver(
        "consumer:K1", "Q1", handed.append, incomplete=False
    )
    assert {part.system for part in handed[0].parts} == {"accounting", "crm"}


def test_repeated_requests_are_answered_together(
    ledger: Database, database_clock: list[datetime]
) -> None:
    """Each request's dossier needs its own answer, or its clock would never stop."""
    twice = request_event("restriction", "2026-04-02T10:00:00Z", "Q2")
    record_events(ledger, [order(), request_event("restriction"), twice, identity_verified()], NOW)
    FakeSystems(ledger).complete_all()
    published = FakePublisher()
    build_responder(ledger, published).run_once()
    assert sorted(event.data["request_id"] for event in published.events) == ["Q1", "Q2"]


def test_disclosures_are_stored_encrypted_and_deleted_once_delivered(
    ledger: Database, database_clock: list[datetime]
) -> None:
    """No table has the name unencrypted; after delivery the key is destroyed."""
    record_events(ledger, [order(), request_event("access"), identity_verified()], NOW)
    systems = FakeSystems(ledger)
    systems.complete_all()
    commands = systems.commands_received("disclose")
    assert {"accounting", "orders", "psp", "research"} <= commands.keys()
    collected = select_rows(ledger, tables.disclosure)
    assert len(collected) == len(commands)
    assert not any("CANARY" in row.text for row in collected)
    delivering = PackageDelivery(ledger=ledger, policy=POLICY, keys=KEYS)
    handed: list[Report] = []
    delivering.deliver("consumer:K1", "Q1", handed.append, incomplete=False)
    assert {item.data["name"] for item in handed[0].disclosed} == {"CANARY"}
    assert select_rows(ledger, tables.disclosure) == []
    with ledger.transaction() as connection, pytest.raises(KeyDestroyed):
        KEYS.private(connection, "consumer:K1", "Q1")
    published = FakePublisher()
    build_responder(ledger, published).run_once()
    assert [event.type for event in published.events] == ["privacy.request-answered"]
    with pytest.raises(PackageIncomplete, match="already answered"):
        delivering.deliver("consumer:K1", "Q1", handed.append, incomplete=False)


def test_a_package_is_not_delivered_while_a_system_has_not_answered(
    ledger: Database, database_clock: list[datetime]
) -> None:
    """An operator may decide so all the same; then the answer names the system."""
    record_events(ledger, [order(), request_event("access"), identity_verified()], NOW)
    FakeSystems(ledger, research="silent").complete_all()
    delivering = PackageDelivery(ledger=ledger, policy=POLICY, keys=KEYS)
    handed: list[Report] = []
    with pytest.raises(PackageIncomplete, match="research"):
        delivering.deliver("consumer:K1", "Q1", handed.append, incomplete=False)
    delivering.deliver("consumer:K1", "Q1", handed.append, incomplete=True)
    outcomes = {part.system: part.outcome for part in handed[0].parts}
    assert (outcomes["research"], outcomes["orders"]) == ("under_way", "done")
    assert {row.state for row in select_rows(ledger, tables.command, system="research")} == {
        "closed"
    }


def test_a_failed_delivery_can_be_repeated(
    ledger: Database, database_clock: list[datetime], tmp_path: Path
) -> None:
    """The disk is full: the key still exists, and nothing is answered."""
    record_events(ledger, [order(), request_event("portability"), identity_verified()], NOW)
    FakeSystems(ledger).complete_all()
    delivering = PackageDelivery(ledger=ledger, policy=POLICY, keys=KEYS)

    def full(_: Report) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        delivering.deliver("consumer:K1", "Q1", full, incomplete=False)
    assert load_case(ledger).is_open
    assert select_rows(ledger, tables.answer) == []


def test_a_disclosure_that_comes_after_the_delivery_is_not_kept(
    ledger: Database, database_clock: list[datetime]
) -> None:
    """Its key is destroyed, so it could not be decrypted anyway."""
    record_events(ledger, [order(), request_event("access"), identity_verified()], NOW)
    systems = FakeSystems(ledger, research="silent")
    systems.complete_all()
    PackageDelivery(ledger=ledger, policy=POLICY, keys=KEYS).deliver(
        "consumer:K1", "Q1", lambda _: None, incomplete=True
    )
    late = systems._answer(systems.commands_received("disclose")["research"], instant(NOW))
    ledger.run_in_transaction(lambda c: disclosures.store_disclosures(c, [late], instant(NOW)))
    assert select_rows(ledger, tables.disclosure) == []


def test_a_rectification_waits_for_its_corrections_and_encrypts_them_to_each_system(
    ledger: Database, database_clock: list[datetime]
) -> None:
    """The PSP has a key and gets the values; the others get the names of the fields."""
    record_events(ledger, [order(), request_event("rectification"), identity_verified()], NOW)
    systems = FakeSystems(ledger)
    systems.complete_all()
    assert systems.commands_received("rectify") == {}
    corrections = {"name": "CANARY de Vries"}
    ledger.run_in_transaction(
        lambda c: disclosures.store_corrections(
            c, KEYS, "consumer:K1", "Q1", corrections, instant(NOW)
        )
    )
    systems.complete_all("2026-04-04T10:00:00Z")
    commands = systems.commands_received("rectify")
    psp = commands["psp"]
    assert decrypt(psp["corrections"], SYSTEM_KEY, psp["command_id"]) == corrections
    assert (commands["orders"].get("corrections"), commands["orders"]["corrected_fields"]) == (
        None,
        ["name"],
    )
    assert "CANARY" not in str(
        [select_rows(ledger, table) for table in tables.metadata.sorted_tables]
    )


def test_a_flood_of_requests_of_one_subject_is_one_disclosure(
    ledger: Database, database_clock: list[datetime]
) -> None:
    """Of 300 requests by one person and one by another, both are disclosed in the same round."""
    flood = [
        request_event("access", f"2026-04-02T09:0{n // 60}:{n % 60:02}Z", f"F{n}")
        for n in range(300)
    ]
    other = {**order(9), "data": {**order(9)["data"], "consumer_id": "K2"}}
    others = [
        {
            **privacy_event,
            "id": f"{privacy_event['id']}-2",
            "data": {**privacy_event["data"], "subject": "consumer:K2"},
        }
        for privacy_event in (request_event("access"), identity_verified())
    ]
    proofs = [
        identity_verified(f"2026-04-03T09:0{n // 60}:{n % 60:02}Z", f"F{n}") for n in range(300)
    ]
    record_events(ledger, [order(), *flood, *proofs, other, *others], NOW)
    systems = FakeSystems(ledger)
    systems.complete_all()
    disclosed = [command for command in systems.bus.sent if command.value["action"] == "disclose"]
    assert {(command.system, command.value["subject"]) for command in disclosed} >= {
        ("orders", "consumer:K1"),
        ("orders", "consumer:K2"),
    }
    assert {command.value["request"] for command in disclosed} == {"F0", "Q1"}
