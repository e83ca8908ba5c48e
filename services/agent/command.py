"""Commands as a system sees them: the values of the `command` schema, typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from schemas.cloudevents import format_rfc3339
from schemas.errors import TermijnError
from services.policy.actions import Action


class CommandMisaddressed(TermijnError):
    """A command on this system's topic is meant for another system; it was not obeyed.

    The operator looks at how it came there: the controller signs for the topic it writes to.
    """

    def __init__(self, system: str, found_by: str) -> None:
        super().__init__(f"a command for another system than {found_by}")
        self.system = system
        self.found_by = found_by


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRecord:
    """One event's data, as the system can find it."""

    source: str
    id: str
    type: str
    keys: Mapping[str, str]
    """Business keys by field name."""
    time: datetime | None = None
    """When the event happened, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One attempt of one command; instants are UTC."""

    command_id: str
    system: str
    subject: str | None
    """Whose data, `kind:id`; nothing where the records may not be tied to a person."""
    action: Action
    records: tuple[CommandRecord, ...]
    categories: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    policy_version: str = ""
    article: str = ""
    reason: str = ""
    not_before: datetime | None = None
    erase_by: datetime | None = None
    valid_until: datetime
    epoch: int
    seq: int
    """Rises with each command of this system on this subject."""
    attempt: int
    issued_at: datetime
    """When this attempt left; the controller has looked at that moment whether it is still wanted."""
    supersedes: str | None = None
    request: str | None = None
    verifies: str | None = None
    """For verify: the action of the command that it checks."""
    disclose_to: str | None = None
    corrections: str | None = None
    corrected_fields: tuple[str, ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """The command as a hook or a webhook gets it: the schema's fields, instants in RFC 3339."""
        document = asdict(self)
        for name in ("not_before", "erase_by", "valid_until", "issued_at"):
            document[name] = document[name] and format_rfc3339(document[name])
        for record in document["records"]:
            record["time"] = record["time"] and format_rfc3339(record["time"])
        return document


_NAMES = frozenset(field.name for field in fields(Command))
_LISTS = ("categories", "rules", "purposes", "corrected_fields")


def parse_command(value: Mapping[str, Any]) -> Command:
    """The command of a decoded value; fields of later versions that are not known here are left out."""
    arguments = {name: field_value for name, field_value in value.items() if name in _NAMES}
    for name in _LISTS:
        if arguments.get(name) is not None:
            arguments[name] = tuple(arguments[name])
    records = tuple(CommandRecord(**record) for record in value["records"])
    return Command(**{**arguments, "records": records})
