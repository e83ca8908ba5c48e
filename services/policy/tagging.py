"""Tag an event: find its holdings, clock changes and privacy event under a policy.

A *holding* is one (event, subject, purpose) with its basis, rule and systems. A *clock change* ends or
starts a retention clock. Both are a pure function of the event's decision fields and the policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol
from urllib.parse import quote

from services.policy import retiring
from services.policy.conditions import rule_for
from services.policy.event_fields import check_limits, read_decision_fields, text_field
from services.policy.event_subject import find_subject, subjects_in
from services.policy.event_type import EventType, HoldingRule, MoveRule
from services.policy.kept_dates import with_kept_dates
from services.policy.model import Policy
from services.policy.placement import applies_to, systems_by_fields
from services.policy.rule import Anchor
from services.policy.subject_state import PrivacyEvent
from services.policy.tagged_event import (
    ClockChange,
    ClockKey,
    DecisionValue,
    Holding,
    HoldingChange,
    TaggedEvent,
)
from services.policy.tagging_error import TaggingFailed

MIN_EVENT_TIME = datetime(1900, 1, 1, tzinfo=UTC)
"""The earliest time of an event: an earlier one comes from a broken clock."""
MAX_EVENT_TIME = datetime(9500, 1, 1, tzinfo=UTC)
"""The latest time of an event: with a term and a lead time of 200 years each, windows end before 9999."""
MAX_AHEAD = timedelta(days=1)
"""How far the time of an event may be ahead of its arrival: a publisher's clock may be a little fast."""

_REFERENCE_FIELDS = ("request_id", "objection_id", "hold_id")


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
    deciding = dict(read_decision_fields(kind, event.data))
    if not recorded:
        check_limits(deciding)
    deciding = with_kept_dates(deciding, kind, policy)
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
            ClockChange(
                clock=clock_key(move.clock, deciding, policy, move.key),
                move=move.move,
                date=text_field(deciding, move.at) if move.at else None,
                outcome=move.outcome,
            )
            for move in kind.moves
            if _changes_clock(move, deciding, policy)
        ),
        privacy_event=build_privacy_event(kind, event, deciding, subject, policy)
        if kind.act
        else None,
    )


def check_arrival(event_time: datetime, arrived_at: datetime) -> None:
    """Check that an event that arrived at an instant, UTC, may have happened by then.

    Raises:
        TaggingFailed: its time is too far ahead.
    """
    if event_time > arrived_at + MAX_AHEAD:
        why = f"{event_time.isoformat()} is more than a day ahead of its arrival"
        raise TaggingFailed("impossible-time", "time", why)


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


def build_privacy_event(
    kind: EventType,
    event: Event,
    deciding: Mapping[str, DecisionValue],
    subject: str | None,
    policy: Policy,
) -> PrivacyEvent:
    purpose = text_field(deciding, "purpose")
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
                if (reference := text_field(deciding, name)) is not None
            ),
            None,
        ),
        right=text_field(deciding, "right"),  # type: ignore[arg-type]  # the policy's one_of has checked it
        outcome=text_field(deciding, "outcome"),
        records=records if isinstance(records, tuple) else None,
    )


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
        rule = rule_for(spec.rule, deciding, policy)
        subjects = (
            subjects_in(spec.subject, deciding)
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
                    rule=rule,
                    systems=live or systems,
                    starts=tuple(
                        _start_of(part.anchor, spec, deciding, policy)
                        for part in policy.rules[rule].parts
                    ),
                    own_consent=spec.own_consent,
                    alternative=_holding_change(spec, deciding, policy),
                )
            )
    return tuple(holdings), tuple(retired)


def _holding_change(
    spec: HoldingRule, deciding: Mapping[str, DecisionValue], policy: Policy
) -> HoldingChange | None:
    when: Literal["given", "withdrawn"] = "withdrawn" if spec.on_withdrawal else "given"
    change = spec.on_withdrawal or spec.on_consent
    if change is None:
        return None
    return HoldingChange(
        when=when, basis=change.basis, rule=rule_for(change.rule, deciding, policy)
    )


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


def _start_of(
    anchor: Anchor, spec: HoldingRule, deciding: Mapping[str, DecisionValue], policy: Policy
) -> ClockKey | str | None:
    """Return the clock or the date at which a term of a holding starts; None for the event itself."""
    if anchor.clock:
        return clock_key(anchor.clock, deciding, policy, spec.key)
    return text_field(deciding, anchor.field) if anchor.field else None


def _changes_clock(move: MoveRule, deciding: Mapping[str, DecisionValue], policy: Policy) -> bool:
    """Return whether the event has the clock's key and date: without an optional field it changes none."""
    renamed = move.key
    if move.at and move.at not in deciding:
        return False
    return all(renamed.get(name, name) in deciding for name in policy.clocks[move.clock].key)
