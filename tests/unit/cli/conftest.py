"""Calling `termijn` in this process, as `python -m services.app.cli` does."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from services.app.cli import main
from services.policy import loader

_LOADS = cache(
    loader.load_text
)  # a text always gives the same policy; reading it takes 0.1 seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a command printed and how it ended."""

    out: str
    err: str
    code: int

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The lines of `--json`."""
        assert (self.code, self.err) == (0, "")
        return [json.loads(line) for line in self.out.splitlines()]


Call = Callable[..., Outcome]
Write = Callable[..., Path]


@pytest.fixture
def termijn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Call:
    """Calls `termijn` with some arguments, in a folder of its own and with no setting set."""
    for name in list(os.environ):
        if name.startswith(("TERMIJN_", "KAFKA_", "SCHEMA_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loader, "load_text", _LOADS)

    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["termijn", *map(str, arguments)])
        code: int | str | None = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        out, err = capsys.readouterr()
        return Outcome(out=out, err=err, code=code if isinstance(code, int) else int(bool(code)))

    return call


@pytest.fixture
def events(tmp_path: Path) -> Write:
    """Writes a file of events: objects as JSON, text as it is."""

    def write(lines: Iterable[dict[str, Any] | str], name: str = "events.jsonl") -> Path:
        path = tmp_path / name
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path.write_text("".join(text + "\n" for text in texts), "utf-8")
        return path

    return write
