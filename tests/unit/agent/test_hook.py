"""The hook: what it gets, what it may answer, and what its silence means."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.agent import config
from services.agent.adapters.base import CommandTask
from services.agent.adapters.hook import HookAdapter
from services.agent.result import InvalidResult, Result, RetryLater
from tests.patience import Patience
from tests.unit.agent.environment import T0, command, record

EXAMPLE = Path(config.__file__).parent / "examples" / "hook"


def hook(tmp_path: Path, body: str, timeout_seconds: float = 20.0) -> HookAdapter:
    """Return a hook in Python with the command in `told`, and without the agent's environment."""
    script = tmp_path / "hook.py"
    script.write_text(f"import json, os, sys, time\ntold = json.load(sys.stdin)\n{body}\n", "utf-8")
    return HookAdapter(
        command=(sys.executable, "hook.py"),
        directory=tmp_path,
        timeout_seconds=timeout_seconds,
        environment={"GIVEN": "yes"},
    )


def task(**further: Any) -> CommandTask:
    fields: dict[str, Any] = {"command": command(), "run": 1, "checkpoint": None, "now": T0}
    return CommandTask(save_checkpoint=lambda _: None, **{**fields, **further})


def test_a_hook_gets_the_command_and_gives_its_result(tmp_path: Path) -> None:
    """Both are JSON, and the hook runs in the directory of the file that names it."""
    adapter = hook(
        tmp_path,
        "(open('told.json', 'w')).write(json.dumps(told))\n"
        "print(json.dumps({'status': 'done', 'counts': {'files': 2}, 'detail': 'moved'}))",
    )
    assert adapter.execute(task(run=2)) == Result(
        status="done", counts={"files": 2}, detail="moved"
    )
    document = json.loads((tmp_path / "told.json").read_text("utf-8"))
    assert (document["run"], document["command"]["subject"]) == (2, "customer:C1")
    assert document["command"]["valid_until"] == "2026-03-22T13:00:00Z"
    assert document["command"]["records"][0]["keys"] == {"order_id": "O1"}


def test_a_hook_gets_only_the_environment_that_is_configured(tmp_path: Path) -> None:
    """It gets the command's trace, and none of the agent's own secrets."""
    adapter = hook(
        tmp_path,
        "counts = {name: 1 for name in os.environ if not name.startswith(('LC_', '__'))}\n"
        "print(json.dumps({'status': 'done', 'counts': counts}))",
    )
    result = adapter.execute(task())
    assert result.counts == {"GIVEN": 1, "TRACEPARENT": 1}


@pytest.mark.parametrize("code", [75, 1, 127])
def test_a_hook_that_exits_with_an_error_is_tried_again(tmp_path: Path, code: int) -> None:
    """What it wrote before does not count."""
    adapter = hook(tmp_path, f'print(\'{{"status": "done"}}\'); sys.exit({code})')
    with pytest.raises(RetryLater):
        adapter.execute(task())


def test_a_hook_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    """Its child does not outlive it either."""
    child = "import time; time.sleep(1.2); open('late', 'w')"
    adapter = hook(
        tmp_path,
        f"import subprocess\nsubprocess.Popen([sys.executable, '-c', {child!r}])\ntime.sleep(60)",
        timeout_seconds=0.8,
    )
    with pytest.raises(RetryLater, match=r"did not end within 0\.8 s"):
        adapter.execute(task())
    time.sleep(1.0)
    assert not (tmp_path / "late").exists()


BACKGROUND = (
    "import subprocess\n"
    'child = \'import time; time.sleep(6); open("late", "w")\'\n'
    "subprocess.Popen([sys.executable, '-c', child], start_new_session={})\n"
    'print(\'{{"status": "done"}}\')'
)


@pytest.mark.parametrize("leaves", [False, True])
def test_a_hook_ends_when_its_program_ends(tmp_path: Path, leaves: bool) -> None:
    """A child that still has its output delays nothing; it is killed, unless it has left the group."""
    adapter = hook(tmp_path, BACKGROUND.format(leaves), timeout_seconds=5)
    patience = Patience(5)
    assert adapter.execute(task()) == Result(status="done")
    assert not patience.is_over
    time.sleep(7)
    assert (tmp_path / "late").exists() == leaves


def test_a_hook_that_writes_without_end_is_ended(tmp_path: Path) -> None:
    """It is killed at the size limit of a result, before its time or the memory is used up."""
    adapter = hook(tmp_path, "while True: sys.stdout.write('x' * 65536)", timeout_seconds=60)
    with pytest.raises(InvalidResult, match="more than 16777216 bytes"):
        adapter.execute(task())


def test_a_hook_need_not_read_its_command(tmp_path: Path) -> None:
    """A long command does not stop a hook that answers without reading it."""
    many = command(records=tuple(record("O" * 500) for _ in range(400)))
    script = tmp_path / "deaf.sh"
    script.write_text('echo \'{"status": "nothing_held"}\'\n', "utf-8")
    adapter = HookAdapter(
        command=("/bin/sh", "deaf.sh"), directory=tmp_path, timeout_seconds=20, environment={}
    )
    assert adapter.execute(task(command=many)).status == "nothing_held"


def test_a_long_result_and_a_long_command_pass_each_other(tmp_path: Path) -> None:
    """Reading and writing do not wait for each other."""
    many = command(action="disclose", records=tuple(record("O" * 500) for _ in range(400)))
    adapter = hook(
        tmp_path,
        "record = {'type': 't', 'id': '1', 'data': {'x': 'y' * 3_000_000}}\n"
        "print(json.dumps({'status': 'done', 'records': [record]}))\n"
        "open('told.json', 'w').write(json.dumps(told))",
    )
    [returned] = adapter.execute(task(command=many)).records
    assert len(returned.data["x"]) == 3_000_000
    document = json.loads((tmp_path / "told.json").read_text("utf-8"))
    assert len(document["command"]["records"]) == 400


def test_a_missing_hook_is_tried_again(tmp_path: Path) -> None:
    """It may be being installed."""
    adapter = HookAdapter(
        command=("./nothing",), directory=tmp_path, timeout_seconds=1, environment={}
    )
    with pytest.raises(RetryLater, match="FileNotFoundError"):
        adapter.execute(task())


@pytest.mark.parametrize(
    "output",
    [
        "",
        "done",
        "[]",
        '{"status": "erased"}',
        '{"status": "done", "rows": 1}',
        '{"status": "done", "counts": {"rows": -1}}',
        '{"status": "done", "counts": {"rows": true}}',
        '{"status": "recalled"}',
        '{"status": "done", "records": [{"type": "t", "id": "1", "data": {}}]}',
        '{"status": "done", "detail": "two\\nlines"}',
        json.dumps({"status": "done", "counts": {f"k{n}": 1 for n in range(1_001)}}),
        json.dumps({"status": "done", "counts": {"k" * 513: 1}}),
        '{"status": "done", "counts": {"": 1}}',
        '{"status": "done", "counts": {"a\\u0000": 1}}',
        '{"status": "done", "counts": {"\\ud800": 1}}',
        "[" * 100_000,
    ],
)
def test_an_invalid_result_is_refused_without_showing_it(tmp_path: Path, output: str) -> None:
    """Nothing is guessed, and nothing of it is passed on."""
    adapter = hook(tmp_path, f"sys.stdout.write({output!r})")
    with pytest.raises(InvalidResult) as raised:
        adapter.execute(task())
    assert "two" not in str(raised.value)


def test_the_example_hook_erases_files_and_verifies(tmp_path: Path) -> None:
    """A file for each order, under its number; unknown actions are refused."""
    letters = tmp_path / "letters"
    letters.mkdir()
    for name in ("O1.txt", "O2.txt", "passwd"):
        (letters / name).write_text("Sanne", "utf-8")
    adapter = HookAdapter(
        command=(sys.executable, str(EXAMPLE / "letters.py")),
        directory=tmp_path,
        timeout_seconds=20,
        environment={"LETTERS": str(letters)},
    )
    verify = command("v", action="verify", verifies="erase")
    assert adapter.execute(task(command=verify)).counts == {"letters": 1}
    result = adapter.execute(task(command=command(action="disclose")))
    assert [dict(record.data) for record in result.records] == [{"letter": "Sanne"}]
    assert adapter.execute(task()).status == "done"
    assert adapter.execute(task()).status == "nothing_held"
    assert adapter.execute(task(command=verify)).counts == {"letters": 0}
    escaping = command(records=(record("../letters/O2"), record("/etc/passwd")))
    assert adapter.execute(task(command=escaping)).status == "failed"
    assert sorted(path.name for path in letters.iterdir()) == ["O2.txt", "passwd"]


def letters(tmp_path: Path, **texts: str) -> tuple[HookAdapter, Path]:
    """The example's hook, with these letters."""
    directory = tmp_path / "letters"
    directory.mkdir()
    for name, text in texts.items():
        (directory / f"{name}.txt").write_text(text, "utf-8")
    adapter = HookAdapter(
        command=(sys.executable, str(EXAMPLE / "letters.py")),
        directory=tmp_path,
        timeout_seconds=20,
        environment={"LETTERS": str(directory)},
    )
    return adapter, directory


def test_records_of_two_sources_with_one_id_are_different_letters(tmp_path: Path) -> None:
    """An id is unique within its source."""
    adapter, directory = letters(tmp_path, O1="Sanne", O2="Piet")
    both = (record("O1"), replace(record("O2"), source="/till", id=record("O1").id))
    assert adapter.execute(task(command=command(records=both))).counts == {"letters": 2}
    assert list(directory.iterdir()) == []


def test_verification_finds_a_letter_that_was_filed_under_another_name(
    tmp_path: Path,
) -> None:
    """It is searched by its content, and not where the erasure looks."""
    adapter, directory = letters(tmp_path, O1="Sanne")
    (directory / "2026").mkdir()
    (directory / "2026" / "a copy.txt").write_text("Order O1\nSanne", "utf-8")
    assert adapter.execute(task()).counts == {"letters": 1}
    verify = command(action="verify", verifies="erase")
    assert adapter.execute(task(command=verify)).counts == {"letters": 1}
