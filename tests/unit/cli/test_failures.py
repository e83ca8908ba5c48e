"""Every failure is one clear line on stderr and exit code 1, and nothing on stdout."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.event_builders import event, feedback
from tests.unit.cli.conftest import Call, Outcome, Write

GOOD = feedback("f1", "2024-03-15T13:00:00Z")
UNTIL = ("--until", "2030-01-01T00:00:00Z")


def error_line(outcome: Outcome) -> str:
    """Return the one line that a failed command prints."""
    assert outcome.out == ""
    assert outcome.code == 1
    [line] = outcome.err.splitlines()
    return line


def without(key: str) -> dict[str, Any]:
    """A good event that lacks one key."""
    return {name: value for name, value in GOOD.items() if name != key}


@pytest.mark.parametrize(
    ("bad", "key"),
    [
        ("{", "json: is not JSON"),
        ("[]", "json: is not an object"),
        (without("id"), "id: is missing"),
        (without("source"), "source: is missing"),
        (without("type"), "type: is missing"),
        (without("time"), "time: is missing"),
        (without("data"), "data: is missing"),
        ({**GOOD, "id": 1}, "id: is not a string"),
        ({**GOOD, "data": []}, "data: is not an object"),
        ({**GOOD, "specversion": "0.3"}, "specversion: is not 1.0"),
        ({**GOOD, "time": "2024-03-15T13:00:00"}, "time: is not an RFC 3339 instant"),
        ({**GOOD, "time": "2024-02-30T13:00:00Z"}, "time: is not an instant that exists"),
        (
            feedback("old", "1899-12-31T23:59:59Z"),
            "time: 1899-12-31T23:59:59+00:00 is not a possible time",
        ),
        (
            event("x", "website.feedback-taken", "2024-03-15T13:00:00Z"),
            "type: the policy does not define",
        ),
        (event("x", "website.feedback-given", "2024-03-15T13:00:00Z"), "visitor_id: is missing"),
        (
            event("x", "website.feedback-given", "2024-03-15T13:00:00Z", visitor_id="1"),
            "feedback_id: is missing",
        ),
        (
            event(
                "x",
                "recruitment.application-received",
                "2024-03-15T13:00:00Z",
                application_id="1",
                applicant_id="1",
                keep_consent="yes",
            ),
            "keep_consent: is not a value of type boolean",
        ),
        (feedback("f1", "2024-03-15T13:00:01Z"), "id: is also the id of another event"),
    ],
)
def test_a_bad_line_is_reported_with_file_line_and_key(
    termijn: Call, events: Write, bad: Any, key: str
) -> None:
    """The third line of the file; the second is empty."""
    file = events([GOOD, "", bad])
    assert error_line(termijn("explain", file, "--json")).startswith(f"termijn: {file}:3: {key}")


def test_simulate_reports_a_bad_line_too(termijn: Call, events: Write) -> None:
    """Before any command is printed."""
    file = events([GOOD, "", "{"])
    line = error_line(termijn("simulate", file, "--json", *UNTIL))
    assert line.startswith(f"termijn: {file}:3: json: is not JSON")


@pytest.mark.parametrize(
    "command", [("explain",), ("simulate", *UNTIL)], ids=lambda argument: argument[0]
)
def test_a_file_that_cannot_be_read_is_reported(
    termijn: Call, tmp_path: Any, command: tuple[str, ...]
) -> None:
    """A missing file, a folder, and a file that is not text."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\n")
    for name in ("absent", ".", "binary"):
        line = error_line(termijn(command[0], tmp_path / name, *command[1:]))
        assert str(tmp_path / name) in line


@pytest.mark.parametrize(
    "arguments",
    [
        ("--until", "tomorrow"),
        ("--until", "2030-01-01T00:00:00"),
        ("--until", "2030-02-30T00:00:00Z"),
        ("--until", ""),
        (),
    ],
    ids=" ".join,
)
def test_an_until_that_is_not_a_time_is_reported(
    termijn: Call, events: Write, arguments: tuple[str, ...]
) -> None:
    """The error is one line, without the usage of the command."""
    line = error_line(termijn("simulate", events([GOOD]), *arguments))
    assert "--until" in line


@pytest.mark.parametrize(
    "arguments",
    [
        ("explode",),
        ("explain",),
        ("explain", "a", "b"),
        ("explain", "a", "--jsn"),
        ("dead-letters", "replay", "not-an-id"),
        ("dead-letters", "discard", "--reason", "r"),
        ("sweep", "--now", "2030-01-01T00:00:00Z"),
        ("publish", "a", "--name", "n"),
        ("gaps", "accept", "tagger", "t", "zero", "--reason", "r"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_line(termijn: Call, arguments: tuple[str, ...]) -> None:
    """Like every other failure."""
    outcome = termijn(*arguments)
    assert outcome.code != 0
    assert len(outcome.err.splitlines()) == 1


def test_each_problem_of_a_policy_is_one_line(termijn: Call, events: Write, tmp_path: Any) -> None:
    """The line has file, line and key."""
    policy = tmp_path / "policy.yaml"
    policy.write_text("policy: mine\nversion: 1\n", "utf-8")
    outcome = termijn("explain", events([GOOD]), "--policy", policy)
    assert (outcome.code, outcome.out) == (1, "")
    assert all(str(policy) in line for line in outcome.err.splitlines())


def test_an_invalid_setting_is_reported(termijn: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is opened."""
    monkeypatch.setenv("TERMIJN_BATCH", "many")
    assert error_line(termijn("status")) == (
        "termijn: environment: TERMIJN_BATCH:"
        " must be a whole number from 1 to 1,000,000, got 'many'"
    )
    assert error_line(termijn("pause", "deleter", "--reason", "r")).startswith(
        "termijn: environment: "
    )


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "postgresql+psycopg://termijn:geheim@127.0.0.1:1/termijn",
        "postgresql+nodriver://127.0.0.1/termijn",
        "sqlite:////proc/absent/ledger.sqlite",
        "postgresql+psycopg://termijn:gehe@im-geheim@127.0.0.1:1/termijn",
        "postgresql+psycopg:termijn:geheim@127.0.0.1/termijn",
        "postgresql+psycopg://termijn@127.0.0.1:geheim/termijn",
        "postgresql+asyncpg://termijn:geheim@127.0.0.1/termijn",
        "mysql://termijn:geheim@127.0.0.1/termijn",
        "oracle://geheim",
        "geheim",
    ],
)
def test_a_ledger_that_cannot_be_opened_is_reported(
    termijn: Call, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """The error has no stack trace, and no password."""
    monkeypatch.setenv("TERMIJN_LEDGER_URL", url)
    line = error_line(termijn("status"))
    assert line.startswith("termijn: ")
    assert "geheim" not in line


def test_a_data_directory_that_cannot_be_made_is_reported(
    termijn: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong mount is a frequent cause."""
    monkeypatch.setenv("TERMIJN_DATA", "/proc/absent")
    assert "/proc/absent" in error_line(termijn("ledger", "migrate"))


def test_a_ledger_without_its_schema_is_reported(termijn: Call) -> None:
    """The line names the command that fixes it."""
    assert error_line(termijn("status")).endswith("run `termijn ledger migrate`")


def test_a_secret_is_not_listed(termijn: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret is nowhere in the output."""
    monkeypatch.setenv("TERMIJN_LEDGER_URL", "postgresql+psycopg://termijn:geheim@database/termijn")
    for arguments in (("settings",), ("settings", "--json")):
        outcome = termijn(*arguments)
        assert outcome.code == 0
        assert "geheim" not in outcome.out
        assert "(set)" in outcome.out


def test_a_byte_that_is_not_utf_8_is_reported_with_its_line(termijn: Call, tmp_path: Any) -> None:
    """A Latin-1 é in the second line; the position in the file would not help."""
    file = tmp_path / "latin.jsonl"
    file.write_bytes(json.dumps(GOOD).encode() + b'\n{"id": "caf\xe9"}\n')
    assert error_line(termijn("explain", file)) == (
        f"termijn: {file}:2: text: is not UTF-8 at byte 12 of the line; write the file in UTF-8"
    )


def test_a_byte_order_mark_is_ignored(termijn: Call, tmp_path: Any) -> None:
    """Editors of Windows write it."""
    file = tmp_path / "bom.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b"\r\n")
    assert len(termijn("explain", file, "--json").rows) == 1


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"id": "a", "id": "b"}', "json: has the key 'id' twice"),
        (
            '{"data": {"visitor_id": "a", "visitor_id": "b"}}',
            "json: has the key 'visitor_id' twice",
        ),
    ],
)
def test_a_key_that_occurs_twice_is_reported(
    termijn: Call, events: Write, line: str, why: str
) -> None:
    """Otherwise the last one would count, without a notice."""
    file = events([line])
    assert error_line(termijn("explain", file)) == f"termijn: {file}:1: {why}"


@pytest.mark.parametrize(
    "command", [("explain",), ("publish", "--dry-run")], ids=lambda argument: argument[0]
)
def test_a_leap_second_is_reported(termijn: Call, events: Write, command: tuple[str, ...]) -> None:
    """RFC 3339 allows it, and no database does."""
    file = events([{**GOOD, "time": "2016-12-31T23:59:60Z"}])
    outcome = termijn(command[0], file, *command[1:])
    assert outcome.code == 1
    assert "time: is a leap second, which is not counted here; write 59" in outcome.err


@pytest.mark.parametrize("name", ["TERMIJN_VALIDITY_SECONDS", "TERMIJN_RETRY_CAP_SECONDS"])
@pytest.mark.parametrize("value", ["1e300", "1e20", "315576001"])
def test_a_duration_beyond_ten_years_is_reported(
    termijn: Call, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """No clock could count it; ten years are the most."""
    monkeypatch.setenv(name, value)
    assert error_line(termijn("status")) == (
        f"termijn: environment: {name}: must be at most ten years, in seconds, got {value!r}"
    )


@pytest.mark.parametrize(
    "name", ["TERMIJN_BATCH", "TERMIJN_CLAIM_RECORDS", "TERMIJN_DISPATCH_BATCH"]
)
@pytest.mark.parametrize("value", ["1000001", "9" * 400])
def test_a_number_beyond_the_limits_is_reported(
    termijn: Call, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """The Kafka client reads at most a million messages at once, and no database counts to 1e400."""
    monkeypatch.setenv(name, value)
    quoted = value if len(value) <= 64 else f"{value[:64]}…"
    assert error_line(termijn("status")) == (
        f"termijn: environment: {name}: must be a whole number from 1 to 1,000,000, got {quoted!r}"
    )


def test_a_settings_file_with_a_byte_order_mark_is_read(
    termijn: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    file = tmp_path / "settings.toml"
    file.write_bytes(b'\xef\xbb\xbf[operating]\noperator = "me"\n')
    monkeypatch.setenv("TERMIJN_SETTINGS", str(file))
    [row] = [
        listed
        for listed in termijn("settings", "--json").rows
        if listed["key"] == "operating.operator"
    ]
    assert row["value"] == "me"


def test_a_settings_file_that_is_not_utf_8_is_reported_with_its_line(
    termijn: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    file = tmp_path / "settings.toml"
    file.write_bytes(b'[operating]\noperator = "\xe9"\n')
    monkeypatch.setenv("TERMIJN_SETTINGS", str(file))
    assert error_line(termijn("settings")) == (
        f"termijn: {file}: file: line 2 is not UTF-8; write the file in UTF-8"
    )


@pytest.mark.parametrize("option", ["--after", "--overlap"])
@pytest.mark.parametrize("length", ["P99999999999D", "P19999W", "PT99999999999999999S"])
def test_the_validity_of_a_key_ends_within_the_calendar(
    termijn: Call, option: str, length: str
) -> None:
    assert termijn("keys", "make").code == 0
    assert error_line(termijn("keys", "rotate", option, length)).endswith(
        "is longer than 200 years"
    )
    assert len(termijn("keys", "list", "--json").rows) == 17  # one of our own, sixteen missing
