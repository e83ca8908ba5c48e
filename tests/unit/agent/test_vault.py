"""The vault adapter: erasing the log by its keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.agent.adapters.base import CommandTask
from services.agent.adapters.factory import vault_adapter
from services.agent.adapters.vault import VaultAdapter
from services.agent.config import InvalidConfiguration, load
from services.agent.result import Result, RetryLater
from services.policy.ids import event_id, old_event_id
from tests.unit.agent.environment import T0, command, record
from tests.unit.crypto.stage import Vault, a_vault

O1, O2 = (event_id("orders.order-placed", "/shop", f"e-{name}") for name in ("O1", "O2"))
FILE = """\
system: bus
bus: {bootstrap_servers: "kafka:9092"}
keys: keys
inbox: {url: "sqlite:///inbox.sqlite", key_file: inbox.key}
adapter:
  vault: {url: "sqlite:///vault.sqlite", encrypted_since: 2026-01-01T00:00:00Z}
"""


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    """A vault with the keys of two orders, in both systems."""
    with a_vault(tmp_path) as vault:
        vault.keys.get_or_create(
            [(order_id, name) for order_id in (O1, O2) for name in ("bus", "bus-books")], T0
        )
        yield vault


def execute(
    vault: Vault, action: str = "erase", *, recalls: str | None = None, **fields: Any
) -> Result:
    """Return the result of the adapter of `bus` for a command."""
    adapter = VaultAdapter(shredder=vault.shredder, system="bus", **fields.pop("adapter", {}))
    message = command(system="bus", action=action, **fields)
    task = CommandTask(
        command=message,
        run=1,
        checkpoint=None,
        save_checkpoint=lambda _: None,
        now=T0,
        recalls=recalls,
    )
    return adapter.execute(task)


def test_an_erasure_destroys_the_named_keys_of_its_own_system(vault: Vault) -> None:
    """A second time has the same result."""
    assert (
        execute(vault)
        == execute(vault)
        == Result(status="done", counts={"keys": 1}, checked={"keys": 0})
    )
    assert vault.shredder.count_active([O1, O2], "bus") == 1
    assert vault.shredder.count_active([O1, O2], "bus-books") == 2


def test_a_verification_counts_the_keys_that_are_left(vault: Vault) -> None:
    """It counts keys of the named records only."""
    both = (record("O1"), record("O2"))
    execute(vault)
    assert execute(vault, "verify").counts == {"keys": 0}
    assert execute(vault, "verify", records=both) == Result(status="done", counts={"keys": 1})


def test_an_event_that_was_published_unencrypted_is_reported(vault: Vault) -> None:
    """Its publisher does not encrypt, and the log still has it."""
    never = execute(vault, records=(record("O3"),))
    assert never == Result(status="nothing_held", counts={"keys": 0, "published in clear": 1})
    some = execute(vault, records=(record("O1"), record("O4")))
    assert some == Result(
        status="done", counts={"keys": 1, "published in clear": 1}, checked={"keys": 0}
    )


def test_events_from_before_encryption_are_not_reported(vault: Vault) -> None:
    """Retention has deleted them from the topics."""
    before = {"encrypted_since": T0 - timedelta(days=29)}
    after = {"encrypted_since": T0 - timedelta(days=31)}
    old = (record("O5"),)
    assert execute(vault, records=old, adapter=before).status == "done"
    timeless = (replace(record("O6"), time=None),)
    assert execute(vault, records=timeless, adapter=before).status == "nothing_held"
    mixed = (replace(record("O8"), time=T0), record("O9"))
    assert execute(vault, records=mixed, adapter=before).status == "nothing_held"
    assert execute(vault, records=(record("O7"),), adapter=after).status == "nothing_held"


@pytest.mark.parametrize("action", ["restrict", "lift", "disclose", "rectify"])
def test_the_vault_adapter_carries_out_erasures_only(vault: Vault, action: str) -> None:
    """Readers of the log get their own commands; no key is touched."""
    answer = execute(vault, action)
    assert (answer.status, answer.counts, answer.records) == ("done", {"keys": 0}, ())
    assert vault.shredder.count_active([O1], "bus") == 1


def test_a_log_is_never_pseudonymised(vault: Vault) -> None:
    """The policy's check refuses to ask for it."""
    assert execute(vault, "pseudonymise").status == "failed"


def test_a_recall_does_not_restore_a_destroyed_key(vault: Vault) -> None:
    """An existing key is recalled in time; what was not an erasure has done nothing."""
    assert execute(vault, "recall", recalls="erase").status == "recalled"
    execute(vault)
    assert execute(vault, "recall", recalls="erase").status == "already_done"
    assert execute(vault, "recall", recalls="restrict").status == "recalled"


def test_an_unreachable_vault_is_tried_again(vault: Vault) -> None:
    """The outcome is not known."""
    with vault.keys.database.transaction() as connection:
        connection.exec_driver_sql("DROP TABLE data_key")
    with pytest.raises(RetryLater, match=r"vault: cannot be read \(OperationalError\)"):
        execute(vault)


def test_the_agent_opens_the_vault_that_is_configured(tmp_path: Path) -> None:
    """The table is made if it is missing; no master key is needed."""
    file = tmp_path / "agent.yaml"
    file.write_text(FILE)
    with ExitStack() as stack:
        adapter = vault_adapter(load(file, {}), stack)
        assert adapter.system == "bus"
        assert adapter.shredder.count_active([O1], "bus") == 0
    assert (tmp_path / "vault.sqlite").exists()


def test_a_time_without_an_offset_is_refused(tmp_path: Path) -> None:
    """Its midnight would be ambiguous."""
    file = tmp_path / "agent.yaml"
    file.write_text(FILE.replace("2026-01-01T00:00:00Z", '"2026-01-01T00:00:00"'))
    with pytest.raises(
        InvalidConfiguration, match=r"6: adapter\.vault\.encrypted_since: must be an instant"
    ):
        load(file, {})


def test_a_key_from_before_identities_had_topics_is_destroyed(tmp_path: Path) -> None:
    """Older keys are found by the identity over all topics; newer ones by that of their topic."""
    old = old_event_id("/shop", "e-O1")
    other = event_id("website.feedback-given", "/shop", "e-O2")
    with a_vault(tmp_path) as vault:
        vault.keys.get_or_create([(old, "bus"), (O2, "bus"), (other, "bus")], T0)
        records = (record("O1"), record("O2"))
        assert execute(vault, records=records) == Result(
            status="done", counts={"keys": 2}, checked={"keys": 0}
        )
        assert execute(vault, "verify", records=records).counts == {"keys": 0}
        assert vault.shredder.count_active([old, O2, other], "bus") == 1
