"""Tag an event: find its holdings, clock changes and privacy event under a policy.

A *holding* is one (event, subject, purpose) with its basis, rule and systems. A *clock change* ends or
starts a retention clock. Both are a pure function of the event's decision fields and the policy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from datetime import UTC, datetime
from typing import Any, Literal, Protocol
from urllib.parse import quote

from schemas import limits
from schemas.errors import TermijnError
from services.policy import retiring
from services.policy.event_type import EventType, Field, HoldingRule, MoveRule, SubjectField
from services.policy.model import Policy
from services.policy.placement import applies_to, systems_by_fields
from services.policy.subject_state import PrivacyEvent

MIN_EVENT_TIME = datetime(1900, 1, 1, tzinfo=UTC)
"""The earliest time of an event: an earlier one comes from a broken clock."""
MAX_EVENT_TIME = datetime(9500, 1, 1, tzinfo=UTC)
"""The latest time of an event: with a term and a lead time of 200 years each, windows end before 9999."""

RejectionReason = Literal[
    "unknown-type",
    "unknown-source",
    "unknown-subject",
    "missing-field",
    "invalid-field",
    "impossible-time",
    "identity-conflict",
]
DecisionValue = str | bool | tuple[str, ...]
_REFERENCE_FIELDS = ("request_id", "objection_id", "hold_id")


class TaggingFailed(TermijnError):
    """The event cannot be tagged under the policy; it is parked as a dead letter.

    The operator fixes the publisher or the policy and replays it, or discards it with a reason.
    """

    def __init__(self, reason: RejectionReason, key: str, why: str) -> None:
        super().__init__(f"{key}: {why}")
        self.reason: RejectionReason = reason
        self.key = key
        self.why = why


class Event(Protocol):
    """A CloudEvents business event; `time` is when it happened, aware."""

    @property
    def id(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def time(self) -> datetime: ...
    @property
    def data(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockKey:
    """A retention clock: its kind, and the key that distinguishes it from others of its kind."""

    clock: str
    key: str
    parent: ClockKey | None = None

    def __str__(self) -> str:
        return f"{self.clock}:{self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingChange:
    """The basis and rule that a holding changes to when consent is given or withdrawn; its clock stays."""

    when: Literal["given", "withdrawn"]
    basis: str
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """One event's data on one subject, held for one purpose."""

    subject: str
    purpose: str
    basis: str
    rule: str
    systems: tuple[str, ...]
    clock: ClockKey | None = None
    """The retention clock that it depends on; without one the event itself fixes the anchor."""
    own_consent: bool = False
    """Whether the event is itself a consent."""
    alternative: HoldingChange | None = None
    """The basis and rule after a change of consent; without it, a withdrawal ends a holding on consent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockChange:
    """The end or the (new) start of a clock by an event."""

    clock: ClockKey
    move: Literal["start", "end"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedEvent:
    """An event with its holdings, clock changes and privacy event under one policy, without its data."""

    id: str
    source: str
    type: str
    time: datetime
    decision_fields: Mapping[str, DecisionValue]
    subject: str | None
    """The event's own subject; None for a type that names none."""
    holdings: tuple[Holding, ...]
    clock_changes: tuple[ClockChange, ...]
    privacy_event: PrivacyEvent | None = None
    """What it changes in its subject's state."""
    retired_holdings: tuple[Holding, ...] = ()
    """Its holdings if its purposes and systems were not retired; no command is made for them."""
    _by_subject: dict[str, tuple[Holding, ...]] = attribute(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _retired_by_subject: dict[str, tuple[Holding, ...]] = attribute(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def by_subject(self) -> Mapping[str, tuple[Holding, ...]]:
        """The holdings of each subject, in order; computed once."""
        if not self._by_subject:
            self._by_subject.update(_group_by_subject(self.holdings))
        return self._by_subject

    @property
    def retired_by_subject(self) -> Mapping[str, tuple[Holding, ...]]:
        """The retired holdings of each subject, in order; computed once."""
        if self.retired_holdings and not self._retired_by_subject:
            self._retired_by_subject.update(_group_by_subject(self.retired_holdings))
        return self._retired_by_subject

    @property
    def subjects(self) -> tuple[str, ...]:
        """The subjects whose data it holds, in the order of its holdings; each makes one record.

        Subjects with retired holdings only are among them, so that a later policy finds their record.
        """
        if not self.retired_holdings:
            return tuple(self.by_subject)
        return tuple(dict.fromkeys((*self.by_subject, *self.retired_by_subject)))

    @property
    def message_key(self) -> str:
        """The key of its message on Kafka: its subject, or the clock that it changes."""
        return self.subject or str(self.clock_changes[0].clock)


def _group_by_subject(holdings: Iterable[Holding]) -> Iterator[tuple[str, tuple[Holding, ...]]]:
    grouped: dict[str, list[Holding]] = {}
    for holding in holdings:
        grouped.setdefault(holding.subject, []).append(holding)
    return ((subject, tuple(own_holdings)) for subject, own_holdings in grouped.items())


def tag(event: Event, policy: Policy, *, recorded: bool = False) -> TaggedEvent:
    """Tag an event; an event that is `recorded` already is not checked against `schemas.limits` again.

    Raises:
        TaggingFailed: the policy does not define its type, a decision field is missing or invalid, it
            names no data subject, or its time is not possible.
    """
    kind = policy.events.get(event.type)
    if kind is None:
        raise TaggingFailed(
            "unknown-type", "type", f"the policy does not define the event type {event.type!r}"
        )
    if not MIN_EVENT_TIME <= event.time < MAX_EVENT_TIME:
        raise TaggingFailed(
            "impossible-time", "time", f"{event.time.isoformat()} is not a possible time"
        )
    deciding = dict(_read_decision_fields(kind, event.data))
    if not recorded:
        _check_limits(deciding)
    subject = find_subject(kind, deciding, policy)
    for name, field in kind.fields.items():
        if field.required and name not in deciding:
            raise TaggingFailed("missing-field", name, "is missing")
    holdings, retired = _build_holdings(kind, deciding, subject, event.time, policy, recorded)
    return TaggedEvent(
        id=event.id,
        source=event.source,
        type=event.type,
        time=event.time,
        decision_fields=deciding,
        subject=subject,
        holdings=holdings,
        retired_holdings=retired,
        clock_changes=tuple(
            ClockChange(clock=clock_key(move.clock, deciding, policy, move.key), move=move.move)
            for move in kind.moves
            if _has_clock_key(move, deciding, policy)
        ),
        privacy_event=_build_privacy_event(kind, event, deciding, subject, policy)
        if kind.act
        else None,
    )


def clock_key(
    clock: str,
    fields: Mapping[str, DecisionValue],
    policy: Policy,
    renamed: Mapping[str, str] | None = None,
) -> ClockKey:
    """Return the clock of a kind that an event's decision fields name.

    Raises:
        TaggingFailed: a key field is missing.
    """
    spec = policy.clocks[clock]
    parts = []
    for name in spec.key:
        field = (renamed or {}).get(name, name)
        value = fields.get(field)
        if not isinstance(value, str):
            raise TaggingFailed("missing-field", field, "is missing")
        parts.append(quote(value, safe=""))
    parent = clock_key(spec.parent, fields, policy, renamed) if spec.parent else None
    return ClockKey(clock=clock, key="/".join(parts), parent=parent)


def identifying_keys(
    event_type: str, fields: Mapping[str, DecisionValue], policy: Policy
) -> dict[str, str]:
    """Return the fields of an event, with their values, that name one person's rows."""
    return {
        name: value
        for name, field in policy.events[event_type].fields.items()
        if field.identifies and isinstance(value := fields.get(name), str)
    }


def business_keys(
    tagged: TaggedEvent,
    policy: Policy,
    subject: str,
    *,
    names_subject: bool = True,
    excluded: Collection[str] = (),
) -> dict[str, str]:
    """Return the fields, with their values, by which a system finds a subject's rows of an event.

    They are the identifying fields without those `excluded`, and the field that named this subject, which
    is left out unless `names_subject`, for pseudonymised data. Any other field, such as a customer's
    number on a consumer's order, may be another person's. Keys belong to the event's own subject: a
    subject that is only mentioned has none.
    """
    if subject != tagged.subject:
        return {}
    event, deciding = policy.events[tagged.type], tagged.decision_fields
    keys = identifying_keys(tagged.type, deciding, policy)
    keys_to_send = {name: value for name, value in keys.items() if name not in excluded}
    naming_field = _naming_field(event, deciding)
    if names_subject and naming_field and event.fields[naming_field].business_key:
        keys_to_send[naming_field] = str(deciding[naming_field])
    return keys_to_send


def _read_decision_fields(
    kind: EventType, data: Mapping[str, Any]
) -> Iterator[tuple[str, DecisionValue]]:
    for name, field in kind.fields.items():
        value = read_field(name, field, data)
        if value is not None:
            yield name, value


def read_field(name: str, field: Field, data: Mapping[str, Any]) -> DecisionValue | None:
    """Return the value of a decision field in an event's data, or its default.

    Raises:
        TaggingFailed: the value does not fit the field.
    """
    value = data.get(name)
    if value is None or value == "":
        return field.default
    return _parse_value(name, field, value)


def _check_limits(deciding: Mapping[str, DecisionValue]) -> None:
    for name, value in deciding.items():
        texts = value if isinstance(value, tuple) else (value,)
        problems = (limits.identifier_problem(text) for text in texts if isinstance(text, str))
        if problem := limits.count_problem(texts, limits.MAX_LIST) or next(
            filter(None, problems), None
        ):
            raise TaggingFailed("invalid-field", name, problem)


def _parse_value(name: str, field: Field, value: Any) -> DecisionValue:
    match field.type, value:
        case "string", str():
            if field.one_of and value not in field.one_of:
                allowed = ", ".join(field.one_of)
                raise TaggingFailed("invalid-field", name, f"is not one of {allowed}")
            return value
        case "boolean", bool():
            return value
        case "strings", str():
            return (value,)
        case "strings", list() | tuple() if all(isinstance(v, str) and v for v in value):
            return tuple(dict.fromkeys(value))
    raise TaggingFailed("invalid-field", name, f"is not a value of type {field.type}")


def find_subject(
    kind: EventType, deciding: Mapping[str, DecisionValue], policy: Policy
) -> str | None:
    """Return the data subject that an event names; None for a type that names none.

    Raises:
        TaggingFailed: the event names none, though its type does.
    """
    if not kind.subject:
        return None
    for candidate in kind.subject:
        for subject in _subjects_in(candidate, deciding):
            return _parse_subject(candidate, subject, policy)
    fields = " or ".join(candidate.field for candidate in kind.subject)
    raise TaggingFailed("unknown-subject", fields, "is missing: the event names no data subject")


def _subjects_in(field: SubjectField, deciding: Mapping[str, DecisionValue]) -> Iterator[str]:
    value = deciding.get(field.field)
    values = value if isinstance(value, tuple) else (value,)
    for text in values:
        if isinstance(text, str):
            yield f"{field.kind}:{text}" if field.kind else text


def _naming_field(kind: EventType, deciding: Mapping[str, DecisionValue]) -> str | None:
    """Return the name of the field that names the event's own subject: the first that is present."""
    naming_fields = (
        candidate.field
        for candidate in kind.subject
        if isinstance(deciding.get(candidate.field), str)
    )
    return next(naming_fields, None)


def _parse_subject(field: SubjectField, subject: str, policy: Policy) -> str:
    """Return the subject that a field names, once its kind is known to be the policy's."""
    kind, _, identifier = subject.partition(":")
    if field.kind is None and (kind not in policy.subjects or not identifier):
        kinds = ", ".join(policy.subjects)
        raise TaggingFailed(
            "unknown-subject", field.field, f"is not kind:id, with a kind of {kinds}"
        )
    return subject


def _build_privacy_event(
    kind: EventType,
    event: Event,
    deciding: Mapping[str, DecisionValue],
    subject: str | None,
    policy: Policy,
) -> PrivacyEvent:
    purpose = _text_field(deciding, "purpose")
    if purpose is not None and purpose not in policy.purposes:
        raise TaggingFailed("invalid-field", "purpose", "is not a purpose of the policy")
    records = deciding.get("records")
    return PrivacyEvent(
        kind=kind.act,  # type: ignore[arg-type]  # the caller has looked
        subject=subject or "",
        time=event.time,
        source=event.source,
        id=event.id,
        purpose=purpose,
        reference=next(
            (
                reference
                for name in _REFERENCE_FIELDS
                if (reference := _text_field(deciding, name)) is not None
            ),
            None,
        ),
        right=_text_field(deciding, "right"),  # type: ignore[arg-type]  # the policy's one_of has checked it
        outcome=_text_field(deciding, "outcome"),
        records=records if isinstance(records, tuple) else None,
    )


def _text_field(deciding: Mapping[str, DecisionValue], name: str) -> str | None:
    value = deciding.get(name)
    return value if isinstance(value, str) else None


def _build_holdings(
    kind: EventType,
    deciding: Mapping[str, DecisionValue],
    subject: str | None,
    time: datetime,
    policy: Policy,
    recorded: bool,
) -> tuple[tuple[Holding, ...], tuple[Holding, ...]]:
    """Return an event's holdings, and those that it would have in addition if nothing were retired."""
    holdings: list[Holding] = []
    retired: list[Holding] = []
    for spec in kind.holdings:
        if not applies_to(spec, deciding):
            continue
        systems, named_by_event = _resolve_systems(spec, deciding, policy)
        if not recorded and any(
            retiring.is_retired(holder, time, policy) for holder in named_by_event
        ):
            raise TaggingFailed("invalid-field", str(spec.systems_from), "names a retired system")
        live = retiring.remaining_systems(
            spec.purpose, systems, time, policy, exempt=named_by_event
        )
        anchor = policy.rules[spec.rule].anchor
        subjects = (
            _subjects_in(spec.subject, deciding)
            if spec.subject
            else iter([subject] if subject else [])
        )
        for holder in subjects:
            if spec.for_kinds and holder.partition(":")[0] not in spec.for_kinds:
                continue
            (holdings if live else retired).append(
                Holding(
                    subject=holder,
                    purpose=spec.purpose,
                    basis=spec.basis,
                    rule=spec.rule,
                    systems=live or systems,
                    clock=clock_key(anchor.clock, deciding, policy, spec.key)
                    if anchor.clock
                    else None,
                    own_consent=spec.own_consent,
                    alternative=_holding_change(spec),
                )
            )
    return tuple(holdings), tuple(retired)


def _holding_change(spec: HoldingRule) -> HoldingChange | None:
    if spec.on_withdrawal:
        return HoldingChange(
            when="withdrawn", basis=spec.on_withdrawal.basis, rule=spec.on_withdrawal.rule
        )
    if spec.on_consent:
        return HoldingChange(when="given", basis=spec.on_consent.basis, rule=spec.on_consent.rule)
    return None


def _resolve_systems(
    spec: HoldingRule, deciding: Mapping[str, DecisionValue], policy: Policy
) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the systems of a holding, in order, and those of them that the event itself names."""
    systems = systems_by_fields(spec, deciding)
    named_by_event: set[str] = set()
    if spec.systems_from:
        for system in deciding.get(spec.systems_from, ()):  # type: ignore[union-attr]  # a list field
            if system not in policy.systems:
                raise TaggingFailed("invalid-field", spec.systems_from, "names an unknown system")
            named_by_event.add(system)
    return tuple(sorted(systems | named_by_event)), frozenset(named_by_event)


def _has_clock_key(move: MoveRule, deciding: Mapping[str, DecisionValue], policy: Policy) -> bool:
    """Return whether the event has the clock's key: without an optional key field it changes no clock."""
    renamed = move.key
    return all(renamed.get(name, name) in deciding for name in policy.clocks[move.clock].key)
