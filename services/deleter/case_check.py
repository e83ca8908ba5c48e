"""Try a case of a policy: compare the windows and commands that it expects with what the policy gives.

The windows are those of `termijn explain`, the commands those of `termijn simulate`: the same code as in
production, on a virtual clock and a ledger in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import date, datetime, timedelta
from typing import Any, TypeVar

from schemas.cloudevents import CloudEvent, format_rfc3339
from services.deleter.simulation import SimulatedCommand, simulate
from services.ledger import migrate
from services.policy.calendar import DAY
from services.policy.case_file import Case, CaseEvent, ExpectedCommand, ExpectedWindow
from services.policy.explain import ExplainedHolding, explain_events
from services.policy.model import Policy
from services.policy.nearest_name import did_you_mean
from services.policy.plans import compile_policy
from services.policy.sources import check_source
from services.policy.tagged_event import TaggedEvent
from services.policy.tagging import MAX_EVENT_TIME
from services.policy.tagging_error import TaggingFailed
from services.policy.validation_fields import require_defined
from services.policy.written_time import WrittenTime, format_local
from services.policy.yaml_source import DocumentPath, PolicyError
from services.storage.database import open_database

_DEFAULT_SOURCE = "/cases"
_ATTRIBUTES = ("type", "time", "id", "source")
Expected = TypeVar("Expected")
Actual = TypeVar("Actual")


def check_case_names(case: Case, policy: Policy) -> Iterator[PolicyError]:
    """Return the events of a case that are refused and the names that are unknown; nothing is compared."""
    refused: list[PolicyError] = []
    _tag_events(case.events, policy, refused)
    yield from refused
    yield from _unknown_names(case, policy)


def check_case(case: Case, policy: Policy) -> Iterator[PolicyError]:
    """Return every difference between what a case expects and what the policy gives, with its path."""
    refused: list[PolicyError] = []
    events = _tag_events(case.events, policy, refused)
    if refused:
        yield from refused
        yield from _unknown_names(case, policy)
        return
    if case.windows is not None:
        now = case.now.instant(policy.controller.zone) if case.now else None
        holdings = explain_events([tagged for _, tagged in events], policy, now)
        yield from _compare_all("windows", case.windows, holdings, _Windows(policy))
    if case.commands is not None:
        yield from _compare_all(
            "commands", case.commands, _simulate(case, events, policy), _Commands(policy)
        )


def _tag_events(
    events: Sequence[CaseEvent], policy: Policy, refused: list[PolicyError]
) -> list[tuple[CloudEvent, TaggedEvent]]:
    """Return the events as they are tagged; the problems of others are added to `refused`."""
    tagged: dict[tuple[str, str, str], tuple[CloudEvent, TaggedEvent]] = {}
    for index, written in enumerate(events):
        place: DocumentPath = ("events", index)
        if written.time.value is None:
            refused.append(((*place, "time"), "is empty; write when the event happened"))
            continue
        event = CloudEvent(
            id=written.id or str(index + 1),
            source=written.source or _permitted_source(written.type, policy),
            type=written.type,
            time=written.time.instant(policy.controller.zone),
            data={name: _as_in_json(value) for name, value in written.data.items()},
        )
        identity = (event.type, event.source, event.id)
        if identity in tagged:
            refused.append(((*place, "id"), f"{event.id!r} is also the id of an earlier event"))
            continue
        try:
            check_source(event, policy)
            tagged[identity] = (event, compile_policy(policy).tag(event))
        except TaggingFailed as cause:
            key = (cause.key,) if cause.key in _ATTRIBUTES else ("data", cause.key)
            refused.append(((*place, *key), cause.why))
    return list(tagged.values())


def _unknown_names(case: Case, policy: Policy) -> Iterator[PolicyError]:
    """Return what no window or command can be about; the others are compared once the events are right."""
    ids = {event.id or str(index + 1) for index, event in enumerate(case.events)}
    for index, window in enumerate(case.windows or ()):
        if window.event not in ids:
            why = (
                f"no event of the case has the id {window.event!r}{did_you_mean(window.event, ids)}"
            )
            yield ("windows", index, "event"), why
        yield from require_defined(("windows", index, "purpose"), window.purpose, policy.purposes)
        yield from require_defined(("windows", index, "rule"), window.rule, policy.rules)
    for index, command in enumerate(case.commands or ()):
        yield from require_defined(("commands", index, "system"), command.system, policy.systems)


def _permitted_source(event_type: str, policy: Policy) -> str:
    kind = policy.events.get(event_type)
    return kind.sources[0].replace("*", "cases") if kind and kind.sources else _DEFAULT_SOURCE


def _as_in_json(value: Any) -> Any:
    """Return a value of YAML as JSON has it: a date and an instant are texts."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return format_rfc3339(value)
    return value.isoformat() if isinstance(value, date) else value


def _simulate(
    case: Case, events: Sequence[tuple[CloudEvent, TaggedEvent]], policy: Policy
) -> list[SimulatedCommand]:
    zone, until = policy.controller.zone, MAX_EVENT_TIME
    if case.until and case.until.value is not None:
        until = case.until.instant(zone)
        if not isinstance(case.until.value, datetime):
            until = WrittenTime(case.until.value + DAY).instant(zone) - timedelta.resolution
    with closing(open_database("sqlite://")) as ledger:
        migrate.create_schema(ledger)
        return list(simulate(ledger, events, policy, until))


class _Comparison:
    """What two kinds of expectations share: texts, lists and times are compared if they are given."""

    def __init__(self, policy: Policy) -> None:
        self.zone = policy.controller.zone

    def text(self, key: str, expected: str | None, actual: str) -> Iterator[tuple[str, str]]:
        if expected is not None and expected != actual:
            yield key, f"expected {expected}, got {actual}"

    def names(
        self, key: str, expected: Sequence[str] | None, actual: Iterable[str]
    ) -> Iterator[tuple[str, str]]:
        if expected is not None and sorted(expected) != sorted(actual):
            yield key, f"expected {', '.join(sorted(expected))}, got {', '.join(sorted(actual))}"

    def time(
        self, key: str, expected: WrittenTime | None, actual: datetime | None
    ) -> Iterator[tuple[str, str]]:
        if expected is not None and not expected.admits(actual, self.zone):
            yield key, f"expected {expected}, got {format_local(actual, self.zone)}"


class _Windows(_Comparison):
    def is_about(self, expected: ExpectedWindow, actual: ExplainedHolding) -> bool:
        return (expected.event, expected.purpose) == (actual.event.id, actual.holding.purpose)

    def differences(
        self, expected: ExpectedWindow, actual: ExplainedHolding
    ) -> Iterator[tuple[str, str]]:
        holding, window = actual.holding, actual.window
        yield from self.text("subject", expected.subject, holding.subject)
        yield from self.text("basis", expected.basis, holding.basis)
        yield from self.text("rule", expected.rule, holding.rule)
        yield from self.names("systems", expected.systems, holding.systems)
        yield from self.time("anchor_at", expected.anchor_at, window.anchor_at)
        yield from self.time("not_before", expected.not_before, window.not_before)
        yield from self.time("erase_by", expected.erase_by, window.erase_by)
        for system, at in expected.due_at.items():
            yield from self.time(f"due_at.{system}", at, window.due_at.get(system))
        yield from self.text("state", expected.state, actual.state)

    def describe(self, actual: ExplainedHolding) -> str:
        holding = actual.holding
        erase_by = format_local(actual.window.erase_by, self.zone)
        return (
            f"event {actual.event.id}, {holding.subject}, purpose {holding.purpose},"
            f" rule {holding.rule}, erase by {erase_by}"
        )


class _Commands(_Comparison):
    def is_about(self, expected: ExpectedCommand, actual: SimulatedCommand) -> bool:
        return (expected.system, expected.action) == (actual.system, actual.action)

    def differences(
        self, expected: ExpectedCommand, actual: SimulatedCommand
    ) -> Iterator[tuple[str, str]]:
        yield from self.time("at", expected.at, actual.issued_at)
        yield from self.text("subject", expected.subject, actual.subject)
        yield from self.names("records", expected.records, actual.records)
        yield from self.names("rules", expected.rules, actual.rules)
        yield from self.names("purposes", expected.purposes, actual.purposes)
        yield from self.time("erase_by", expected.erase_by, actual.erase_by)
        yield from self.text("reason", expected.reason, actual.reason)

    def describe(self, actual: SimulatedCommand) -> str:
        at = format_local(actual.issued_at, self.zone)
        rules = ", ".join(actual.rules)
        return f"{at}, {actual.system}, {actual.action}, {actual.subject}, rules {rules}"


def _compare_all(
    key: str,
    expected: Sequence[Expected],
    actual: Sequence[Actual],
    by: Any,
) -> Iterator[PolicyError]:
    """Pair each expectation with the actual value that differs least, and return what is left over."""
    is_about: Callable[[Expected, Actual], bool] = by.is_about
    open_pairs = sorted(
        (len(list(by.differences(wanted, got))), index, place)
        for index, wanted in enumerate(expected)
        for place, got in enumerate(actual)
        if is_about(wanted, got)
    )
    pairs: dict[int, int] = {}
    for _, index, place in open_pairs:
        if index not in pairs and place not in pairs.values():
            pairs[index] = place
    for index, wanted in enumerate(expected):
        if index not in pairs:
            yield (key, index), "is expected, and there is none"
            continue
        for part, why in by.differences(wanted, actual[pairs[index]]):
            yield (key, index, *part.split(".", 1)), why
    for place, got in enumerate(actual):
        if place not in pairs.values():
            yield (key,), f"there is one that is not expected: {by.describe(got)}"
