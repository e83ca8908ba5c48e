"""The declaration of a team's tables: which rows belong to a record, and what each action does."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from services.agent.command import Command, CommandRecord
from services.policy.actions import VERIFIED
from services.policy.strict_model import StrictModel
from services.policy.yaml_source import DocumentPath

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnChange(StrictModel):
    """New values of columns, for erasing or pseudonymising in place."""

    set: Mapping[str, Scalar] | None = None
    """Columns with their new values; null empties a column."""
    hash: tuple[str, ...] = ()
    """Columns whose value is replaced by a keyed hash of itself."""

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that change."""
        return (*(self.set or {}), *self.hash)

    @property
    def replaces(self) -> bool:
        """Whether any column gets a new value other than null."""
        return bool(self.hash) or any(value is not None for value in (self.set or {}).values())


@dataclass(frozen=True, slots=True, kw_only=True)
class RestrictionFlag(StrictModel):
    """The column that marks a row as restricted (GDPR 18)."""

    column: str
    restricted: Scalar = True
    lifted: Scalar = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeColumn(StrictModel):
    """The column from which the system gives notice of an end."""

    column: str
    """Gets the instant from which the data will be erased."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveTable(StrictModel):
    """The table of an archive in the same database, to which rows are copied."""

    into: str
    schema: str | None = None
    columns: tuple[str, ...]
    """The columns that are copied, to columns of the same names; those of `match` are too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationPath(StrictModel):
    """The other way by which rows are read again after an erasure."""

    table: str | None = None
    """Another table or view; by default the same table."""
    schema: str | None = None
    match: Mapping[str, str]
    holds: tuple[str, ...] = ()
    """Columns with personal data: a row counts while one of them is neither empty nor a replacement.

    A view must show a column that gets a replacement under the same name.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class TableConfig(StrictModel):
    """The declaration of one table."""

    table: str | None = None
    """Its name in the database; by default the key under which it is declared."""
    schema: str | None = None
    events: tuple[str, ...]
    """Types of the events that have rows here."""
    match: Mapping[str, str]
    """Which rows belong to a record: for each column a value of the record; all must be equal.

    `record.id`, `record.source`, `subject` (kind:id), `subject.KIND` (the id of a subject of that kind)
    or `keys.NAME` (a business key).
    """
    whole_subject: bool = False
    """Whether `match` may select all rows of a subject, whichever record is commanded."""
    erase: Literal["delete"] | ColumnChange
    pseudonymise: ColumnChange | Literal["nothing"] | None = None
    """`nothing`: no row has to change; without it, such a command fails."""
    restrict: RestrictionFlag | Literal["nothing"] | None = None
    """The same, for restrict and lift."""
    notify: NoticeColumn | Literal["nothing"] | None = None
    """The same, for notify."""
    transfer: ArchiveTable | Literal["nothing"] | None = None
    """The same, for transfer."""
    disclose: tuple[str, ...] | None = None
    rectify: Mapping[str, str] | None = None
    """The column of each field that can be corrected."""
    verify: VerificationPath


def source_value(source: str, record: CommandRecord, subject: str | None) -> str | None:
    """Return the value of a source such as `keys.order_id`; None where the command does not have it."""
    head, _, name = source.partition(".")
    match head, name:
        case "record", "id":
            return record.id
        case "record", "source":
            return record.source
        case "subject", "":
            return subject
        case "subject", kind:
            found_kind, separator, id = (subject or "").partition(":")
            return id if separator and found_kind == kind and id else None
    return record.keys.get(name) or None


def values_of(
    match: Mapping[str, str], record: CommandRecord, command: Command
) -> dict[str, str] | None:
    """Return the value of each column; None if the command lacks one: then no row may be changed."""
    values: dict[str, str] = {}
    for column, source in match.items():
        value = source_value(source, record, command.subject)
        if value is None:
            return None
        values[column] = value
    return values


def validate_table(name: str, declared: TableConfig) -> Iterator[tuple[DocumentPath, str]]:
    """Yield the problems of one table that its shape alone does not show, with paths below `tables`."""
    yield from _check_match((name, "match"), declared.match)
    yield from _check_match((name, "verify", "match"), declared.verify.match)
    if not declared.events:
        yield (name, "events"), "names no event: no command would ever find the table"
    if not declared.whole_subject and not any(map(_names_record, declared.match.values())):
        yield (
            (name, "match"),
            "names nothing of the record, so all rows of a subject would go with each record;"
            " say `whole_subject: true` where that is meant",
        )
    reading = declared.verify
    same_table = (reading.table or declared.table or name, reading.schema or declared.schema) == (
        declared.table or name,
        declared.schema,
    )
    if same_table and dict(reading.match) == dict(declared.match):
        yield (
            (name, "verify"),
            "reads in the same way as the erasure, which proves nothing: name another table or view,"
            " or other columns",
        )
    for action in VERIFIED:
        change = getattr(declared, action)
        if not isinstance(change, ColumnChange):
            continue
        if not change.columns:
            yield (name, action), "changes no column"
        if not reading.holds:
            yield (
                (name, "verify", "holds"),
                f"is empty, so a row that {action} has changed would count as not erased",
            )
        if set(change.set or {}) & set(change.hash):
            yield (name, action), "gives a column two new values"


def _check_match(
    path: DocumentPath, match: Mapping[str, str]
) -> Iterator[tuple[DocumentPath, str]]:
    if not match:
        yield path, "names no column: without a way to find its rows nothing would ever be erased"
    elif not _selects_own_rows(match.values()):
        yield (
            path,
            "does not identify the row's owner: an id is its source's own, so name `record.source` beside"
            " `record.id`, or a key or the subject",
        )
    for column, source in match.items():
        head, dot, name = source.partition(".")
        is_known = source in ("record.id", "record.source", "subject") or (
            head in ("subject", "keys") and dot and name
        )
        if not is_known:
            yield (
                (*path, column),
                f"{source!r} is none of record.id, record.source, subject, subject.KIND, keys.NAME",
            )


def _selects_own_rows(sources: Collection[str]) -> bool:
    """Return whether rows are selected by a whole record, by the subject, or by a key.

    A command has no keys of other people: only keys that identify, or that name its subject.
    """
    is_complete = {"record.id", "record.source"} <= set(sources)
    return is_complete or any(source not in ("record.id", "record.source") for source in sources)


def _names_record(source: str) -> bool:
    return source in ("record.id", "record.source") or source.startswith("keys.")
