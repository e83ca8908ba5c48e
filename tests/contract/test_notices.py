"""Notices before an end: sent so long before it, recalled when the end moves, never too late.

Each on SQLite and on PostgreSQL. The customer has ended on 1 June 2020 at 12:00Z. R1 is due in the CRM a
lead time before 1 June 2022 at 12:00Z, and the notice 30 days before that.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.deleter import activation
from services.ledger import tables
from services.policy.loader import load
from services.policy.model import Policy
from services.policy.rule import Notice
from services.storage.database import Database
from tests.contract.event_builders import Event, event, invoice, reinstated, terminated
from tests.contract.ledgers import (
    FakeBus,
    acknowledge,
    claim_all,
    find_command,
    instant,
    list_commands,
    record_events,
    select_rows,
    send_due,
)
from tests.contract.oracle_lines import simulate_events

SHIPPED = load()


def announcing(*notices: Notice, rule: str = "R1") -> Policy:
    """Return the shipped policy with notices of the ends of a rule."""
    announced = replace(SHIPPED.rules[rule], notices=notices)
    version = " ".join(f"{notice.before} {notice.system}" for notice in notices)
    return replace(SHIPPED, version=f"with {version}", rules={**SHIPPED.rules, rule: announced})


POLICY = announcing(Notice(before="P30D", system="mail"))
JOINED = "2020-01-01T12:00:00Z"
ENDED = "2020-06-01T12:00:00Z"
BACK = "2022-05-10T12:00:00Z"
ENDED_AGAIN = "2022-05-11T12:00:00Z"
NOTICE = "2022-05-01T12:00:00Z"
DUE = "2022-05-31T12:00:00Z"
NOTICE_AGAIN = "2024-04-10T12:00:00Z"


def run(ledger: Database, bus: FakeBus, now: str, policy: Policy = POLICY) -> None:
    """Claim and send all that is due."""
    claim_all(ledger, now, policy=policy)
    send_due(ledger, bus, now, policy=policy)


def take(ledger: Database, now: str, *events: Event, policy: Policy = POLICY) -> None:
    record_events(ledger, events, now, policy=policy)


def to_mail(ledger: Database) -> list[tuple[str, str]]:
    """Return action and state of each notice, and of each recall, to the mail system."""
    return [
        (action, state)
        for system, action, state in list_commands(ledger)
        if system == "mail" and action != "erase"  # that of a request's proof of identity
    ]


def held(id_: str, time: str) -> Event:
    return event(
        id_,
        "privacy.hold-placed",
        time,
        subject="customer:1",
        hold_id="H1",
        ground="legal_claim",
    )


def released(id_: str, time: str) -> Event:
    return event(id_, "privacy.hold-released", time, subject="customer:1", hold_id="H1")


@pytest.fixture
def announced(ledger: Database) -> tuple[Database, FakeBus]:
    """A customer of whose end a notice has been sent, not answered."""
    bus = FakeBus()
    take(ledger, JOINED, invoice("i1", JOINED), invoice("i2", JOINED))
    take(ledger, ENDED, terminated("t1", ENDED))
    run(ledger, bus, NOTICE)
    return ledger, bus


def test_a_notice_is_sent_so_long_before_the_first_system_is_told(ledger: Database) -> None:
    """One for all records that end together; the system learns of the end that it announces."""
    bus = FakeBus()
    take(ledger, JOINED, invoice("i1", JOINED), invoice("i2", JOINED))
    take(ledger, ENDED, terminated("t1", ENDED))
    run(ledger, bus, "2022-05-01T11:59:59Z")
    assert bus.sent == []
    run(ledger, bus, NOTICE)
    [sent] = bus.sent
    value = sent.value
    assert (sent.system, value["action"], value["subject"]) == ("mail", "notify", "customer:1")
    assert sorted(record["id"] for record in value["records"]) == ["i1", "i2"]
    assert (value["rules"], value["purposes"]) == (["R1"], ["service_delivery"])
    assert value["erase_by"] == instant(DUE)
    assert (value["reason"], value["article"]) == (
        "the end of its term is near",
        "GDPR 5(1)(a), 12(1)",
    )


def test_a_record_that_is_ahead_of_its_arrival_is_announced_at_its_own_time(
    ledger: Database,
) -> None:
    """A publisher's clock is fast by six hours, and the end is nearer than the notice asks for."""
    bus = FakeBus()
    take(ledger, ENDED, terminated("t1", ENDED))
    arrived, own_time = "2022-05-20T12:00:00Z", "2022-05-20T18:00:00Z"
    take(ledger, arrived, invoice("i1", own_time))
    run(ledger, bus, arrived)
    run(ledger, bus, "2022-05-20T17:59:59Z")
    assert bus.sent == []
    run(ledger, bus, own_time)
    assert [(sent.system, sent.value["action"]) for sent in bus.sent] == [("mail", "notify")]


def test_an_answered_notice_is_not_repeated_and_the_end_does_not_wait_for_it(
    announced: tuple[Database, FakeBus],
) -> None:
    ledger, bus = announced
    acknowledge(ledger, find_command(ledger, system="mail"), "done", NOTICE, policy=POLICY)
    run(ledger, bus, DUE)
    assert to_mail(ledger) == [("notify", "acknowledged")]
    assert ("crm", "erase", "sent") in list_commands(ledger)


def test_a_notice_that_is_out_is_recalled_when_the_end_moves(
    announced: tuple[Database, FakeBus],
) -> None:
    """The customer comes back and leaves again: another notice, of the new end."""
    ledger, bus = announced
    take(ledger, BACK, reinstated("r1", BACK))
    run(ledger, bus, BACK)
    assert to_mail(ledger) == [("notify", "recalling"), ("recall", "sent")]
    take(ledger, ENDED_AGAIN, terminated("t2", ENDED_AGAIN))
    run(ledger, bus, "2024-04-10T11:59:59Z")
    assert [row for row in to_mail(ledger) if row[0] == "notify"] == [("notify", "recalling")]
    run(ledger, bus, NOTICE_AGAIN)
    assert sorted(row for row in to_mail(ledger) if row[0] == "notify") == [
        ("notify", "recalling"),
        ("notify", "sent"),
    ]


def test_a_notice_that_was_given_stands_and_another_follows(
    announced: tuple[Database, FakeBus],
) -> None:
    ledger, bus = announced
    acknowledge(ledger, find_command(ledger, system="mail"), "done", NOTICE, policy=POLICY)
    take(ledger, BACK, reinstated("r1", BACK))
    take(ledger, ENDED_AGAIN, terminated("t2", ENDED_AGAIN))
    run(ledger, bus, NOTICE_AGAIN)
    assert to_mail(ledger) == [("notify", "acknowledged"), ("notify", "sent")]


def test_a_hold_takes_a_notice_back_and_its_release_sends_it(
    announced: tuple[Database, FakeBus],
) -> None:
    """While a hold keeps the data, its end may not be announced."""
    ledger, bus = announced
    take(ledger, "2022-05-02T12:00:00Z", held("h1", "2022-05-02T12:00:00Z"))
    run(ledger, bus, "2022-05-02T12:00:00Z")
    assert to_mail(ledger) == [("notify", "recalling"), ("recall", "sent")]
    recall = find_command(ledger, system="mail", action="recall")
    acknowledge(ledger, recall, "recalled", "2022-05-03T12:00:00Z", policy=POLICY)
    run(ledger, bus, "2022-05-03T12:00:00Z")
    assert ("notify", "sent") not in to_mail(ledger)
    take(ledger, "2022-05-04T12:00:00Z", released("h2", "2022-05-04T12:00:00Z"))
    run(ledger, bus, "2022-05-04T12:00:00Z")
    assert ("notify", "sent") in to_mail(ledger)


def test_no_notice_follows_a_hold_that_outlasts_the_end(ledger: Database) -> None:
    """What is due at the release is erased then."""
    bus = FakeBus()
    take(ledger, JOINED, invoice("i1", JOINED), held("h1", JOINED))
    take(ledger, ENDED, terminated("t1", ENDED))
    run(ledger, bus, NOTICE)
    run(ledger, bus, DUE)
    take(ledger, "2022-07-01T12:00:00Z", released("h2", "2022-07-01T12:00:00Z"))
    run(ledger, bus, "2022-07-01T12:00:00Z")
    assert to_mail(ledger) == []
    assert ("crm", "erase", "sent") in list_commands(ledger)


def test_a_granted_erasure_takes_a_notice_back(announced: tuple[Database, FakeBus]) -> None:
    """The data is gone at once, so the end that was announced does not come."""
    ledger, bus = announced
    asked = {"subject": "customer:1", "request_id": "Q1"}
    at = "2022-05-02T12:00:00Z"
    take(
        ledger,
        at,
        event("q1", "privacy.request-received", at, right="erasure", **asked),
        event("q2", "privacy.identity-verified", at, **asked),
    )
    run(ledger, bus, at)
    assert to_mail(ledger) == [("notify", "recalling"), ("recall", "sent")]
    assert ("crm", "erase", "sent") in list_commands(ledger)


def test_another_policy_takes_a_notice_back_that_it_does_not_have(
    announced: tuple[Database, FakeBus],
) -> None:
    """Two weeks before the end instead of 30 days."""
    ledger, bus = announced
    later = announcing(Notice(before="P2W", system="mail"))
    at = "2022-05-02T12:00:00Z"
    ledger.run_in_transaction(lambda c: activation.activate(c, later, instant(at)))
    run(ledger, bus, at, later)
    assert to_mail(ledger) == [("notify", "recalling"), ("recall", "sent")]
    run(ledger, bus, "2022-05-17T12:00:00Z", later)
    assert sorted(row for row in to_mail(ledger) if row[0] == "notify") == [
        ("notify", "recalling"),
        ("notify", "sent"),
    ]


def test_a_notice_may_not_be_given_any_more_once_the_end_has_come(
    announced: tuple[Database, FakeBus],
) -> None:
    """Its last attempt is valid until the end; after that it is recalled."""
    ledger, bus = announced
    bus.sent.clear()
    run(ledger, bus, "2022-05-30T12:00:00Z")
    [repeated] = bus.sent
    assert repeated.value["valid_until"] == instant(DUE)
    run(ledger, bus, "2022-06-03T12:00:00Z")
    assert to_mail(ledger) == [("notify", "recalling"), ("recall", "sent")]


@pytest.mark.parametrize(
    ("now", "notices"),
    [
        pytest.param("2022-05-20T12:00:00Z", 1, id="nearer than 30 days: at once"),
        pytest.param("2022-05-31T12:00:00Z", 0, id="come: none"),
    ],
)
def test_an_end_that_is_near_when_it_becomes_known(
    ledger: Database, now: str, notices: int
) -> None:
    bus = FakeBus()
    take(ledger, JOINED, invoice("i1", JOINED))
    take(ledger, now, terminated("t1", ENDED))
    run(ledger, bus, now)
    assert len(to_mail(ledger)) == notices


def test_two_notices_of_one_end(ledger: Database) -> None:
    """A month and a week before it, by two systems."""
    policy = announcing(Notice(before="P1M", system="mail"), Notice(before="P1W", system="post"))
    lines = simulate_events(
        ledger,
        [invoice("i1", JOINED), terminated("t1", ENDED)],
        instant("2022-06-01T00:00:00Z"),
        policy,
    )
    sent = [(str(line.issued_at), line.system, line.action) for line in lines]
    assert sent == [
        ("2022-04-30 12:00:00+00:00", "mail", "notify"),
        ("2022-05-24 12:00:00+00:00", "post", "notify"),
        ("2022-05-31 12:00:00+00:00", "crm", "erase"),
    ]


def test_a_notice_counts_back_on_the_local_calendar(ledger: Database) -> None:
    """The order's two years end on 1 May at 14:00 in Amsterdam; P2M before is in winter time."""
    policy = announcing(Notice(before="P2M", system="mail"), rule="D4")
    order = event(
        "o1",
        "orders.order-placed",
        "2022-05-02T12:00:00Z",
        order_id="o1",
        customer_id="1",
        consumer_id="1",
        amount="1.00",
        **{"payment.method": "ideal"},
    )
    lines = simulate_events(ledger, [order], instant("2024-04-01T00:00:00Z"), policy)
    sent = [(str(line.issued_at), line.system, line.action) for line in lines]
    assert ("2024-03-01 13:00:00+00:00", "mail", "notify") in sent


def test_rules_in_test_announce_nothing(ledger: Database) -> None:
    policy = replace(
        POLICY,
        version="in test",
        rules={**POLICY.rules, "R1": replace(POLICY.rules["R1"], status="test")},
    )
    bus = FakeBus()
    take(ledger, JOINED, invoice("i1", JOINED), policy=policy)
    take(ledger, ENDED, terminated("t1", ENDED), policy=policy)
    run(ledger, bus, DUE, policy)
    assert to_mail(ledger) == []
    assert select_rows(ledger, tables.command, system="crm") == []


def test_a_notice_that_is_still_out_is_recalled_when_the_nearer_one_is_due(
    ledger: Database,
) -> None:
    """A person needs one; two that wait in a system would reach them together."""
    policy = announcing(Notice(before="P30D", system="mail"), Notice(before="P1W", system="mail"))
    bus = FakeBus()
    take(ledger, JOINED, invoice("i1", JOINED), policy=policy)
    take(ledger, ENDED, terminated("t1", ENDED), policy=policy)
    run(ledger, bus, NOTICE, policy)
    run(ledger, bus, "2022-05-24T12:00:00Z", policy)
    assert sorted(to_mail(ledger)) == [
        ("notify", "recalling"),
        ("notify", "sent"),
        ("recall", "sent"),
    ]
