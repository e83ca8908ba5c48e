"""Many roles at once on PostgreSQL: nothing is commanded twice, lost or left in a deadlock."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from uuid import UUID

from sqlalchemy import text

from services.deleter.acknowledgement import Acknowledgement
from services.deleter.claim import claim_due
from services.deleter.dispatch import RetryPolicy, dispatch, lease
from services.deleter.paused_systems import PausedSystems
from services.deleter.settlement import apply_acknowledgement
from services.ledger import backfills, tables
from services.ledger.recording import record
from services.storage.database import Database
from tests.batches import message_of
from tests.contract.concurrency import (
    PATIENCE_SECONDS,
    is_lock_awaited,
    wait_for_lock,
    worker_threads,
)
from tests.contract.event_builders import (
    Event,
    arrival,
    contact_changed,
    engaged,
    event,
    feedback,
    invoice,
    order,
    reinstated,
    signed_up,
    supplier_ended,
    terminated,
)
from tests.contract.ledgers import (
    POLICY,
    FakeBus,
    acknowledge,
    claim_all,
    find_command,
    instant,
    list_commands,
    load_facts,
    record_events,
    select_rows,
    send_due,
)

JOINED, ENDED, BACK = "2020-01-01T12:00:00Z", "2020-06-01T12:00:00Z", "2021-01-01T12:00:00Z"
DUE = "2022-05-31T12:00:00Z"
FAR = instant("2060-01-01T00:00:00Z")


def count_commanded(ledger: Database, **values: object) -> int:
    ids = {row.command_id for row in select_rows(ledger, tables.command, **values)}
    return sum(row.command_id in ids for row in select_rows(ledger, tables.member, live=True))


def invoices(count: int, start: int = 0, customer: str = "1") -> list[Event]:
    return [
        invoice(f"i{customer}-{number:05}", JOINED, customer)
        for number in range(start, start + count)
    ]


def test_a_record_whose_transaction_commits_after_the_scan_is_commanded(
    postgres_ledger: Database,
) -> None:
    """It began before the scan passed its key: the scan waits for it or finds it later (ruling 2)."""
    ledger = postgres_ledger
    record_events(ledger, [*invoices(600), terminated("t1", ENDED)], ENDED)
    late = [arrival(event, POLICY) for event in invoices(20, start=7000)]
    with ledger.transaction() as open_transaction:
        record(open_transaction, late, POLICY, instant(DUE))
        assert claim_all(ledger, DUE) == []  # its clock is locked: skipped, not waited for
    claim_all(ledger, DUE)
    assert count_commanded(ledger) == 620


def test_a_record_that_waits_for_a_scan_is_commanded_after_it(postgres_ledger: Database) -> None:
    """It finds the scan's first chunk committed, and gets a due time of its own."""
    ledger = postgres_ledger
    record_events(ledger, [*invoices(700), terminated("t1", ENDED)], ENDED)
    with worker_threads() as pool:
        with ledger.transaction() as walking:
            claim_due(walking, POLICY, instant(DUE), limit=1)
            recording = pool.submit(record_events, ledger, invoices(20, start=7000), DUE)
            wait_for_lock(ledger, recording)
        recording.result(PATIENCE_SECONDS)
    claim_all(ledger, DUE)
    assert count_commanded(ledger) == 720


def test_a_new_contact_sees_the_end_of_its_supplier_in_whatever_order_they_commit(
    postgres_ledger: Database,
) -> None:
    """A child clock reads its parent under lock, parent first."""
    ledger = postgres_ledger
    record_events(ledger, [engaged("e0", JOINED, "0", supplier="1")], JOINED)
    for number, ended_first in enumerate([True, False], start=1):
        supplier = str(number)
        record_events(ledger, [engaged(f"f{number}", JOINED, "0", supplier)], JOINED)
        joins = contact_changed(f"c{number}", BACK, "0", "9", supplier)
        ends = supplier_ended(f"s{number}", ENDED, supplier)
        earlier, other = (ends, joins) if ended_first else (joins, ends)
        with worker_threads() as pool:
            with ledger.transaction() as first:
                record(first, [arrival(earlier, POLICY)], POLICY, instant(BACK))
                second = pool.submit(record_events, ledger, [other], BACK)
                wait_for_lock(ledger, second)
            second.result(PATIENCE_SECONDS)
        anchors = {row.key: row.anchor_at for row in select_rows(ledger, tables.clock)}
        assert anchors[f"{supplier}/9"] == instant(ENDED)


def test_a_reinstatement_and_a_dispatch_of_one_clock_do_not_overlap(
    postgres_ledger: Database,
) -> None:
    """The send that has begun finishes and is recalled; none starts after it."""
    ledger, bus = postgres_ledger, FakeBus()
    record_events(ledger, [*invoices(3), terminated("t1", ENDED)], ENDED)
    claim_all(ledger, DUE)
    leased = ledger.run_in_transaction(lambda c: lease(c, instant(DUE), PausedSystems(), limit=9))
    with worker_threads() as pool:
        with ledger.transaction() as relaying:
            dispatch(relaying, leased, bus, POLICY, instant(DUE), RetryPolicy())
            recording = pool.submit(record_events, ledger, [reinstated("r1", BACK)], DUE)
            wait_for_lock(ledger, recording)
        recording.result(PATIENCE_SECONDS)
    assert [state for _, action, state in list_commands(ledger) if action == "erase"] == [
        "recalling"
    ]


def test_a_record_that_comes_while_its_import_is_released_is_released_too(
    postgres_ledger: Database,
) -> None:
    """The recorder saw the import held back; the release commits first, and must not miss the record."""
    ledger = postgres_ledger
    record_events(ledger, [feedback("f1", JOINED)], DUE, backfill="history")
    late = [arrival(feedback("f2", ENDED), POLICY, backfill="history")]
    with worker_threads() as pool, ledger.transaction() as recording:
        record(recording, late, POLICY, instant(DUE))
        releasing: Future[object] = pool.submit(
            ledger.run_in_transaction,
            lambda c: backfills.release(c, "history", "operator", instant(DUE)),
        )
        pause = threading.Event()
        for _ in range(50):
            if releasing.done() or is_lock_awaited(ledger):
                break
            pause.wait(0.02)
        recording.commit()
        releasing.result(PATIENCE_SECONDS)
    assert {row.backfill for row in select_rows(ledger, tables.record)} == {None}
    claim_all(ledger, DUE)
    assert count_commanded(ledger) == 2


def test_two_recorders_of_one_batch_record_it_once(postgres_ledger: Database) -> None:
    """The second waits, finds it there and counts duplicates."""
    ledger = postgres_ledger
    batch = [*invoices(50), terminated("t1", ENDED), signed_up("s1", JOINED)]
    arrivals = [arrival(event, POLICY) for event in batch]
    with worker_threads() as pool:
        with ledger.transaction() as first:
            record(first, arrivals, POLICY, instant(DUE))
            second = pool.submit(record_events, ledger, batch[::-1], DUE)
            wait_for_lock(ledger, second)
        result = second.result(PATIENCE_SECONDS)
    assert (result.new, result.duplicates, result.conflicts) == (0, 52, ())


def _tickets(customers: int, each: int) -> list[Event]:
    """Return tickets whose customer's record depends on two clocks, so that scans cross."""
    return [
        event(
            f"k{customer}-{number}",
            "helpdesk.ticket-opened",
            JOINED,
            ticket_id=f"{customer}-{number}",
            customer_id=str(customer),
            consumer_ids=[f"{customer}-{number % 3}"],
        )
        for customer in range(customers)
        for number in range(each)
    ]


def _ends(customers: int, each: int) -> list[Event]:
    ended = [terminated(f"t{customer}", ENDED, str(customer)) for customer in range(customers)]
    resolved = [
        event(
            f"r{customer}-{number}",
            "helpdesk.ticket-resolved",
            ENDED,
            ticket_id=f"{customer}-{number}",
            customer_id=str(customer),
        )
        for customer in range(customers)
        for number in range(each)
    ]
    return ended + resolved


def test_many_deleters_and_recorders_command_everything_once(postgres_ledger: Database) -> None:
    """Four deleters claim, send and settle while two recorders record the rest, in any order."""
    ledger = postgres_ledger
    customers, each = 8, 25
    first = [*_tickets(customers, each), *invoices(300, customer="0"), *invoices(300, customer="1")]
    rest = [
        *_ends(customers, each),
        *[order(f"o{number}", JOINED, str(number % 7)) for number in range(60)],
        *invoices(50, start=900, customer="0"),
        *[engaged(f"e{number}", JOINED, str(number), "1") for number in range(10)],
        supplier_ended("e-end", ENDED),
    ]
    record_events(ledger, first, FAR)
    random.Random(7).shuffle(rest)
    buses = [FakeBus() for _ in range(4)]
    stop = threading.Event()

    def recorder(part: list[Event]) -> None:
        for start in range(0, len(part), 25):
            record_events(ledger, part[start : start + 25], FAR)

    def deleter(bus: FakeBus) -> None:
        idle = 0
        while idle < 2:
            looked = ledger.run_in_transaction(
                lambda c: claim_due(c, POLICY, FAR, limit=40)
            ).scanned
            sent = send_due(ledger, bus, FAR, limit=40)
            for command in sent:
                _answered(ledger, command.command_id, command.system)
            idle = idle + 1 if stop.is_set() and not (looked or sent) else 0

    with worker_threads(6) as pool:
        deleting = [pool.submit(deleter, bus) for bus in buses]
        recording = [pool.submit(recorder, rest[n::2]) for n in range(2)]
        try:
            for task in recording:
                task.result(90)
        finally:
            stop.set()
        for task in deleting:
            task.result(90)

    claim_all(
        ledger, FAR
    )  # a deleter that skipped another's locked rows may have been the last to scan
    send_due(ledger, buses[0], FAR)
    ids = Counter(command.value["command_id"] for bus in buses for command in bus.sent)
    assert [identity for identity, times in ids.items() if times > 1] == []
    together = {
        (row.record_id, row.system, row.step)
        for row in select_rows(ledger, tables.member, live=True)
    }
    alone = _commands_of_one_deleter(postgres_ledger, [*first, *rest])
    assert together == alone


def _answered(ledger: Database, identity: UUID, system: str) -> None:
    acknowledgement = Acknowledgement(
        command_id=identity,
        system=system,
        attempt=1,
        status="done",
        counts={},
        ground=None,
        at=FAR,
    )
    message = message_of(acknowledgement, str(identity))
    ledger.run_in_transaction(lambda c: apply_acknowledgement(c, message, POLICY, FAR))


def _commands_of_one_deleter(ledger: Database, events: list[Event]) -> set[tuple[UUID, str, str]]:
    """Return what one deleter commands for the same facts, in the same database, emptied."""
    recorded = load_facts(ledger)
    with ledger.transaction() as connection:
        for table in tables.metadata.sorted_tables:
            connection.execute(table.delete())
    record_events(ledger, events, FAR)
    assert load_facts(ledger) == recorded
    claim_all(ledger, FAR)
    return {
        (row.record_id, row.system, row.step)
        for row in select_rows(ledger, tables.member, live=True)
    }


def test_clocks_that_open_and_end_under_four_deleters_leave_nothing_early(
    postgres_ledger: Database,
) -> None:
    """In the end every customer is back: no command is live, and whatever was sent is being recalled."""
    ledger, customers = postgres_ledger, 6
    for customer in range(customers):
        record_events(ledger, [*invoices(60, customer=str(customer))], JOINED)
    now = instant(DUE)
    stop = threading.Event()

    def deleter() -> None:
        bus = FakeBus()
        while not stop.is_set():
            ledger.run_in_transaction(lambda c: claim_due(c, POLICY, now, limit=20))
            send_due(ledger, bus, now, limit=5)

    def recorder() -> None:
        for minute in range(20):
            for customer in range(customers):
                ended = f"2020-06-01T12:{minute:02}:00Z"
                back = f"2020-06-01T12:{minute:02}:30Z"
                name = f"{customer}-{minute}"
                record_events(ledger, [terminated(f"t{name}", ended, str(customer))], now)
                record_events(ledger, [reinstated(f"r{name}", back, str(customer))], now)

    with worker_threads(5) as pool:
        deleting = [pool.submit(deleter) for _ in range(4)]
        try:
            pool.submit(recorder).result(90)
        finally:
            stop.set()
        for task in deleting:
            task.result(30)
    states = {state for _, action, state in list_commands(ledger) if action == "erase"}
    assert states <= {"cancelled", "recalling"}
    for row in select_rows(ledger, tables.command, action="recall"):
        if row.state == "unsent":
            send_due(ledger, FakeBus(), FAR)
        acknowledge(ledger, row.command_id, "done", FAR)
    assert select_rows(ledger, tables.member, live=True) == []


def _while_locked(ledger: Database, statement: str, work: Callable[[], object]) -> Future[object]:
    with worker_threads(1) as pool, ledger.transaction() as connection:
        connection.execute(text(statement))
        task = pool.submit(work)
        wait_for_lock(ledger, task)
    return task


def test_a_deadlock_repeats_the_whole_batch(postgres_ledger: Database) -> None:
    """The database's error 40P01 is expected: one of the two starts again, and both are done."""
    ledger = postgres_ledger
    barrier = threading.Barrier(2)
    begun = Counter[str]()

    def work(own: str, other: str) -> None:
        def both(connection: object) -> None:
            begun[own] += 1
            statement = "INSERT INTO subject (subject) VALUES (:one) ON CONFLICT DO NOTHING"
            connection.execute(text(statement), {"one": own})  # type: ignore[attr-defined]
            if begun[own] == 1:
                barrier.wait(PATIENCE_SECONDS)
            connection.execute(text(statement), {"one": other})  # type: ignore[attr-defined]

        ledger.run_in_transaction(both)

    with worker_threads(2) as pool:
        tasks = [pool.submit(work, "a", "b"), pool.submit(work, "b", "a")]
        for task in tasks:
            task.result(PATIENCE_SECONDS)
    assert sorted(begun.values()) == [1, 2]
    assert [row.subject for row in select_rows(ledger, tables.subject)] == ["a", "b"]


def test_a_locked_subject_makes_claim_and_dispatch_wait(postgres_ledger: Database) -> None:
    """There is one lock, and its holder decides what is sent (ruling 3)."""
    ledger = postgres_ledger
    record_events(ledger, [invoice("i1", JOINED), terminated("t1", ENDED)], ENDED)
    lock = "SELECT * FROM subject WHERE subject = 'customer:1' FOR UPDATE"
    _while_locked(ledger, lock, lambda: claim_all(ledger, DUE)).result(PATIENCE_SECONDS)
    assert count_commanded(ledger) == 1
    identity = find_command(ledger, system="crm")
    ledger.run_in_transaction(lambda c: lease(c, instant(DUE), PausedSystems(), limit=9))
    bus = FakeBus()

    def send() -> None:
        ledger.run_in_transaction(
            lambda c: dispatch(c, [identity], bus, POLICY, instant(DUE), RetryPolicy())
        )

    _while_locked(ledger, lock, send).result(PATIENCE_SECONDS)
    assert len(bus.sent) == 1


def test_a_tickets_end_from_two_sides_is_one_pseudonym(postgres_ledger: Database) -> None:
    """Two clocks become due for one record, each scanned by another deleter at once."""
    ledger = postgres_ledger
    record_events(ledger, _tickets(1, 1), JOINED)
    record_events(ledger, [terminated("t1", ENDED, "0"), *_ends(1, 1)[1:]], ENDED)
    with worker_threads(4) as pool:
        tasks = [pool.submit(claim_all, ledger, FAR, 1) for _ in range(4)]
        for task in tasks:
            task.result(PATIENCE_SECONDS)
    steps = Counter((row.system, row.step) for row in select_rows(ledger, tables.member, live=True))
    # In the helpdesk the customer's record and the consumer's; research's pseudonym fell due with them.
    assert steps == {("helpdesk", "erase"): 2, ("research", "erase"): 1}
