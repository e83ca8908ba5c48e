"""A process that keeps nothing in the ledger takes the active policy where there is one."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.app import settings_loader
from services.app.wiring.resources import open_resources
from services.ledger import active_policy, migrate
from services.policy.loader import load_text
from services.storage.database import open_database
from tests.unit.policy.small import SMALL, replaced

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory, and a policy file."""
    (tmp_path / "policy.yaml").write_text(SMALL, "utf-8")
    monkeypatch.setenv("TERMIJN_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TERMIJN_POLICY", str(tmp_path / "policy.yaml"))
    return tmp_path


def version_in_force() -> str:
    """The version that `sample-systems` and `watch` take."""
    with open_resources(settings_loader.load()) as opened:
        return opened.policy_in_force().version


def test_without_a_ledger_it_is_the_file_and_no_ledger_is_made(directory: Path) -> None:
    """A watch on a machine of its own has Kafka alone."""
    assert version_in_force() == "1"
    assert not (directory / "data" / "ledger.sqlite").exists()


def test_in_an_empty_ledger_it_is_the_file(directory: Path) -> None:
    """Whether the ledger has its tables or not."""
    file = directory / "data" / "ledger.sqlite"
    file.parent.mkdir()
    file.touch()
    assert version_in_force() == "1"
    with closing(open_database(f"sqlite:///{file}")) as ledger:
        migrate.create_schema(ledger)
    assert version_in_force() == "1"


def test_with_an_active_policy_the_file_does_not_count(directory: Path) -> None:
    """It may be an older one, or the next one that is not accepted yet."""
    file = directory / "data" / "ledger.sqlite"
    file.parent.mkdir()
    active = replace(load_text(SMALL, "small.yaml"), version="active")
    with closing(open_database(f"sqlite:///{file}")) as ledger:
        migrate.create_schema(ledger)
        ledger.run_in_transaction(lambda c: active_policy.require_active(c, active, NOW))
    next_one = replaced(SMALL, 'version: "1"', "version: next")
    (directory / "policy.yaml").write_text(next_one, "utf-8")
    assert version_in_force() == "active"
