"""Files that Termijn makes can be read only by the user that it runs as."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from services.agent.simulated.store import SimulatedStore
from services.app import settings_loader
from services.app.process_tree import ProcessTree
from services.crypto.data_keys import open_vault
from services.storage.database import Database, open_database
from services.storage.single_instance import deleter_lock, inbox_lock


@pytest.fixture(autouse=True)
def generous() -> Iterator[None]:
    """A machine on which files are everybody's unless somebody minds."""
    before = os.umask(0)
    yield
    os.umask(before)


def modes(directory: Path) -> dict[str, str]:
    """The mode of every file in a directory."""
    return {path.name: oct(path.stat().st_mode & 0o777) for path in directory.iterdir()}


@pytest.mark.parametrize("opening", [open_database, open_vault])
def test_a_sqlite_database_and_its_journal_files_are_private(
    tmp_path: Path, opening: Callable[[str], Database]
) -> None:
    """The ledger, the vault, and every inbox."""
    with (
        closing(opening(f"sqlite:///{tmp_path / 'x.sqlite'}")) as ledger,
        deleter_lock(ledger),
        inbox_lock(ledger),
        ledger.transaction() as connection,
    ):
        connection.execute(text("CREATE TABLE a (b text)"))
        assert modes(tmp_path) == {
            "x.sqlite": "0o600",
            "x.sqlite-wal": "0o600",
            "x.sqlite-shm": "0o600",
            "x.sqlite.deleter": "0o600",
            "x.sqlite.agent": "0o600",
        }


def test_an_existing_database_keeps_its_file_mode(tmp_path: Path) -> None:
    """It may be readable for a group on purpose."""
    file = tmp_path / "x.sqlite"
    create_engine(f"sqlite:///{file}").connect().close()
    file.touch(mode=0o640)
    file.chmod(0o640)
    with closing(open_database(f"sqlite:///{file}")) as ledger, ledger.transaction():
        assert modes(tmp_path)["x.sqlite"] == "0o640"


def test_the_store_of_a_sample_system_is_private(tmp_path: Path) -> None:
    """It contains what a real system would."""
    SimulatedStore(tmp_path / "crm.sqlite")
    assert modes(tmp_path)["crm.sqlite"] == "0o600"


def test_the_log_of_a_role_is_private(tmp_path: Path) -> None:
    """The role may write anything to it."""
    environment = settings_loader.environment() | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with ProcessTree(tmp_path, environment) as tree:
        tree.start("status")
    assert modes(tmp_path) == {"status.log": "0o600"}
