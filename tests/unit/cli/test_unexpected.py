"""A fault in Termijn itself is also one line, which names the file with the details."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from services.app.cli import explain
from tests.contract.event_builders import feedback
from tests.unit.cli.conftest import Call, Write

SECRET = "visitor:jane"


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, events: Write) -> Path:
    """A file of events on which `explain` fails by a fault of its own."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError(SECRET)

    monkeypatch.setattr(explain, "explain_events", fail)
    return events([feedback("f1", "2024-03-15T13:00:00Z")])


def test_an_unexpected_error_is_one_line_with_its_own_exit_code(
    termijn: Call, broken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its details may be personal: only a private file of the user has them."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    outcome = termijn("explain", broken)
    assert (outcome.code, outcome.out) == (70, "")
    [line] = outcome.err.splitlines()
    assert line.startswith("termijn: explain: an unexpected error (ZeroDivisionError), which is")
    assert SECRET not in line
    report_path = re.search(r"\S*/termijn-\S+\.txt", line)
    assert report_path
    details = Path(report_path.group())
    assert SECRET in details.read_text("utf-8")
    assert stat.S_IMODE(details.stat().st_mode) == 0o600


def test_an_unexpected_error_without_a_writable_directory_is_one_line(
    termijn: Call, broken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container may have a read-only file system."""
    monkeypatch.setattr("tempfile.tempdir", "/proc/absent")
    outcome = termijn("explain", broken)
    assert outcome.code == 70
    [line] = outcome.err.splitlines()
    assert line.endswith("`termijn --debug` shows the traceback")


def test_with_debug_an_unexpected_error_is_shown_whole(termijn: Call, broken: Path) -> None:
    """An operator who asks for the traceback gets all of it."""
    with pytest.raises(ZeroDivisionError):
        termijn("--debug", "explain", broken)
