"""Compile a policy into plans, one for each shape of events, and look up the plan of an event.

Every role reads an event by its plan, so that what all events of a shape have in common is worked out once.
The plan of a shape is compiled from an event with placeholders, and is used only if it gives the same for
that event as tagging does. An event without a shape is tagged alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from services.policy import retiring
from services.policy.model import Policy
from services.policy.plan import Plan
from services.policy.planned_event import PlannedEvent
from services.policy.shapes import Shape, Shapes
from services.policy.tagged_event import DecisionValue, TaggedEvent
from services.policy.tagging import (
    MAX_EVENT_TIME,
    MIN_EVENT_TIME,
    Event,
    build_privacy_event,
    tag,
)

_MAX_PLANS = 1_000
_MAX_POLICIES = 8


class ShapedEvent(NamedTuple):
    """The shape of an event, with its identifiers in order."""

    shape: Shape
    identifiers: Sequence[str]


class ShapePlan(NamedTuple):
    """The plan of a shape, and its decision fields that are the same in all of its events."""

    plan: Plan
    fixed: Mapping[str, DecisionValue]
    texts: tuple[str, ...]
    """The other decision fields that are texts."""
    lists: tuple[str, ...]


class _EventWithPlaceholders(NamedTuple):
    id: str
    source: str
    type: str
    time: datetime
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledPolicy:
    """A policy with the plans of the shapes of events that it has met."""

    policy: Policy
    _shapes: dict[str, Shapes] = field(default_factory=dict, init=False)
    _retiring: tuple[datetime, ...] = field(default=(), init=False)
    _plans: dict[Shape, ShapePlan | None] = field(default_factory=dict, init=False)
    """By shape; None for a shape whose events are tagged one by one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_retiring", retiring.retirement_times(self.policy))

    def find_shape(
        self, type: str, data: Mapping[str, Any], time: datetime, *, recorded: bool
    ) -> ShapedEvent | None:
        """Return the shape and the identifiers of an event; None if it has to be tagged alone."""
        shapes = self._shapes.get(type) or self._find_shapes(type)
        found = shapes.find(data) if shapes else None
        if found is None or not MIN_EVENT_TIME <= time < MAX_EVENT_TIME:
            return None
        shape, identifiers = found
        era = retiring.retirement_era(time, self._retiring)
        return ShapedEvent((type, recorded, era, shape), identifiers)

    def tag(self, event: Event, *, recorded: bool = False) -> TaggedEvent:
        """Return the same as `services.policy.tagging.tag`, by the plan of the event's shape.

        Raises:
            TaggingFailed: the policy cannot tag it.
        """
        shaped = self.find_shape(event.type, event.data, event.time, recorded=recorded)
        planned = shaped and self.find_plan(shaped, event, recorded=recorded)
        if not (shaped and planned):
            return tag(event, self.policy, recorded=recorded)
        return self._fill(event, planned, shaped.identifiers)

    def find_plan(
        self, shaped: ShapedEvent, event: Event, *, recorded: bool = False
    ) -> ShapePlan | None:
        """Return the plan of an event's shape, compiled if it is new; None if the shape has no plan.

        Raises:
            TaggingFailed: the shape is new, and the policy cannot tag the event.
        """
        known = self._plans.get(shaped.shape)
        if known is None and shaped.shape not in self._plans:
            tagged = tag(event, self.policy, recorded=recorded)
            known = self._compile(event, shaped.identifiers, recorded)
            if self._fill(event, known, shaped.identifiers) != tagged:
                known = None
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            self._plans[shaped.shape] = known
        return known

    def _find_shapes(self, type: str) -> Shapes | None:
        kind = self.policy.events.get(type)
        if kind is None:
            return None
        return self._shapes.setdefault(type, Shapes.from_policy(kind, self.policy))

    def _compile(self, event: Event, identifiers: Sequence[str], recorded: bool) -> ShapePlan:
        shapes = self._shapes[event.type]
        placeholders = _EventWithPlaceholders(
            event.id, event.source, event.type, event.time, shapes.with_placeholders(event.data)
        )
        tagged = tag(placeholders, self.policy, recorded=recorded)
        fields = tagged.decision_fields
        texts = (*(name for name, _ in shapes.names), *shapes.subjects)
        return ShapePlan(
            plan=Plan.from_tagged(tagged, self.policy),
            fixed={name: fields[name] for name in shapes.switches if name in fields},
            texts=tuple(name for name in texts if name in fields),
            lists=tuple(name for name in shapes.lists if name in fields),
        )

    def _fill(self, event: Event, planned: ShapePlan, identifiers: Sequence[str]) -> TaggedEvent:
        """Return the tagged event of an event with this plan and these identifiers."""
        plan, data = planned.plan, event.data
        filled = plan.fill(identifiers)
        fields: dict[str, DecisionValue] = dict(planned.fixed)
        for name in planned.texts:
            fields[name] = data[name]
        for name in planned.lists:
            fields[name] = tuple(data[name])
        subject = plan.subject.fill(identifiers) if plan.subject else None
        kind = self.policy.events[plan.type]
        privacy_event = None
        if kind.act:
            privacy_event = build_privacy_event(kind, event, fields, subject, self.policy)
        return PlannedEvent(event, fields, subject, filled, privacy_event)


_compiled: dict[int, CompiledPolicy] = {}


def compile_policy(policy: Policy) -> CompiledPolicy:
    """Return the policy, compiled; the same policy is compiled once in a process."""
    known = _compiled.get(id(policy))
    if known is None or known.policy is not policy:
        known = CompiledPolicy(policy=policy)
        if len(_compiled) >= _MAX_POLICIES:
            _compiled.clear()
        _compiled[id(policy)] = known
    return known
