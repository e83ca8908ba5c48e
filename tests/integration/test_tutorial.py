"""The tutorial: its files are written as they stand, and each of its commands is given, in one shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "services" / "policy" / "TUTORIAL.md"
SECONDS = 240
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"`([\w.]+)`")
_MARK = "@@@ end of a command"


def parts() -> Iterator[tuple[str, str, str]]:
    """Return the page's blocks: the language, the last file named before it, and the content."""
    text = PAGE.read_text("utf-8")
    for block in _BLOCK.finditer(text):
        before = text[: block.start()].rpartition("```")[2]
        yield block[1], (_FILE.findall(before) or [""])[-1], block[2]


def test_the_tutorial_ends_with_an_erased_row(tmp_path: Path) -> None:
    """Where a command's output is on the page, it is the output."""
    script, expected = ["set -e", "trap 'kill $(cat *.pid) 2> /dev/null || true' EXIT"], []
    for language, file, content in parts():
        if language:
            (tmp_path / file).write_text(content, "utf-8")
            continue
        for call in re.split(r"^\$ ", content, flags=re.MULTILINE)[1:]:
            line, _, output = call.partition("\n")
            script += [line, f"echo '{_MARK}'"]
            expected.append((line, output))
    printed = run("\n".join(script), tmp_path).split(f"{_MARK}\n")[:-1]
    assert len(printed) == len(expected)
    for (line, output), got in zip(expected, printed, strict=True):
        if output:
            assert [row.rstrip() for row in got.splitlines()] == output.splitlines(), line


def run(script: str, directory: Path) -> str:
    """Run a script in a shell of its own, with this environment's `termijn` and no setting."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TERMIJN_", "KAFKA_", "SCHEMA_"))
    }
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    completed = subprocess.run(
        ["bash", "-c", script],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    logs = "".join(path.read_text("utf-8") for path in directory.glob("*.log"))
    assert completed.returncode == 0, (completed.stdout[-2000:], completed.stderr, logs[-4000:])
    return completed.stdout


@pytest.mark.parametrize("file", ["orders.jsonl", "cases.yaml", "shop.py", "agent.yaml"])
def test_each_file_of_the_tutorial_is_on_the_page(file: str) -> None:
    """By the last name before its block."""
    assert [name for language, name, _ in parts() if language and name == file] == [file]
