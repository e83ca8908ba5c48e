"""Commands as a system receives them: the typed values of the `command` schema, a batch in a message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from schemas.cloudevents import format_rfc3339
from schemas.errors import TermijnError
from services.policy.actions import Action


class CommandMisaddressed(TermijnError):
    """A command on this system's topic is addressed to another system; it was not carried out.

    The operator finds out how it came there: the controller signs for the topic that it writes to.
    """

    def __init__(self, system: str, found_by: str) -> None:
        super().__init__(f"a command for another system than {found_by}")
        self.system = system
        self.found_by = found_by


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRecord:
    """One record, by which the system finds its data."""

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
    """The subject, `kind:id`; None where the records must not be linked to a person."""
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
    """When this attempt was sent; the controller has checked at that moment that it is still wanted."""
    supersedes: str | None = None
    request: str | None = None
    verifies: str | None = None
    """For verify: the action of the command that it checks."""
    disclose_to: str | None = None
    corrections: str | None = None
    corrected_fields: tuple[str, ...] | None = None

    @property
    def ordering_key(self) -> str:
        """The person, or the event where none is named: commands with the same one keep their order."""
        return self.subject or self.records[0].id

    def as_json(self) -> dict[str, Any]:
        """Return the command as hooks and webhooks get it: the schema's fields, instants in RFC 3339."""
        document = asdict(self)
        for name in ("not_before", "erase_by", "valid_until", "issued_at"):
            document[name] = document[name] and format_rfc3339(document[name])
        for record in document["records"]:
            record["time"] = record["time"] and format_rfc3339(record["time"])
        return document


_FIELD_NAMES = frozenset(field.name for field in fields(Command))
_LIST_FIELDS = ("categories", "rules", "purposes", "corrected_fields")


def parse_command(value: Mapping[str, Any]) -> Command:
    """Return a command of a decoded message; fields of later versions of the schema are ignored."""
    arguments = {name: field_value for name, field_value in value.items() if name in _FIELD_NAMES}
    for name in _LIST_FIELDS:
        if arguments.get(name) is not None:
            arguments[name] = tuple(arguments[name])
    records = tuple(CommandRecord(**record) for record in value["records"])
    return Command(**{**arguments, "records": records})
