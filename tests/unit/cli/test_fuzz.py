"""No command ends in a traceback, whatever a person writes: arguments, files, settings, policies.

Each ends with 0, or with a line or more that state what is wrong. `--debug` lets an unexpected
error through, so that reaching the last resort of `main` fails the test too.

Left out are commands that run until they are stopped, or that need a broker for anything at all.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import click
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from services.app import settings_loader
from services.app.cli.lazy_group import list_subcommands
from services.app.cli.main import termijn as whole
from services.app.settings import GROUPS
from tests.contract.event_builders import event, feedback, signed_up, terminated
from tests.unit.cli.conftest import Call, Outcome
from tests.unit.policy.small import SMALL


def fuzz(examples: int) -> settings:
    """Settings for so many examples, without a deadline."""
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


ENDLESS = {"agent", "up", "tagger", "recorder", "deleter", "acknowledgements", "rights", "watch"}
ENDLESS |= {"sample-systems"}
ON_THE_BUS = {"publish", "topics check", "topics apply", "doctor", "schemas register"}
ON_THE_BUS |= {"schemas check", "dead-letters replay"}

HOSTILE = (
    "",
    " ",
    "-",
    "--",
    "0",
    "-1",
    "1e400",
    "nan",
    "9" * 30,
    "9" * 5_000,
    "P0D",
    "PT0S",
    "P200Y",
    "P9999Y",
    "P1000000000D",
    "P99999999999999999999D",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "1900-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-14:00",
    "2016-12-31T23:59:60Z",
    "2026-03-15T13:00:00Z",
    "visitor:1",
    "visitor:",
    ":",
    "[/1]",
    "[red]",
    ":id:",
    "\x1b[2J",
    "\u202e",
    "e\u0301\U0001f600",
    "x" * 5_000,
    "%s%n{}{0}",
    "'; drop table record; --",
    "00000000-0000-4000-8000-000000000001",
    "null",
    "true",
    "sqlite://",
    "*a",
    "crm",
    "system:crm",
    "deleter",
)
TEXT = st.sampled_from(HOSTILE) | st.text(
    st.characters(exclude_characters="\x00/", exclude_categories=["Cs"]), max_size=20
)
ARGUMENT = TEXT | st.just("\udcff")  # a byte that is not UTF-8, as Python passes it on
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(HOSTILE)
    | st.text(max_size=8)
    | st.just("\ud800"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(HOSTILE) | st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)


def ends_well(outcome: Outcome) -> None:
    """Check that a command ended in one of the allowed ways."""
    assert outcome.code in (0, 1, 2), outcome
    if outcome.code:
        assert outcome.err.strip(), "a failure without a word"
        assert "Traceback" not in outcome.err
        for words in ("Input should", "codec can't", "<class", "object at 0x"):
            assert words not in outcome.err


def leaves(command: click.Command, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """Return every command with the words that call it."""
    if isinstance(command, click.Group):
        for sub, subcommand in list_subcommands(command):
            yield from leaves(subcommand, f"{name} {sub}".strip())
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield name, command


COMMANDS = {
    name: leaf for name, leaf in leaves(whole) if name not in ENDLESS and name not in ON_THE_BUS
}


@pytest.fixture
def desk(termijn: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Return a caller of commands with a ledger and keys; standard input is empty."""
    assert termijn("ledger", "migrate").code == 0
    assert termijn("keys", "make").code == 0
    monkeypatch.setenv("TERMIJN_OPERATOR", "me")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")

    def call(*arguments: object) -> Outcome:
        stdin = SimpleNamespace(buffer=io.BytesIO(), isatty=lambda: False)
        monkeypatch.setattr("sys.stdin", stdin)
        return termijn("--debug", *arguments)

    return call


@st.composite
def calls(draw: st.DrawFn, command: click.Command) -> list[str]:
    """Return arguments for a command, valid ones among them."""
    words: list[str] = []
    for parameter in command.params:
        choices: tuple[str, ...] = ()
        if isinstance(parameter.type, click.Choice):
            choices = tuple(map(str, parameter.type.choices))
        value = st.sampled_from(choices) | ARGUMENT if choices else ARGUMENT
        if isinstance(parameter.type, click.Path):
            value = value | st.sampled_from(("events.jsonl", "policy.yaml", "keys.jwks", "."))
        if isinstance(parameter, click.Option):
            if not (parameter.required or draw(st.booleans())):
                continue
            words.append(parameter.opts[-1])
            if not parameter.is_flag:
                words.append(draw(value))
        elif parameter.nargs == -1:
            words += draw(st.lists(value, max_size=3))
        elif parameter.required or draw(st.booleans()):
            words.append(draw(value))
    return words


@pytest.mark.parametrize("name", COMMANDS)
@fuzz(6)
@given(data=st.data())
def test_no_arguments_end_in_a_traceback(desk: Call, name: str, data: st.DataObject) -> None:
    arguments = data.draw(calls(COMMANDS[name]))
    if name in ("deploy write", "monitoring write"):  # it would write to any path
        arguments = [argument for argument in arguments if not argument.startswith(("/", ".."))]
    ends_well(desk(*name.split(), *arguments))


GOOD = [
    feedback("f1", "2024-03-15T13:00:00Z"),
    signed_up("s1", "2024-03-15T13:00:00Z"),
    terminated("t1", "2024-03-16T13:00:00Z"),
    event(
        "r1",
        "privacy.request-received",
        "2024-03-15T13:00:00Z",
        subject="consumer:c1",
        request_id="q1",
        right="erasure",
    ),
]
READERS = (
    ("explain", "events.jsonl"),
    ("explain", "events.jsonl", "--json"),
    ("simulate", "events.jsonl", "--until", "2030-01-01T00:00:00Z"),
    ("publish", "events.jsonl", "--dry-run"),
    ("publish", "events.jsonl", "--dry-run", "--json", "--leave-out"),
)


@st.composite
def mutate(draw: st.DrawFn, document: Any) -> Any:
    """Return a document in which one part is changed, missing or new."""
    if isinstance(document, dict) and document and draw(st.integers(0, 3)):
        key = draw(st.sampled_from(sorted(document)))
        match draw(st.integers(0, 5)):
            case 0:
                return {name: value for name, value in document.items() if name != key}
            case 1:
                return {**document, draw(TEXT): draw(JSON)}
            case 2:
                new = draw(TEXT)
                return {new if name == key else name: value for name, value in document.items()}
        return {**document, key: draw(mutate(document[key]))}
    if isinstance(document, list) and document and draw(st.integers(0, 3)):
        place = draw(st.integers(0, len(document) - 1))
        return [*document[:place], draw(mutate(document[place])), *document[place + 1 :]]
    return draw(JSON)


@pytest.mark.parametrize("reader", READERS, ids=" ".join)
@fuzz(25)
@given(data=st.data())
def test_no_file_of_events_ends_in_a_traceback(
    desk: Call, reader: tuple[str, ...], data: st.DataObject
) -> None:
    lines = [json.dumps(data.draw(mutate(event) | st.just(event))).encode() for event in GOOD]
    lines += data.draw(st.lists(st.binary(max_size=30), max_size=1))
    Path("events.jsonl").write_bytes(b"\n".join(lines))
    ends_well(desk(*reader))


@fuzz(40)
@given(document=mutate(yaml.safe_load(SMALL)))
def test_no_policy_ends_in_a_traceback(desk: Call, document: Any) -> None:
    """The policy is refused, or can be used."""
    with suppress(UnicodeEncodeError):
        text = yaml.safe_dump(document, allow_unicode=True)
        Path("policy.yaml").write_bytes(text.encode())
    joined = event("j1", "club.joined", "2024-03-15T13:00:00Z", client_id="1", stay_id="1")
    leaving = event("l1", "club.left", "2024-03-16T13:00:00Z", client_id="1")
    Path("events.jsonl").write_text(f"{json.dumps(joined)}\n{json.dumps(leaving)}\n", "utf-8")
    outcome = desk("policy", "lint", "policy.yaml")
    ends_well(outcome)
    if outcome.code == 0:
        ends_well(desk("explain", "events.jsonl", "--policy", "policy.yaml"))
        ends_well(
            desk(
                "simulate",
                "events.jsonl",
                "--policy",
                "policy.yaml",
                "--until",
                "9999-12-31T23:59:59Z",
            )
        )


@fuzz(40)
@given(
    raw=st.binary(max_size=60)
    | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace"))
)
@example(raw=b"[" * 3_000)
@example(raw=b"a: " * 3_000)
@example(raw=b"- " * 3_000 + b"a")
@example(raw=b"&a [*a, *a]")
@example(raw=b"&a {*a : 1}")
@example(raw=b"a: 2026-02-30")
@example(raw=b"a: 0x")
@example(raw=b"a: !!binary =")
@example(raw=b"a: !!float x")
@example(raw=b"a: 1:99:99999999999999999999999999999")
@example(raw=b"<<: 3")
@example(raw=b"\x80\n")
@example(raw=b"? !!binary aa\n: 1")
def test_no_bytes_end_in_a_traceback(desk: Call, raw: bytes) -> None:
    """This holds for each file that a person may pass, whatever it contains."""
    Path("file").write_bytes(raw)
    for arguments in (
        ("policy", "lint", "file"),
        ("explain", "file"),
        ("keys", "trust", "crm", "file"),
        ("evidence", "verify", "file"),
        ("evidence", "verify", "--head", "file"),
        ("evidence", "verify-certificate", "file"),
        ("agent", "status", "--config", "file"),
    ):
        ends_well(desk(*arguments))


@fuzz(30)
@given(
    document=JSON | mutate({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "A" * 43, "exp": 1}]})
)
def test_no_json_ends_in_a_traceback(desk: Call, document: Any) -> None:
    Path("file").write_text(json.dumps(document), "utf-8")
    for arguments in (
        ("keys", "trust", "crm", "file"),
        ("evidence", "verify", "file"),
        ("evidence", "verify", "--head", "file"),
        ("evidence", "verify-certificate", "file"),
    ):
        ends_well(desk(*arguments))


URLS = ("TERMIJN_LEDGER_URL", "TERMIJN_VAULT_URL", "SCHEMA_REGISTRY_URL", "TERMIJN_TRACING")
VARIABLES = sorted(
    {setting.variable for setting in settings_loader.list_settings({})} | {settings_loader.FILE}
)
LOOKS = (
    ("settings",),
    ("status",),
    ("keys", "list"),
    ("vault", "status"),
    ("requests", "list"),
    ("policy", "lint"),
    ("keys", "rotate"),
    ("sweep", "--dry-run", "--now", "2030-01-01T00:00:00Z"),
)


@fuzz(40)
@given(name=st.sampled_from(VARIABLES), value=TEXT, look=st.sampled_from(LOOKS))
def test_no_setting_ends_in_a_traceback(
    desk: Call, name: str, value: str, look: tuple[str, ...]
) -> None:
    original = os.environ.get(name)
    os.environ[name] = value
    try:
        ends_well(desk(*look))
    finally:
        os.environ.pop(name)
        if original is not None:
            os.environ[name] = original


@fuzz(40)
@given(
    group=st.sampled_from((*GROUPS, "x")),
    key=st.sampled_from(
        sorted({setting.key.partition(".")[2] for setting in settings_loader.list_settings({})})
    ),
    value=JSON,
    raw=st.none() | st.binary(max_size=30),
)
def test_no_file_of_settings_ends_in_a_traceback(
    desk: Call, group: str, key: str, value: Any, raw: bytes | None
) -> None:
    text = f"[{group}]\n{key} = {json.dumps(value)}\n".encode()
    Path("settings.toml").write_bytes(raw or text)
    os.environ[settings_loader.FILE] = "settings.toml"
    try:
        for look in (("settings",), ("status",), ("keys", "list")):
            ends_well(desk(*look))
    finally:
        os.environ.pop(settings_loader.FILE)


AGENT = {
    "system": "crm",
    "bus": {"bootstrap_servers": "127.0.0.1:1"},
    "keys": ".termijn/keys",
    "inbox": {"url": "sqlite:///inbox.sqlite", "key_file": "inbox.key", "keep_days": 30},
    "limits": {"at_once": 4, "retry_seconds": 1.0, "retry_cap_seconds": 60.0},
    "adapter": {"hook": {"command": ["true"], "timeout_seconds": 60.0}},
    "metrics_port": 0,
}
COMMAND = {"command_id": str(UUID(int=1)), "system": "crm", "records": []}


@fuzz(40)
@given(document=mutate(AGENT), command=mutate(COMMAND))
def test_no_file_of_an_agent_ends_in_a_traceback(desk: Call, document: Any, command: Any) -> None:
    """A command that it is asked to plan ends in no traceback either."""
    Path("agent.yaml").write_text(json.dumps(document), "utf-8")
    Path("command.json").write_text(json.dumps(command), "utf-8")
    ends_well(desk("agent", "status", "--config", "agent.yaml"))
    ends_well(desk("agent", "plan", "--config", "agent.yaml", "command.json"))
