"""Commands that are alike share a message; the order of one person's commands stays."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import topics
from schemas.codec import Codec
from schemas.command_fields import COMMON_FIELDS
from schemas.schema_files import load
from services.deleter.command_batches import group_into_batches, lane_of
from services.deleter.message import CommandMessage
from tests.batches import decode_commands

CODEC = Codec(load())
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
IN_ONE_LANE = ("customer:C1", "customer:C14", "customer:C23")


def command(number: int, subject: str | None = "customer:C1", **further: Any) -> CommandMessage:
    """Return the message of a command about one record."""
    records = further.pop("records", 1)
    value: dict[str, Any] = {
        "command_id": f"command-{number}",
        "system": "crm",
        "subject": subject,
        "action": "erase",
        "records": [
            {"source": "/shop", "id": f"e{number}-{n}", "type": "t", "time": NOW, "keys": {}}
            for n in range(records)
        ],
        "categories": ["orders"],
        "rules": ["D5"],
        "purposes": ["a"],
        "policy_version": "1",
        "article": "5(1)(e)",
        "reason": "ended",
        "not_before": None,
        "erase_by": None,
        "valid_until": NOW,
        "epoch": 0,
        "seq": number,
        "attempt": 1,
        "issued_at": NOW,
        "supersedes": None,
        "request": None,
        "verifies": None,
        **further,
    }
    common = {name: value.pop(name) for name in COMMON_FIELDS}
    key = subject or value["records"][0]["id"]
    return CommandMessage(system=common["system"], key=key, common=common, own=value)


def ids(*commands: CommandMessage) -> list[list[str]]:
    """Return the ids of the commands in each message."""
    return [
        [member.value["command_id"] for member in batch.commands]
        for batch in group_into_batches(commands)
    ]


def test_the_names_of_the_tests_share_a_lane() -> None:
    """A lane is the CRC-32 of the person, in 16 parts: Python's `zlib`, Java's `CRC32`."""
    assert [lane_of(name) for name in IN_ONE_LANE] == [11, 11, 11]


def test_commands_about_three_people_share_a_message() -> None:
    """They differ in nothing else."""
    first, second, third = IN_ONE_LANE
    assert ids(command(1, first), command(2, second), command(3, third)) == [
        ["command-1", "command-2", "command-3"]
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"action": "restrict"},
        {"rules": ["D6"]},
        {"purposes": ["b"]},
        {"reason": "withdrawn"},
        {"policy_version": "2"},
        {"categories": []},
        {"system": "psp"},
        {"attempt": 4},
    ],
    ids=lambda other: next(iter(other)),
)
def test_commands_that_differ_in_what_they_say_are_apart(other: dict[str, Any]) -> None:
    """One message has one action with one reason for one system."""
    assert ids(command(1), command(2, IN_ONE_LANE[1], **other)) == [["command-1"], ["command-2"]]


def test_what_may_not_be_tied_to_a_person_is_apart() -> None:
    """Otherwise its neighbours would say about whom it probably is."""
    unnamed = command(2, None)._replace(key=IN_ONE_LANE[1])
    assert ids(command(1), unnamed) == [["command-1"], ["command-2"]]


def test_a_message_names_at_most_500_records() -> None:
    """The next command gets another message."""
    first, second, third = IN_ONE_LANE
    commands = [command(1, first, records=300), command(2, second, records=200)]
    assert ids(*commands, command(3, third)) == [["command-1", "command-2"], ["command-3"]]


def test_a_message_has_at_most_half_a_megabyte() -> None:
    """Bytes count, not characters."""
    ground = "é" * 130_000
    first, second, _ = IN_ONE_LANE
    assert ids(command(1, first, corrections=ground), command(2, second, corrections=ground)) == [
        ["command-1"],
        ["command-2"],
    ]


@pytest.mark.parametrize(
    ("attempt", "together"), [(3, 500), (4, 62), (5, 7), (6, 1), (7, 1), (90, 1)]
)
def test_a_command_that_nobody_answers_is_alone_in_the_end(attempt: int, together: int) -> None:
    """A command that makes a system fail must not hold up the others of its message permanently."""
    commands = [command(number, attempt=attempt) for number in range(500)]
    assert len(ids(*commands)[0]) == together


def test_a_later_command_of_a_person_is_never_in_an_earlier_message() -> None:
    """Lift of C1 and restriction of C14 would each have to be before the other."""
    first, second, _ = IN_ONE_LANE
    assert ids(
        command(1, first, action="restrict"),
        command(2, second, action="lift"),
        command(3, first, action="lift"),
        command(4, second, action="restrict"),
    ) == [["command-1"], ["command-2", "command-3"], ["command-4"]]


commands_of_people = st.lists(
    st.tuples(
        st.sampled_from([*IN_ONE_LANE, "visitor:9"]),
        st.sampled_from(["erase", "restrict", "lift"]),
        st.sampled_from([1, 2, 4, 5, 6]),
        st.sampled_from([1, 3, 250]),
    ),
    max_size=30,
).map(
    lambda drawn: [
        command(number, subject, action=action, attempt=attempt, records=records)
        for number, (subject, action, attempt, records) in enumerate(drawn)
    ]
)


@settings(deadline=None)
@given(commands_of_people)
def test_each_command_is_sent_once_and_in_its_persons_order(commands: list[CommandMessage]) -> None:
    """This holds for any commands, in whatever order; positions lead back to them."""
    batches = group_into_batches(commands)
    sent: defaultdict[str, list[str]] = defaultdict(list)
    given_: defaultdict[str, list[str]] = defaultdict(list)
    for member in commands:
        given_[member.key].append(member.value["command_id"])
    for batch in batches:
        assert {lane_of(member.key) for member in batch.commands} == {batch.lane}
        assert [commands[position] for position in batch.positions] == batch.commands
        for member in batch.commands:
            sent[member.key].append(member.value["command_id"])
    assert sent == given_


@settings(deadline=None)
@given(commands_of_people)
def test_a_message_is_read_as_the_commands_that_were_put_into_it(
    commands: list[CommandMessage],
) -> None:
    """Nothing of a command is lost or shared with another."""
    for batch in group_into_batches(commands):
        message = CODEC.encode(topics.command_topic("crm"), batch.value)
        read = decode_commands(CODEC, "crm", message)
        assert [
            {name: fields[name] for name in member.value}
            for fields, member in zip(read, batch.commands, strict=True)
        ] == [member.value for member in batch.commands]
