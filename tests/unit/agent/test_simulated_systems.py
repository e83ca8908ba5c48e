"""The simulated systems hold what the policy states, obey once, and answer each in its own way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.cloudevents import CloudEvent
from services.agent.simulated.store import StoreCounts
from services.agent.simulated.systems import SHOWN, SimulatedSystems, SystemBehaviour
from services.policy import loader
from tests.unit.crypto.stage import a_vault, order, policy

POLICY = loader.load()
NOW = datetime(2026, 3, 15, 13, tzinfo=UTC)


@pytest.fixture
def systems(tmp_path: Path) -> Iterator[SimulatedSystems]:
    """Return systems that hold one ticket of a customer with a consumer in it."""
    behaviours = {**SHOWN, "mail": SystemBehaviour(manner="silent")}
    systems = SimulatedSystems(policy=POLICY, directory=tmp_path, behaviours=behaviours)
    with closing(systems):
        systems.store_events(
            CloudEvent(
                id="k1",
                source="/helpdesk",
                type="helpdesk.ticket-opened",
                time=NOW,
                data={"ticket_id": "1", "customer_id": "1", "consumer_ids": ["a"]},
            )
        )
        yield systems


def command(system: str = "helpdesk", action: str = "erase", **fields: Any) -> dict[str, Any]:
    """A command on the ticket."""
    return {
        "command_id": "c1",
        "system": system,
        "action": action,
        "subject": "consumer:a",
        "records": [{"type": "helpdesk.ticket-opened", "source": "/helpdesk", "id": "k1"}],
        "attempt": 1,
        "supersedes": None,
        **fields,
    }


def answered(systems: SimulatedSystems, command: dict[str, Any]) -> tuple[str, int] | None:
    """The status and the number of rows of an answer."""
    reply = systems.handle_command(command, b"k", NOW)
    return None if reply is None else (reply.value["status"], reply.value["counts"]["rows"])


def test_each_simulated_system_holds_what_the_policy_states(systems: SimulatedSystems) -> None:
    """A row for each person whose data the system has."""
    row_counts = {name: counts.rows for name, counts in systems.count_rows().items() if counts.rows}
    assert row_counts == {"helpdesk": 2, "research": 1}


def test_an_event_that_is_read_twice_is_stored_once(
    systems: SimulatedSystems, tmp_path: Path
) -> None:
    """All topics are read from their beginning at each start."""
    event = CloudEvent(
        id="k1",
        source="/helpdesk",
        type="helpdesk.ticket-opened",
        time=NOW,
        data={"ticket_id": "1", "customer_id": "1", "consumer_ids": ["a"]},
    )
    systems.store_events(event)
    assert systems.count_rows()["helpdesk"] == StoreCounts(rows=2, restricted=0)


def test_an_erasure_takes_the_named_persons_rows(systems: SimulatedSystems) -> None:
    """Rows of other persons in the same ticket stay."""
    assert answered(systems, command()) == ("done", 1)
    assert systems.count_rows()["helpdesk"] == StoreCounts(rows=1, restricted=0)


def test_a_repeated_command_gets_the_same_answer(systems: SimulatedSystems) -> None:
    """Sending again is harmless."""
    first = systems.handle_command(command(), b"k", NOW)
    again = systems.handle_command(command(attempt=2), b"k", NOW)
    assert first
    assert again
    assert (again.value["status"], again.value["counts"]) == ("done", {"rows": 1})


def test_a_restriction_keeps_the_row(systems: SimulatedSystems) -> None:
    """It is only taken out of that use."""
    assert answered(systems, command(action="restrict")) == ("done", 1)
    assert systems.count_rows()["helpdesk"] == StoreCounts(rows=2, restricted=1)


def test_a_pseudonym_is_erased_by_its_record_alone(systems: SimulatedSystems) -> None:
    """The person behind it cannot be named any more."""
    message = command("research", "pseudonymise", subject="customer:1")
    assert answered(systems, message) == ("done", 1)
    assert answered(systems, command("research", command_id="c2", subject="customer:1")) == (
        "nothing_held",
        0,
    )
    assert answered(systems, command("research", command_id="c3", subject=None)) == ("done", 1)
    assert systems.count_rows()["research"] == StoreCounts(rows=0, restricted=0)


def test_a_verification_counts_what_is_left_and_erases_nothing(systems: SimulatedSystems) -> None:
    """One row before the erasure, none after it; the other person's row does not count."""
    check = {"action": "verify", "supersedes": "c1"}
    assert answered(systems, command(command_id="v1", **check)) == ("done", 1)
    answered(systems, command())
    assert answered(systems, command(command_id="v2", **check)) == ("nothing_held", 0)
    assert systems.count_rows()["helpdesk"] == StoreCounts(rows=1, restricted=0)


def test_a_system_without_the_data_reports_nothing_held(systems: SimulatedSystems) -> None:
    """The ledger treats this as suspicious."""
    assert answered(systems, command("crm")) == ("nothing_held", 0)


def test_a_recall_comes_in_time_or_not(systems: SimulatedSystems) -> None:
    """A command that was carried out before is reported as such."""
    recall = command(action="recall", command_id="r1", supersedes="c1")
    assert answered(systems, recall) == ("recalled", 0)
    assert answered(systems, command()) == ("done", 1)
    assert answered(systems, recall) == ("already_done", 0)


def test_each_simulated_system_answers_in_its_own_way(systems: SimulatedSystems) -> None:
    """Late, when it gets a command twice, with a refusal, or never."""
    late = systems.handle_command(command("psp"), b"k", NOW)
    assert late
    assert late.leaves_at == NOW + timedelta(seconds=4)
    assert answered(systems, command("lease")) is None
    assert answered(systems, command("lease", attempt=2)) == ("nothing_held", 0)
    refused = systems.handle_command(command("credit-bureau"), b"k", NOW)
    assert refused
    assert (refused.value["status"], refused.value["ground"]) == (
        "refused",
        "own legal obligation (GDPR 17(3)(b))",
    )
    assert answered(systems, command("mail", attempt=9)) is None


def test_the_data_of_simulated_systems_survives_a_restart(
    systems: SimulatedSystems, tmp_path: Path
) -> None:
    """The stores are files, which the next start uses."""
    answered(systems, command())
    with closing(SimulatedSystems(policy=POLICY, directory=tmp_path)) as next_start:
        assert next_start.count_rows()["helpdesk"] == StoreCounts(rows=1, restricted=0)
        assert answered(next_start, command(attempt=2)) == ("done", 1)


def test_a_command_to_the_log_destroys_its_keys(tmp_path: Path) -> None:
    """Without a vault the command is not reported as done."""
    message = command("bus", valid_until=NOW, epoch=0, seq=1, issued_at=NOW, subject="consumer:K1")
    message["records"] = [
        {"source": "/orders", "id": "order-O1", "type": "orders.order-placed", "keys": {}}
    ]
    with (
        a_vault(tmp_path) as vault,
        closing(SimulatedSystems(policy=policy(), directory=tmp_path)) as systems,
    ):
        sealed = vault.encrypted(order())
        assert answered(systems, message) == ("failed", 0)
        systems.shredder = vault.shredder
        assert answered(systems, message) == ("done", 1)
        assert not vault.reveal(sealed)["consumer_name"]


def test_events_of_two_types_with_one_identity_are_different(systems: SimulatedSystems) -> None:
    """An identity is unique in its topic, so a command names the type as well."""
    other = [{"type": "helpdesk.remote-access-granted", "source": "/helpdesk", "id": "k1"}]
    assert answered(systems, command(records=other)) == ("nothing_held", 0)
    assert answered(systems, command(command_id="c2")) == ("done", 1)
