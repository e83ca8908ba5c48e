"""Which fields of the `command` schema a message states once, and which each of its commands has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

COMMON_FIELDS: Final = (
    *("system", "action", "categories", "rules", "purposes", "policy_version", "article"),
    *("reason", "verifies", "valid_until", "issued_at"),
)
OWN_FIELDS: Final = (
    *("command_id", "subject", "records", "not_before", "erase_by", "epoch", "seq", "attempt"),
    *("supersedes", "request", "disclose_to", "corrections", "corrected_fields"),
)


def join_commands(commands: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a message's value with these commands, which are alike in the fields that it states once."""
    common = {name: value for name, value in commands[0].items() if name not in OWN_FIELDS}
    own = [
        {name: value for name, value in command.items() if name in OWN_FIELDS}
        for command in commands
    ]
    return {**common, "commands": own}


def split_commands(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the commands of a message's value, each with the fields that the message states once."""
    common = {name: field_value for name, field_value in value.items() if name != "commands"}
    return [{**common, **command} for command in value["commands"]]
