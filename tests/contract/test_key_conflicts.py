"""One identifying key of two subjects: nothing about either is sent until a person decides whose it is."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import pytest

from services import policy as policy_package
from services.deleter.activation import activate
from services.deleter.claim import claim_due
from services.deleter.dispatch import RetryPolicy, dispatch, lease
from services.deleter.paused_systems import PausedSystems
from services.ledger import active_policy, identifying_keys, key_conflicts, tables
from services.ledger.key_conflicts import ConflictAlreadyDecided, ConflictNotFound
from services.ledger.recording import record
from services.policy import loader
from services.policy.model import Policy
from services.policy.tagging import tag
from services.storage.database import Database
from tests.contract.event_builders import (
    Event,
    arrival,
    event,
    parse_event,
    ticket,
    ticket_resolved,
)
from tests.contract.ledgers import (
    POLICY,
    FakeBus,
    acknowledge,
    claim_all,
    instant,
    later,
    list_commands,
    record_events,
    select_rows,
    send_due,
)

PLACED = "2024-03-01T09:00:00Z"
LONG_AGO = "2010-01-01T00:00:00Z"
NOW = "2024-03-02T09:00:00Z"
OVER = "2040-03-02T09:00:00Z"
"""When every term of an order of `PLACED` is over but research's."""
KEYS = (tables.identifier, tables.claimant, tables.key_conflict)


def order(id_: str, time: str, consumer: str, number: str = "o1", source: str = "/crm") -> Event:
    """Return a consumer's order, with the number that it claims to have."""
    return event(
        id_,
        "orders.order-placed",
        time,
        source=source,
        order_id=number,
        customer_id="1",
        consumer_id=consumer,
    )


VICTIM = order("e1", PLACED, "victim")
FOREIGN_ORDER = order("e2", LONG_AGO, "nobody", source="/anywhere")


def objection(consumer: str, id_: str) -> Event:
    """Return a consumer's objection to processing by legitimate interest."""
    return event(
        id_,
        "privacy.objection-raised",
        "2024-03-02T08:00:00Z",
        subject=f"consumer:{consumer}",
        purpose="service_delivery",
        objection_id=id_,
    )


def decide(ledger: Database, owner: str, now: str = NOW, value: str = "o1") -> None:
    """Decide whose an order's number is."""
    ledger.run_in_transaction(
        lambda c: key_conflicts.decide_conflict(c, "order_id", value, owner, POLICY, instant(now))
    )


def sent_commands(bus: FakeBus) -> list[tuple[str, str, str | None, dict[str, str]]]:
    """Return system, action, subject and first record's keys of each command, sorted by the first three."""
    return sorted(
        (
            (
                command.system,
                command.value["action"],
                command.value["subject"],
                dict(command.value["records"][0]["keys"]),
            )
            for command in bus.sent
        ),
        key=lambda command: (command[0], command[1], str(command[2])),
    )


def claim_and_send(ledger: Database, now: str) -> FakeBus:
    """Claim and send what is due, and return what was sent."""
    bus = FakeBus()
    claim_all(ledger, now)
    send_due(ledger, bus, now)
    return bus


class TestUndecided:
    """No one has decided yet whose the key is."""

    def test_an_order_with_the_number_of_another_persons_order_erases_nothing(
        self, ledger: Database
    ) -> None:
        """Its own term is long over, but the number belongs to the victim, whose term is not."""
        record_events(ledger, [VICTIM], PLACED)
        record_events(ledger, [FOREIGN_ORDER], NOW)
        assert sent_commands(claim_and_send(ledger, NOW)) == []
        assert list_commands(ledger) == []
        assert len(select_rows(ledger, tables.event)) == 2

    @pytest.mark.parametrize("batches", [[[VICTIM, FOREIGN_ORDER]], [[FOREIGN_ORDER], [VICTIM]]])
    def test_the_order_of_arrival_does_not_matter(
        self, ledger: Database, batches: Sequence[list[Event]]
    ) -> None:
        """Both arrive together, or the other arrives first."""
        for batch in batches:
            record_events(ledger, batch, NOW)
        assert sent_commands(claim_and_send(ledger, NOW)) == []
        assert list_commands(ledger) == []
        [conflict] = ledger.run_in_transaction(key_conflicts.list_conflicts)
        assert (conflict.key, conflict.owner) == ("order_id=o1", None)
        assert dict(conflict.claimants) == {"consumer:nobody": 1, "consumer:victim": 1}

    def test_unsent_commands_are_cancelled_and_sent_ones_recalled(self, ledger: Database) -> None:
        """The second event arrives while commands about the first are on their way."""
        record_events(ledger, [FOREIGN_ORDER], NOW)
        claim_all(ledger, NOW)
        send_due(ledger, bus := FakeBus(), NOW, limit=2)
        out = sorted(command.system for command in bus.sent)
        assert len(out) == 2
        record_events(ledger, [VICTIM], NOW)
        recalls = claim_and_send(ledger, later(NOW, minutes=1).isoformat())
        assert sorted((command.system, command.value["action"]) for command in recalls.sent) == [
            (system, "recall") for system in out
        ]
        states = [state for _, action, state in list_commands(ledger) if action != "recall"]
        assert sorted(states) == ["cancelled", "cancelled", "recalling", "recalling"]
        assert (
            claim_and_send(ledger, later(NOW, days=1).isoformat()).sent != []
        )  # the recalls again
        assert not [
            command
            for command in claim_and_send(ledger, later(NOW, days=2).isoformat()).sent
            if command.value["action"] != "recall"
        ]

    def test_a_command_in_the_outbox_is_not_sent(self, ledger: Database) -> None:
        """Sending checks again, even where no scan has run in between."""
        record_events(ledger, [FOREIGN_ORDER], NOW)
        claim_all(ledger, NOW)
        record_events(ledger, [VICTIM], NOW)
        send_due(ledger, bus := FakeBus(), NOW)
        assert bus.sent == []
        states = {state for _, action, state in list_commands(ledger) if action != "recall"}
        assert states <= {"cancelled", "recalling"}

    def test_a_verification_waits_too(self, ledger: Database) -> None:
        """It would find the victim's rows, and cause another erasure."""
        record_events(ledger, [FOREIGN_ORDER], NOW)
        claim_and_send(ledger, NOW)
        for row in select_rows(ledger, tables.command, action="erase", system="orders"):
            acknowledge(ledger, row.command_id, "done", NOW)
        record_events(ledger, [VICTIM], NOW)
        bus = claim_and_send(ledger, later(NOW, minutes=2).isoformat())
        assert "verify" not in {command.value["action"] for command in bus.sent}

    def test_an_objection_restricts_by_the_record_alone(self, ledger: Database) -> None:
        """The number might restrict the other person's rows, so it is used only once it is decided."""
        record_events(ledger, [VICTIM, FOREIGN_ORDER, objection("victim", "x1")], NOW)
        commands = sent_commands(claim_and_send(ledger, NOW))
        assert commands == [
            (system, "restrict", "consumer:victim", {"consumer_id": "victim"})
            for system in ("orders", "psp")
        ]
        assert (
            sent_commands(claim_and_send(ledger, later(NOW, minutes=2).isoformat())) != []
        )  # repeated as always
        at = later(NOW, minutes=3).isoformat()
        decide(ledger, "consumer:victim", at)
        keys = {"consumer_id": "victim", "order_id": "o1"}
        restricted = [
            command
            for command in sent_commands(claim_and_send(ledger, at))
            if command[1:3] == ("restrict", commands[0][2])
        ]
        assert restricted == [
            (system, "restrict", "consumer:victim", keys) for system in ("orders", "psp")
        ]

    def test_due_records_are_restricted_as_well(self, ledger: Database) -> None:
        """The erasure that would make it needless waits."""
        record_events(ledger, [VICTIM, FOREIGN_ORDER, objection("nobody", "x1")], NOW)
        assert {command[:2] for command in sent_commands(claim_and_send(ledger, NOW))} == {
            ("orders", "restrict"),
            ("psp", "restrict"),
        }

    def test_no_restriction_is_lifted_during_a_conflict(self, ledger: Database) -> None:
        """The person that it would free is not known; once that is decided nothing needs a restriction."""
        record_events(ledger, [VICTIM, FOREIGN_ORDER, objection("victim", "x1")], NOW)
        claim_and_send(ledger, NOW)
        decided = event(
            "x2",
            "privacy.objection-decided",
            "2024-03-02T08:30:00Z",
            subject="consumer:victim",
            purpose="service_delivery",
            objection_id="x1",
            outcome="rejected",
        )
        record_events(ledger, [decided], NOW)
        assert "lift" not in {
            command[1]
            for command in sent_commands(claim_and_send(ledger, later(NOW, hours=1).isoformat()))
        }
        at = later(NOW, hours=2).isoformat()
        decide(ledger, "consumer:victim", at)
        assert "lift" in {
            command[1]
            for command in sent_commands(claim_and_send(ledger, at))
            if command[2] == "consumer:victim"
        }

    def test_other_orders_are_not_stopped_by_a_conflict(self, ledger: Database) -> None:
        """One number stops neither other people nor the same people's other orders."""
        other = order("e3", LONG_AGO, "nobody", number="o2", source="/anywhere")
        record_events(ledger, [VICTIM, FOREIGN_ORDER, other], NOW)
        bus = claim_and_send(ledger, NOW)
        assert {command.value["records"][0]["id"] for command in bus.sent} == {"e3"}
        assert sent_commands(bus)[0] == (
            "accounting",
            "erase",
            "consumer:nobody",
            {"order_id": "o2", "consumer_id": "nobody"},
        )


class TestNoConflict:
    """Events in which one key belongs to one person, although several are named."""

    @pytest.mark.parametrize(
        "events",
        [
            [order("e1", PLACED, "1"), order("e2", PLACED, "1")],
            [ticket("t1", PLACED, ["1", "2"]), ticket_resolved("t2", NOW)],
            [ticket("t1", PLACED, ["1"]), ticket("t2", PLACED, ["2"])],
            [
                event("s1", "research.survey-answered", PLACED, survey_id="1", visitor_id="1"),
                event("s2", "research.survey-answered", PLACED, survey_id="1", visitor_id="2"),
            ],
            [
                event("i1", "billing.invoice-issued", PLACED, invoice_id="1", customer_id="1"),
                event(
                    "i2",
                    "billing.purchase-invoice-received",
                    PLACED,
                    invoice_id="1",
                    supplier_id="1",
                    contact_id="1",
                ),
            ],
            [
                event(
                    f"r{identity}",
                    "privacy.request-received",
                    PLACED,
                    subject=f"consumer:{identity}",
                    request_id="Q1",
                    right="access",
                )
                for identity in (1, 2)
            ],
            [
                order("e1", PLACED, "1", number="1"),
                event("p1", "purchases.purchase-made", PLACED, purchase_id="1", customer_id="2"),
            ],
        ],
        ids=["twice", "ticket", "reopened", "survey", "suppliers", "requests", "fields"],
    )
    def test_a_key_of_several_people_is_not_a_conflict(
        self, ledger: Database, events: list[Event]
    ) -> None:
        """A ticket has a customer and consumers, and a survey has many answers under one key."""
        record_events(ledger, events, NOW)
        assert (
            ledger.run_in_transaction(lambda c: key_conflicts.list_conflicts(c, decided=True)) == []
        )
        assert select_rows(ledger, tables.claimant) == []


def application(id_: str, what: str, applicant: str, time: str = PLACED, **fields: object) -> Event:
    """Return an event of the procedure `a`."""
    return event(
        id_,
        f"recruitment.application-{what}",
        time,
        source=f"/{applicant}",
        application_id="a",
        applicant_id=applicant,
        **fields,
    )


class TestClocks:
    """An event that changes a clock by another's key stops what depends on that clock too."""

    RECEIVED = application("a1", "received", "victim", keep_consent=False)
    CLOSED = application("a2", "closed", "nobody")
    LATER = "2024-06-01T00:00:00Z"

    @staticmethod
    def decide(ledger: Database, owner: str) -> list[str]:
        return ledger.run_in_transaction(
            lambda c: key_conflicts.decide_conflict(
                c, "application_id", "a", owner, POLICY, instant(NOW)
            )
        )

    def test_the_end_of_a_procedure_by_another_person_erases_nothing(
        self, ledger: Database
    ) -> None:
        """The event makes no record: it only ends the victim's procedure."""
        record_events(ledger, [self.RECEIVED], PLACED)
        record_events(ledger, [self.CLOSED], PLACED)
        assert sent_commands(claim_and_send(ledger, self.LATER)) == []

    def test_after_the_decision_the_other_subjects_end_is_ignored(self, ledger: Database) -> None:
        """The procedure continues, and later events of the other subject are ignored."""
        record_events(ledger, [self.RECEIVED, self.CLOSED], PLACED)
        assert self.decide(ledger, "applicant:victim") == ["application:a"]
        assert sent_commands(claim_and_send(ledger, self.LATER)) == []
        record_events(ledger, [application("a3", "closed", "nobody", self.LATER)], self.LATER)
        assert sent_commands(claim_and_send(ledger, "2030-01-01T00:00:00Z")) == []

    def test_the_end_by_the_owner_of_the_key_counts(self, ledger: Database) -> None:
        """It counts also from before the other's event."""
        record_events(ledger, [self.RECEIVED, self.CLOSED], PLACED)
        self.decide(ledger, "applicant:victim")
        record_events(ledger, [application("a4", "closed", "victim", "2024-02-01T00:00:00Z")], NOW)
        bus = claim_and_send(ledger, self.LATER)
        assert {(command.system, command.value["subject"]) for command in bus.sent} == {
            ("mail", "applicant:victim"),
            ("recruitment", "applicant:victim"),
        }

    def test_an_earlier_end_by_the_owner_of_the_key_stays(self, ledger: Database) -> None:
        """The clock change by the key's owner stays."""
        record_events(ledger, [self.RECEIVED, self.CLOSED], PLACED)
        assert self.decide(ledger, "applicant:nobody") == []
        assert len(claim_and_send(ledger, self.LATER).sent) == 2


class TestDecided:
    """A named operator has decided whose the key is."""

    def test_only_the_owners_commands_have_the_contested_key(self, ledger: Database) -> None:
        """Either subject may be the owner, and all erasures are commanded."""
        record_events(ledger, [VICTIM, FOREIGN_ORDER], NOW)
        claim_and_send(ledger, NOW)
        decide(ledger, "consumer:victim")
        assert sent_commands(claim_and_send(ledger, NOW)) == [
            (system, action, "consumer:nobody", {"consumer_id": "nobody"})
            for system, action in (
                ("accounting", "erase"),
                ("orders", "erase"),
                ("psp", "erase"),
                ("research", "pseudonymise"),
            )
        ]
        for row in select_rows(ledger, tables.command):
            acknowledge(ledger, row.command_id, "done", NOW)
        mine = [
            command
            for command in sent_commands(claim_and_send(ledger, OVER))
            if command[2] == "consumer:victim"
        ]
        assert {(system, tuple(sorted(keys))) for system, _, _, keys in mine} == {
            (system, ("consumer_id", "order_id"))
            for system in ("accounting", "orders", "psp", "research")
        }

    def test_a_key_may_be_decided_for_the_second_subject(self, ledger: Database) -> None:
        """The first subject to claim it need not be right."""
        record_events(ledger, [VICTIM], PLACED)
        record_events(ledger, [FOREIGN_ORDER], NOW)
        decide(ledger, "consumer:nobody")
        bus = claim_and_send(ledger, NOW)
        assert {keys.get("order_id") for _, _, _, keys in sent_commands(bus)} == {"o1"}
        assert {subject for _, _, subject, _ in sent_commands(bus)} == {"consumer:nobody"}

    def test_a_subject_that_claims_a_decided_key_later_does_not_get_it(
        self, ledger: Database
    ) -> None:
        """The decision stays."""
        record_events(ledger, [VICTIM, FOREIGN_ORDER], NOW)
        decide(ledger, "consumer:victim")
        record_events(ledger, [order("e3", LONG_AGO, "third", source="/anywhere")], NOW)
        third = [
            command
            for command in sent_commands(claim_and_send(ledger, NOW))
            if command[2] == "consumer:third"
        ]
        assert len(third) == 4
        assert all("order_id" not in keys for _, _, _, keys in third)

    def test_recalled_commands_are_commanded_again_after_the_decision(
        self, ledger: Database
    ) -> None:
        """The commands have other ids, since the recalled ones no longer count."""
        record_events(ledger, [FOREIGN_ORDER], NOW)
        first = {command.value["command_id"] for command in claim_and_send(ledger, NOW).sent}
        record_events(ledger, [VICTIM], NOW)
        claim_and_send(ledger, NOW)
        for row in select_rows(ledger, tables.command, action="recall"):
            acknowledge(ledger, row.command_id, "recalled", NOW)
        assert sent_commands(claim_and_send(ledger, later(NOW, minutes=1).isoformat())) == []
        decide(ledger, "consumer:nobody", later(NOW, minutes=2).isoformat())
        bus = claim_and_send(ledger, later(NOW, minutes=3).isoformat())
        assert len(bus.sent) == 4
        assert not first & {command.value["command_id"] for command in bus.sent}

    def test_a_reopened_conflict_stops_everything_again(self, ledger: Database) -> None:
        """An operator may have been wrong: sent commands are recalled, and the other owner is named."""
        record_events(ledger, [VICTIM, FOREIGN_ORDER], NOW)
        decide(ledger, "consumer:nobody")
        assert len(claim_and_send(ledger, NOW).sent) == 4
        with pytest.raises(
            ConflictAlreadyDecided, match="order_id=o1: the owner is already decided"
        ):
            decide(ledger, "consumer:victim")
        ledger.run_in_transaction(
            lambda c: key_conflicts.reopen_conflict(c, "order_id", "o1", POLICY, instant(NOW))
        )
        assert {command.value["action"] for command in claim_and_send(ledger, NOW).sent} == {
            "recall"
        }
        decide(ledger, "consumer:victim")

    @pytest.mark.parametrize(
        ("value", "owner", "why"),
        [
            ("o2", "consumer:victim", "order_id=o2: no two subjects claim it"),
            ("o1", "consumer:third", "order_id=o1: not claimed by consumer:third"),
        ],
    )
    def test_only_a_subject_that_claims_a_key_can_be_its_owner(
        self, ledger: Database, value: str, owner: str, why: str
    ) -> None:
        """A misspelt subject decides nothing."""
        record_events(
            ledger, [VICTIM, FOREIGN_ORDER, order("e3", PLACED, "third", number="o2")], NOW
        )
        with pytest.raises(ConflictNotFound, match=why):
            decide(ledger, owner, value=value)
        assert [
            conflict.owner for conflict in ledger.run_in_transaction(key_conflicts.list_conflicts)
        ] == [None]


class TestMentioned:
    """A person only mentioned in an event does not claim its keys, but has records all the same."""

    OPENED, RESOLVED = "2020-01-01T12:00:00Z", "2020-01-02T12:00:00Z"

    @staticmethod
    def without_a_customers_holdings() -> Policy:
        """The policy under which only the consumers of a ticket have holdings."""
        text = files(policy_package).joinpath(loader.DEFAULT_POLICY).read_text("utf-8")
        own = "      - {purpose: service_delivery, basis: contract, rule: R1, systems: [helpdesk]"
        start = text.index(own)
        rest = text[start:].partition("\n")[2]
        consumers, research, after = rest.partition("      - *research\n")
        assert research
        return loader.load_text(text[:start] + consumers + after, "without.yaml")

    def test_a_decision_rescans_the_records_of_the_key(self, ledger: Database) -> None:
        """This holds even where nothing else connects the key and their records."""
        policy, bus = self.without_a_customers_holdings(), FakeBus()
        opened = ticket("t1", self.OPENED, ["k"])
        another = {
            **ticket_resolved("t2", self.RESOLVED),
            "source": "/anywhere",
            "data": {"ticket_id": "1", "customer_id": "2"},
        }
        resolved = ticket_resolved("t3", self.RESOLVED)

        def work(*events: Event) -> None:
            arrivals = [arrival(event, policy) for event in events]
            ledger.run_in_transaction(lambda c: record(c, arrivals, policy, instant(NOW)))

        def leave() -> list[tuple[str, str | None]]:
            ledger.run_in_transaction(lambda c: claim_due(c, policy, instant(NOW), limit=99))
            leased = ledger.run_in_transaction(
                lambda c: lease(c, instant(NOW), PausedSystems(), limit=99)
            )
            ledger.run_in_transaction(
                lambda c: dispatch(c, leased, bus, policy, instant(NOW), RetryPolicy())
            )
            return [(command.value["action"], command.value["subject"]) for command in bus.sent]

        work(opened, resolved, another)
        assert leave() == leave() == []
        ledger.run_in_transaction(
            lambda c: key_conflicts.decide_conflict(
                c, "ticket_id", "1", "customer:1", policy, instant(NOW)
            )
        )
        work({**resolved, "id": "t4"})
        assert leave() == [("erase", "consumer:k")]


class TestPolicies:
    """Another policy may define other fields as identifying."""

    def test_activating_a_policy_finds_conflicts_among_recorded_events(
        self, ledger: Database
    ) -> None:
        """Activating it also cancels the commands by the contested key that are on their way."""
        text = files(policy_package).joinpath(loader.DEFAULT_POLICY).read_text("utf-8")
        before = loader.load_text(text.replace(", identifies: true", ""), "before.yaml")
        arrivals = [arrival(event, before) for event in (VICTIM, FOREIGN_ORDER)]
        ledger.run_in_transaction(lambda c: active_policy.require_active(c, before, instant(NOW)))
        ledger.run_in_transaction(lambda c: record(c, arrivals, before, instant(NOW)))
        ledger.run_in_transaction(lambda c: claim_due(c, before, instant(NOW), limit=99))
        assert len(list_commands(ledger)) == 4
        assert select_rows(ledger, tables.identifier) == []
        ledger.run_in_transaction(lambda c: activate(c, POLICY, instant(NOW)))
        assert [
            conflict.key for conflict in ledger.run_in_transaction(key_conflicts.list_conflicts)
        ] == ["order_id=o1"]
        assert {state for _, _, state in list_commands(ledger)} == {"cancelled"}
        assert sent_commands(claim_and_send(ledger, NOW)) == []

    def test_decisions_stay_under_a_new_policy(self, ledger: Database) -> None:
        """A new version does not ask again, and without keys nothing waits."""
        record_events(ledger, [VICTIM, FOREIGN_ORDER], NOW)
        decide(ledger, "consumer:victim")
        key_rows = [select_rows(ledger, table) for table in KEYS]
        ledger.run_in_transaction(lambda c: identifying_keys.rebuild_keys(c, POLICY, instant(NOW)))
        assert [select_rows(ledger, table) for table in KEYS] == key_rows


class TestForgetting:
    """A key is purged with its last event, and a subject's claim with its last event of that key."""

    def test_a_key_is_purged_with_its_last_event(self, ledger: Database) -> None:
        """Until then its owner is known."""
        again = order("e9", PLACED, "victim")
        record_events(ledger, [VICTIM, again], NOW)
        self.forget(ledger, VICTIM)
        assert [(row.subject, row.events) for row in select_rows(ledger, tables.identifier)] == [
            ("consumer:victim", 1)
        ]
        self.forget(ledger, again)
        assert select_rows(ledger, tables.identifier) == []

    def test_a_purged_owner_of_a_key_is_no_longer_named(self, ledger: Database) -> None:
        """The key then has no owner, and the other subject does not get it back."""
        record_events(ledger, [VICTIM, FOREIGN_ORDER], NOW)
        decide(ledger, "consumer:victim")
        self.forget(ledger, VICTIM)
        [conflict] = ledger.run_in_transaction(
            lambda c: key_conflicts.list_conflicts(c, decided=True)
        )
        assert (conflict.owner, dict(conflict.claimants)) == ("", {"consumer:nobody": 1})
        assert all(
            "order_id" not in keys for _, _, _, keys in sent_commands(claim_and_send(ledger, NOW))
        )
        self.forget(ledger, FOREIGN_ORDER)
        assert [select_rows(ledger, table) for table in KEYS] == [[], [], []]

    def test_the_only_claimant_under_a_new_policy_is_no_longer_named(
        self, ledger: Database
    ) -> None:
        """The other was purged before the policy came, so no claim of several is left to purge."""
        record_events(ledger, [VICTIM, FOREIGN_ORDER], NOW)
        decide(ledger, "consumer:victim")
        self.forget(ledger, FOREIGN_ORDER)
        with ledger.transaction() as connection:
            connection.execute(tables.event.delete().where(tables.event.c.id == "e2"))
        ledger.run_in_transaction(lambda c: identifying_keys.rebuild_keys(c, POLICY, instant(NOW)))
        self.forget(ledger, VICTIM)
        assert [select_rows(ledger, table) for table in KEYS] == [[], [], []]

    def test_the_decision_about_a_key_that_no_longer_identifies_is_deleted(
        self, ledger: Database
    ) -> None:
        """No event's purge would ever remove the decision about it."""
        text = files(policy_package).joinpath(loader.DEFAULT_POLICY).read_text("utf-8")
        without = loader.load_text(text.replace(", identifies: true", ""), "without.yaml")
        record_events(ledger, [VICTIM, FOREIGN_ORDER], NOW)
        decide(ledger, "consumer:victim")
        ledger.run_in_transaction(lambda c: identifying_keys.rebuild_keys(c, without, instant(NOW)))
        assert [select_rows(ledger, table) for table in KEYS] == [[], [], []]

    @staticmethod
    def forget(ledger: Database, event: Event) -> None:
        tagged = tag(parse_event(event), POLICY)
        ledger.run_in_transaction(lambda c: identifying_keys.purge_keys(c, [tagged], POLICY))
