"""Logs: one fact a line on stderr, in the configured format."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import structlog

from services.kafka.trace_context import trace_of_command
from services.operations import logs


@pytest.fixture(autouse=True)
def _unconfigured() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_json_logs_are_one_object_a_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """Each has role, level and a time in UTC; stdout is for the output of commands."""
    logs.configure("json")
    logs.logger("tagger").warning("parked a dead letter", topic="t", offset=3)
    out, err = capsys.readouterr()
    document = json.loads(err)
    assert out == ""
    assert err.count("\n") == 1
    assert document.pop("timestamp").endswith("Z")
    assert document == {
        "role": "tagger",
        "event": "parked a dead letter",
        "level": "warning",
        "topic": "t",
        "offset": 3,
    }


def test_a_line_break_in_a_field_makes_no_second_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Input cannot forge a log line."""
    logs.configure("json")
    logs.logger("tagger").info("stopped", why='x\n{"event": "forged"}')
    assert capsys.readouterr().err.count("\n") == 1


def test_logs_are_json_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Unless a format is set: logs that are collected are read by machines."""
    logs.configure("auto")
    logs.logger("tagger").info("applied a batch", messages=1)
    [line] = capsys.readouterr().err.splitlines()
    assert json.loads(line)["messages"] == 1


def test_console_logs_have_no_colours_without_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A file or a pipe gets plain text."""
    logs.configure("console")
    logs.logger("recorder").info("applied a batch", messages=3)
    output = capsys.readouterr().err
    assert "applied a batch" in output
    assert "messages=3" in output
    assert "\x1b" not in output


def test_lines_below_info_are_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each answer of each system would hide the others."""
    logs.configure("json")
    logs.logger("acknowledgements").debug("applied an acknowledgement")
    assert capsys.readouterr().err == ""


def test_log_lines_about_a_command_have_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    """The trace follows from the command's id, so all roles log the same."""
    command = "6f1c2a34-0000-5000-8000-000000000001"
    logs.configure("json")
    logs.logger("deleter").error("escalated a command", system="crm", command=command)
    output = json.loads(capsys.readouterr().err)
    assert (output["command"], output["trace"]) == (command, trace_of_command(command).trace_id)
