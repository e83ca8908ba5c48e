"""The process tree: children that exit are reported, and none outlives the block."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from time import sleep

import pytest

from services.app import settings_loader
from services.app.process_tree import ProcessTree, RoleExited
from tests.patience import Patience

ROOT = Path(__file__).parents[3]
# Instead of `termijn`: a role that does what its name states.
ROLES = """
import signal, sys, time
match sys.argv[1]:
    case "dies":
        print("first words", flush=True)
        print("last words", file=sys.stderr, flush=True)
        sys.exit(3)
    case "dies-silently":
        sys.exit(4)
    case "obedient":
        signal.signal(signal.SIGTERM, lambda *_: (print("ended in order", flush=True), sys.exit(0)))
    case "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", *sys.argv[2:], flush=True)
time.sleep(60)
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which `python -m services.app.cli` is the program above."""
    instead = tmp_path / "instead"
    package = instead / "services" / "app"
    package.mkdir(parents=True)
    for each in (package.parent, package):
        (each / "__init__.py").touch()
    (package / "cli.py").write_text(ROLES, "utf-8")
    return settings_loader.environment() | {"PYTHONPATH": str(instead), "PYTHONSAFEPATH": "1"}


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Return the directory of the children's logs."""
    return tmp_path / "logs"


def until_ready(log: Path) -> None:
    """Wait until a child runs."""
    patience = Patience(10)
    while "ready" not in (log.read_text() if log.exists() else ""):
        assert not patience.is_over
        sleep(0.01)


def checked_until_it_fails(tree: ProcessTree) -> RoleExited:
    """Return the error of the first check that finds a dead child."""
    patience = Patience(10)
    while not patience.is_over:
        try:
            tree.check()
        except RoleExited as ended:
            return ended
        sleep(0.01)
    raise AssertionError("nobody missed the child")


def pids(tree: ProcessTree) -> list[int]:
    """The children's process ids."""
    return [child.process.pid for child in tree._children]


def is_there(pid: int) -> bool:
    """Return whether a process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_child_that_dies_is_reported_with_its_last_lines(
    logs: Path, environment: dict[str, str]
) -> None:
    """The operator sees the cause without opening a file."""
    with ProcessTree(logs, environment) as tree:
        tree.start("dies")
        ended = checked_until_it_fails(tree)
    assert str(ended) == "dies exited with code 3: last words"
    assert (ended.role, ended.code) == ("dies", 3)


def test_a_child_that_dies_silently_is_reported_too(
    logs: Path, environment: dict[str, str]
) -> None:
    """The message is never empty."""
    with ProcessTree(logs, environment) as tree:
        tree.start("dies-silently")
        assert str(checked_until_it_fails(tree)).endswith("exited with code 4: it logged nothing")


def test_a_child_that_is_killed_is_reported_with_its_signal(
    logs: Path, environment: dict[str, str]
) -> None:
    """The kernel kills a process this way when memory runs out."""
    with ProcessTree(logs, environment) as tree:
        tree.start("obedient")
        until_ready(logs / "obedient.log")
        os.kill(pids(tree)[0], signal.SIGKILL)
        assert checked_until_it_fails(tree).code == -signal.SIGKILL


def test_children_end_in_order_with_the_block(logs: Path, environment: dict[str, str]) -> None:
    """They get a signal, and may finish their work."""
    with ProcessTree(logs, environment) as tree:
        tree.start("obedient")
        until_ready(logs / "obedient.log")
        tree.check()
        [pid] = pids(tree)
    assert not is_there(pid)
    assert (logs / "obedient.log").read_text("utf-8") == "ready\nended in order\n"


def test_children_end_when_the_block_fails(logs: Path, environment: dict[str, str]) -> None:
    """They end whatever the failure was."""
    identifiers: list[int] = []

    def fail() -> None:
        with ProcessTree(logs, environment) as tree:
            tree.start("obedient")
            identifiers.extend(pids(tree))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not is_there(identifiers[0])


def test_a_child_that_ignores_the_signal_is_killed(
    logs: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while; the others have ended by then."""
    monkeypatch.setattr("services.app.process_tree._EXIT_TIMEOUT", 0.2)
    with ProcessTree(logs, environment) as tree:
        tree.start("stubborn")
        tree.start("obedient")
        until_ready(logs / "stubborn.log")
        until_ready(logs / "obedient.log")
        identifiers = pids(tree)
    assert [is_there(pid) for pid in identifiers] == [False, False]
    assert (logs / "obedient.log").read_text("utf-8").endswith("ended in order\n")


def test_a_child_gets_its_arguments_and_has_a_log_of_its_own(
    logs: Path, environment: dict[str, str]
) -> None:
    """An existing log is not lost."""
    logs.mkdir()
    (logs / "obedient.log").write_text("yesterday\n", "utf-8")
    with ProcessTree(logs, environment) as tree:
        tree.start("obedient", "--one", "two")
        assert list(tree.roles()) == ["obedient"]
        until_ready(logs / "obedient.log")
    text = (logs / "obedient.log").read_text("utf-8")
    assert text.startswith("yesterday\nready --one two\n")


def test_no_child_outlives_a_parent_that_is_killed(logs: Path, environment: dict[str, str]) -> None:
    """A deleter that outlived its parent would keep the ledger's lock, and the next start would refuse."""
    parent = f"""
import os, signal, time
from pathlib import Path
from services.app.process_tree import ProcessTree
with ProcessTree(Path({str(logs)!r}), {environment!r}) as tree:
    tree.start("obedient")
    log = Path({str(logs / "obedient.log")!r})
    while "ready" not in log.read_text():
        time.sleep(0.01)
    print(tree._children[0].process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    completed = subprocess.run(
        [sys.executable, "-c", parent],
        env=settings_loader.environment() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    child = int(completed.stdout)
    try:
        patience = Patience(3)
        while is_there(child) and not patience.is_over:
            sleep(0.02)
        assert not is_there(child)
    finally:
        if is_there(child):
            os.kill(child, signal.SIGKILL)
