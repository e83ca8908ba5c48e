"""Tagging: what an event means under a policy. A pure function of the two.

A *holding* is one (event, subject, purpose) with its basis, rule and systems; a *move* ends or starts
a shared clock. Both follow from the event's deciding fields alone.
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
from services.policy.model import EventType, Field, HoldingRule, MoveRule, Policy, SubjectField
from services.policy.subject_state import PrivacyEvent

MIN_EVENT_TIME = datetime(1900, 1, 1, tzinfo=UTC)
"""No event is older: an earlier time is a broken clock, not a fact."""
MAX_EVENT_TIME = datetime(9500, 1, 1, tzinfo=UTC)
"""No event is later: its windows, a term and a lead time of 200 years each, would end past 9999."""

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

    The operator mends the publisher or the policy and replays it, or discards it with a reason.
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
    """One shared clock: its kind and the key that tells it from others of the kind."""

    clock: str
    key: str
    parent: ClockKey | None = None

    def __str__(self) -> str:
        return f"{self.clock}:{self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingChange:
    """What a holding becomes when consent is given or withdrawn; its clock stays."""

    when: Literal["given", "withdrawn"]
    basis: str
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """Data of one event on one subject, held for one purpose."""

    subject: str
    purpose: str
    basis: str
    rule: str
    systems: tuple[str, ...]
    clock: ClockKey | None = None
    """The shared clock it waits for; without one the event itself fixes the anchor."""
    own_consent: bool = False
    """Whether the event is a consent by itself."""
    alternative: HoldingChange | None = None
    """What consent makes of it; without one a withdrawal ends a holding on consent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockChange:
    """An event ends a clock, or starts it (again)."""

    clock: ClockKey
    move: Literal["start", "end"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedEvent:
    """An event with what follows from it under one policy. It carries no body."""

    id: str
    source: str
    type: str
    time: datetime
    decision_fields: Mapping[str, DecisionValue]
    subject: str | None
    """The event's own subject; absent only for a type that names none."""
    holdings: tuple[Holding, ...]
    clock_changes: tuple[ClockChange, ...]
    privacy_event: PrivacyEvent | None = None
    """What it does to where its subject stands."""
    retired_holdings: tuple[Holding, ...] = ()
    """What it would hold were its purposes and systems not retired: it asks for nothing."""
    _by_subject: dict[str, tuple[Holding, ...]] = attribute(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _retired_by_subject: dict[str, tuple[Holding, ...]] = attribute(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def by_subject(self) -> Mapping[str, tuple[Holding, ...]]:
        """The holdings of each subject, in order; looked up once, however many subjects there are."""
        if not self._by_subject:
            self._by_subject.update(_group_by_subject(self.holdings))
        return self._by_subject

    @property
    def retired_by_subject(self) -> Mapping[str, tuple[Holding, ...]]:
        """The retired holdings of each subject, likewise."""
        if self.retired_holdings and not self._retired_by_subject:
            self._retired_by_subject.update(_group_by_subject(self.retired_holdings))
        return self._retired_by_subject

    @property
    def subjects(self) -> tuple[str, ...]:
        """Whose data it holds, in the order of its holdings; each makes one record.

        Those of whom it would hold something are among them, so that a record is there if it is to.
        """
        if not self.retired_holdings:
            return tuple(self.by_subject)
        return tuple(dict.fromkeys((*self.by_subject, *self.retired_by_subject)))

    @property
    def message_key(self) -> str:
        """What it is partitioned by on the bus: its subject, or the clock that it moves."""
        return self.subject or str(self.clock_changes[0].clock)


def _group_by_subject(holdings: Iterable[Holding]) -> Iterator[tuple[str, tuple[Holding, ...]]]:
    grouped: dict[str, list[Holding]] = {}
    for holding in holdings:
        grouped.setdefault(holding.subject, []).append(holding)
    return ((subject, tuple(own_holdings)) for subject, own_holdings in grouped.items())


def tag(event: Event, policy: Policy, *, recorded: bool = False) -> TaggedEvent:
    """Tag an event; one that is `recorded` already is judged by no limit (`schemas.limits`) any more.

    Raises:
        TaggingFailed: its type is unknown to the policy, a deciding field is missing or of a wrong kind,
            it names no data subject, or its time cannot be true.
    """
    kind = policy.events.get(event.type)
    if kind is None:
        raise TaggingFailed(
            "unknown-type", "type", f"the policy knows no event type {event.type!r}"
        )
    if not MIN_EVENT_TIME <= event.time < MAX_EVENT_TIME:
        raise TaggingFailed("impossible-time", "time", f"{event.time.isoformat()} cannot be true")
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
    """The clock of a kind that an event's deciding fields name.

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
    """The fields of an event whose values name one person's rows."""
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
    """The fields by which a system finds an event's rows of a subject; `named` unless it is a pseudonym.

    They are those that identify, and the one that has named this subject. Whatever else the event says
    (a customer's number on a consumer's order) may be anybody's, and so are keys `without` which it has
    to go. A key is its event's own subject's: who is only mentioned there has none.
    """
    if subject != tagged.subject:
        return {}
    event, deciding = policy.events[tagged.type], tagged.decision_fields
    keys = identifying_keys(tagged.type, deciding, policy)
    sent = {name: value for name, value in keys.items() if name not in excluded}
    naming_field = _naming_field(event, deciding)
    if names_subject and naming_field and event.fields[naming_field].business_key:
        sent[naming_field] = str(deciding[naming_field])
    return sent


def _read_decision_fields(
    kind: EventType, data: Mapping[str, Any]
) -> Iterator[tuple[str, DecisionValue]]:
    for name, field in kind.fields.items():
        value = read_field(name, field, data)
        if value is not None:
            yield name, value


def read_field(name: str, field: Field, data: Mapping[str, Any]) -> DecisionValue | None:
    """What an event's data says in a deciding field, or its default.

    Raises:
        TaggingFailed: that is no value of the field.
    """
    value = data.get(name)
    if value is None or value == "":
        return field.default
    return _parse_value(name, field, value)


def _check_limits(deciding: Mapping[str, DecisionValue]) -> None:
    for name, value in deciding.items():
        texts = value if isinstance(value, tuple) else (value,)
        why = limits.count_problem(texts, limits.MAX_LIST)
        problems = (limits.identifier_problem(text) for text in texts if isinstance(text, str))
        if why := why or next((problem for problem in problems if problem), None):
            raise TaggingFailed("invalid-field", name, why)


def _parse_value(name: str, field: Field, value: Any) -> DecisionValue:
    match field.type, value:
        case "string", str():
            if field.one_of and value not in field.one_of:
                allowed = ", ".join(field.one_of)
                raise TaggingFailed("invalid-field", name, f"is none of {allowed}")
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
    """The data subject that an event names, if its type names any.

    Raises:
        TaggingFailed: it names none.
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
    """The field that names the event's own subject: the first that is present."""
    named = (
        candidate.field
        for candidate in kind.subject
        if isinstance(deciding.get(candidate.field), str)
    )
    return next(named, None)


def _parse_subject(field: SubjectField, subject: str, policy: Policy) -> str:
    """A subject that the event gave in full, once its kind is known to exist."""
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
        raise TaggingFailed("invalid-field", "purpose", "is no purpose of the policy")
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
    """What an event holds, and what it would hold were nothing retired at its time."""
    holdings: list[Holding] = []
    retired: list[Holding] = []
    for spec in kind.holdings:
        if any(deciding.get(name) not in values for name, values in spec.when.items()):
            continue
        systems, named = _resolve_systems(spec, deciding, policy)
        if not recorded and any(retiring.is_retired(holder, time, policy) for holder in named):
            raise TaggingFailed("invalid-field", str(spec.systems_from), "names a retired system")
        live = retiring.remaining_systems(spec.purpose, systems, time, policy, exempt=named)
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
    """The systems of a holding, in order, and those of them that the event itself names."""
    systems = set(spec.systems)
    for name, by_value in spec.systems_when.items():
        systems.update(by_value.get(str(deciding.get(name)), ()))
    named: set[str] = set()
    if spec.systems_from:
        for system in deciding.get(spec.systems_from, ()):  # type: ignore[union-attr]  # a list field
            if system not in policy.systems:
                raise TaggingFailed("invalid-field", spec.systems_from, "names an unknown system")
            named.add(system)
    return tuple(sorted(systems | named)), frozenset(named)


def _has_clock_key(move: MoveRule, deciding: Mapping[str, DecisionValue], policy: Policy) -> bool:
    """Whether the event has the clock's key at all: a lead's optional key moves nothing."""
    renamed = move.key
    return all(renamed.get(name, name) in deciding for name in policy.clocks[move.clock].key)
