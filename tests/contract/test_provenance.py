"""The duty to inform people where their data comes from, in the ledger: SQLite and PostgreSQL both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import permutations

import pytest

from services.ledger import active_policy, tables
from services.policy.event_type import ProvenanceRule
from services.policy.model import Policy
from services.requests.provenance import (
    count_duties,
    end_erased_duties,
    list_duties,
)
from services.requests.provenance_notice import NothingToReport, load_uninformed, render_provenance
from services.storage.database import Database
from tests.contract.concurrency import ConcurrentTransaction, worker_threads
from tests.contract.event_builders import Event, event
from tests.contract.ledger_life import LedgerLife
from tests.contract.ledgers import POLICY, instant, record_events, run_as_role, select_rows
from tests.contract.test_recorders_together import record_batch

NOW = "2024-05-01T12:00:00Z"


def bought(id_: str, time: str, prospect: str = "P1", source: str = "bought list") -> Event:
    return {
        **event(id_, "acquisition.lead-acquired", time, prospect_id=prospect),
        "data": {"prospect_id": prospect, "source": source},
    }


def contacted(id_: str, time: str, prospect: str = "P1") -> Event:
    return event(id_, "acquisition.lead-contacted", time, prospect_id=prospect)


def informed(id_: str, time: str, prospect: str = "P1") -> Event:
    return event(id_, "acquisition.prospect-informed", time, prospect_id=prospect)


def open_duties(ledger: Database) -> list[tuple[str, str, str]]:
    """Who is to be informed of which event, and what limits the time."""
    with ledger.transaction() as connection:
        return [(duty.subject, duty.event, duty.reason) for duty in list_duties(connection)]


def late(ledger: Database, now: str) -> int:
    with ledger.transaction() as connection:
        return count_duties(connection, instant(now)).late


def end_erased(ledger: Database, now: str, policy: Policy = POLICY) -> int:
    return run_as_role(ledger, "rights", lambda c: end_erased_duties(c, policy, instant(now)))


def test_a_bought_lead_is_to_be_told_until_that_is_published(ledger: Database) -> None:
    """With the limit, the most urgent first; a fair is the person's own word."""
    record_events(
        ledger,
        [
            bought("e1", "2024-04-10T12:00:00Z"),
            bought("e2", "2024-04-02T12:00:00Z", "P2"),
            bought("e3", "2024-04-02T12:00:00Z", "P3", "fair"),
        ],
        NOW,
    )
    assert open_duties(ledger) == [("prospect:P2", "e2", "month"), ("prospect:P1", "e1", "month")]
    with ledger.transaction() as connection:
        first = next(list_duties(connection))
        counts = count_duties(connection, instant("2024-05-02T12:00:01Z"))
    assert (first.obtained_at, first.inform_by) == (
        instant("2024-04-02T12:00:00Z"),
        instant("2024-05-02T12:00:00Z"),
    )
    assert (counts.open, counts.late) == ({"month": 2}, 1)
    assert counts.time_left["month"].total_seconds() == -1
    record_events(ledger, [informed("t2", "2024-04-20T12:00:00Z", "P2")], NOW)
    assert open_duties(ledger) == [("prospect:P1", "e1", "month")]
    assert late(ledger, "2024-05-02T12:00:01Z") == 0


def test_a_second_purchase_is_a_duty_of_its_own(ledger: Database) -> None:
    """Informed of the first, not of the second; and no purchase hides an older one."""
    record_events(ledger, [bought("e1", "2024-03-01T12:00:00Z")], NOW)
    record_events(ledger, [informed("t1", "2024-03-10T12:00:00Z")], NOW)
    record_events(ledger, [bought("e2", "2024-04-01T12:00:00Z")], NOW)
    record_events(ledger, [bought("e3", "2024-04-20T12:00:00Z")], NOW)
    assert open_duties(ledger) == [("prospect:P1", "e2", "month"), ("prospect:P1", "e3", "month")]


EVENTS = (
    bought("e1", "2024-04-01T12:00:00Z"),
    contacted("c0", "2024-03-01T12:00:00Z"),
    contacted("c1", "2024-04-05T12:00:00Z"),
    informed("t0", "2024-03-20T12:00:00Z"),
    bought("e2", "2024-04-08T12:00:00Z"),
)


@pytest.mark.parametrize("order", list(permutations(range(5)))[::7])
def test_every_order_of_arrival_gives_the_same_duties(
    ledger: Database, order: Sequence[int]
) -> None:
    """Each in a batch of its own; a late contact makes the duty late from then on."""
    for position in order:
        record_events(ledger, [EVENTS[position]], NOW)
    assert open_duties(ledger) == [
        ("prospect:P1", "e1", "contacted"),
        ("prospect:P1", "e2", "month"),
    ]
    record_events(ledger, [EVENTS[0]], NOW)  # a duplicate
    record_events(ledger, [informed("t1", "2024-04-07T12:00:00Z")], NOW)
    assert open_duties(ledger) == [("prospect:P1", "e2", "month")]


@pytest.mark.parametrize("begins", ["informed", "bought"])
def test_two_recorders_at_once_end_a_duty(postgres_ledger: Database, begins: str) -> None:
    """The second waits for the first one's lock of the person, and sees what it stored."""
    with postgres_ledger.transaction() as connection:
        active_policy.require_active(connection, POLICY, instant(NOW))
    events = {
        "bought": bought("e1", "2024-04-01T12:00:00Z"),
        "informed": informed("t1", "2024-04-05T12:00:00Z"),
    }
    [other] = events.keys() - {begins}
    with worker_threads(2) as pool:
        first, second = (
            ConcurrentTransaction(
                postgres_ledger,
                partial(record_batch, events=[events[name]]),
                pool,
            )
            for name in (begins, other)
        )
        first.begin()
        second.begin()
        first.commit()
        second.commit()
    assert open_duties(postgres_ledger) == []


def test_the_number_informed_is_in_the_evidence_as_numbers(ledger: Database) -> None:
    """How many, and how many of them too late; no person."""
    record_events(
        ledger,
        [bought("e1", "2024-04-01T12:00:00Z"), bought("e2", "2024-03-01T12:00:00Z")],
        NOW,
    )
    record_events(ledger, [informed("t1", "2024-04-05T12:00:00Z")], NOW)
    record_events(ledger, [informed("t2", "2024-04-06T12:00:00Z")], NOW)
    entries = select_rows(ledger, tables.evidence_pending, kind="informed")
    assert [json.loads(row.body) for row in entries] == [{"informed": 2, "late": 1}]


def test_an_erasure_everywhere_ends_the_duty(ledger: Database) -> None:
    """An objection erases a prospect; only once every system has proven the duty is over."""
    life = LedgerLife(ledger=ledger)
    life.record_events([bought("e1", "2024-04-01T12:00:00Z")], NOW)
    objection = {"subject": "prospect:P1", "purpose": "acquisition", "objection_id": "b1"}
    life.record_events(
        [event("o1", "privacy.objection-raised", "2024-04-05T12:00:00Z", **objection)], NOW
    )
    assert end_erased(ledger, NOW) == 0
    life.work(NOW)
    assert open_duties(ledger) == [("prospect:P1", "e1", "month")]
    assert (end_erased(ledger, NOW), end_erased(ledger, NOW)) == (1, 0)
    assert open_duties(ledger) == []
    [row] = select_rows(ledger, tables.provenance)
    assert (row.erased_at, row.informed_at) == (instant(NOW), None)
    life.record_events([contacted("c1", "2024-04-06T12:00:00Z")], NOW)
    assert open_duties(ledger) == []


def test_an_erasure_in_one_system_does_not_end_the_duty(ledger: Database) -> None:
    """The others still have what the person has not been informed of."""
    life = LedgerLife(ledger=ledger)
    life.record_events([bought("e1", "2024-04-01T12:00:00Z")], NOW)
    objection = {"subject": "prospect:P1", "purpose": "acquisition", "objection_id": "b1"}
    life.record_events(
        [event("o1", "privacy.objection-raised", "2024-04-05T12:00:00Z", **objection)], NOW
    )
    life.work(NOW)
    [proven] = select_rows(ledger, tables.command, system="post", action="erase")
    with ledger.transaction() as connection:
        connection.execute(
            tables.command.update()
            .where(tables.command.c.command_id == proven.command_id)
            .values(state="acknowledged")
        )
    assert end_erased(ledger, NOW) == 0
    assert open_duties(ledger) == [("prospect:P1", "e1", "month")]


def test_another_policy_finds_the_duties_again(ledger: Database) -> None:
    """Of all that is recorded: one more source that is the person's own word, and one less."""
    record_events(
        ledger,
        [
            bought("e1", "2024-04-01T12:00:00Z"),
            bought("e2", "2024-04-01T12:00:00Z", "P2", "panel"),
            bought("e3", "2024-04-01T12:00:00Z", "P3", "fair"),
            informed("t1", "2024-04-02T12:00:00Z"),
        ],
        NOW,
    )
    assert [duty[0] for duty in open_duties(ledger)] == ["prospect:P2"]
    kind = POLICY.events["acquisition.lead-acquired"]
    rule = ProvenanceRule(reports="obtained", unless={"source": ("panel",)})
    changed = replace(
        POLICY,
        version="next",
        events={**POLICY.events, "acquisition.lead-acquired": replace(kind, provenance=rule)},
    )
    run_as_role(ledger, "operators", lambda c: active_policy.activate(c, changed, instant(NOW)))
    assert [duty[0] for duty in open_duties(ledger)] == ["prospect:P3"]
    without = replace(
        changed,
        version="after next",
        events={name: replace(kind, provenance=None) for name, kind in changed.events.items()},
    )
    run_as_role(ledger, "operators", lambda c: active_policy.activate(c, without, instant(NOW)))
    assert select_rows(ledger, tables.provenance) == []


def test_a_purged_person_leaves_no_report_and_one_that_is_told_early_stays_told(
    ledger: Database,
) -> None:
    """Informed is recorded before the purchase; the purge between the two must not forget it."""
    life = LedgerLife(ledger=ledger)
    life.record_events([informed("t1", "2012-01-02T12:00:00Z", "P-77")], "2012-01-02T12:00:00Z")
    life.purge("2012-01-20T12:00:00Z")
    life.record_events([bought("e1", "2012-01-01T12:00:00Z", "P-77")], "2012-01-21T12:00:00Z")
    assert open_duties(ledger) == []
    life.work("2014-01-01T12:00:00Z")
    life.purge("2014-06-01T12:00:00Z")
    assert select_rows(ledger, tables.provenance) == []
    life.seal_evidence("2014-06-01T12:00:00Z")
    assert "P-77" not in life.dump()


def test_the_notice_states_source_use_term_and_rights(ledger: Database) -> None:
    """GDPR 14(1) and (2), in the words of the policy."""
    record_events(ledger, [bought("e1", "2024-04-01T12:00:00Z")], NOW)
    with ledger.transaction() as connection:
        events = load_uninformed(connection, "prospect:P1", POLICY)
        with pytest.raises(NothingToReport, match="prospect:P9 is informed"):
            load_uninformed(connection, "prospect:P9", POLICY)
    english = render_provenance(POLICY, "prospect:P1", events, "en", {"D2": False})
    assert "We obtained data of yours on 1 April 2024, from: bought list.\n" in english
    assert (
        "- Presenting the company to prospects: on the basis of Legitimate interest (GDPR article 6(1)(f));"
        " kept at most 1 year after the end of “The last contact with a prospect”"
        " (our own reading, not confirmed yet); in: Customer relations, E-mail processor, Post processor\n"
    ) in english
    dutch = render_provenance(POLICY, "prospect:P1", events, "nl", {"D2": True})
    assert "We kregen gegevens van u op 1 april 2024, van: bought list.\n" in dutch
    assert "ons bedrijf voorstellen aan mogelijke klanten" in dutch
    assert "(eigen lezing, bevestigd); in:" in dutch
