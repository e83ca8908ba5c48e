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
from services.policy.plan import FilledPlan, Plan
from services.policy.planned_event import PlannedEvent
from services.policy.shapes import Shape, Shapes
from services.policy.tagged_event import TaggedEvent
from services.policy.tagging import (
    MAX_EVENT_TIME,
    MIN_EVENT_TIME,
    Event,
    build_privacy_event,
    tag,
)

_MAX_PLANS = 1_000
_MAX_POLICIES = 8


ShapedEvent = tuple[Shape, Sequence[str]]
"""The shape of an event, with its identifiers in order."""


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
    _plans: dict[Shape, Plan | None] = field(default_factory=dict, init=False)
    """By shape; None for a shape whose events are tagged one by one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_retiring", retiring.retirement_times(self.policy))

    def find_shape(
        self, type: str, data: Mapping[str, Any], time: datetime, recorded: bool = False
    ) -> ShapedEvent | None:
        """Return the shape and the identifiers of an event; None if it has to be tagged alone."""
        shapes = self._shapes.get(type) or self._find_shapes(type)
        found = shapes.find(data) if shapes else None
        if found is None or not MIN_EVENT_TIME <= time < MAX_EVENT_TIME:
            return None
        shape, identifiers = found
        return (type, recorded, retiring.retirement_era(time, self._retiring), shape), identifiers

    def tag(self, event: Event, *, recorded: bool = False) -> TaggedEvent:
        """Return the same as `services.policy.tagging.tag`, by the plan of the event's shape.

        Raises:
            TaggingFailed: the policy cannot tag it.
        """
        plan = self.fill_plan(event, recorded)
        return self._fill(event, plan) if plan else tag(event, self.policy, recorded=recorded)

    def fill_plan(self, event: Event, recorded: bool = False) -> FilledPlan | None:
        """Return the plan of an event's shape with the event's identifiers; None without such a plan.

        Raises:
            TaggingFailed: the shape is new, and the policy cannot tag the event.
        """
        shaped = self.find_shape(event.type, event.data, event.time, recorded)
        if shaped is None:
            return None
        shape, identifiers = shaped
        plan = self._plans.get(shape)
        if plan is None and shape not in self._plans:
            plan = self._compile(event, identifiers, recorded)
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            self._plans[shape] = plan
        return plan.fill(identifiers) if plan else None

    def with_placeholders(self, type: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the data of an event that has a shape, with placeholders for its identifiers."""
        return self._shapes[type].with_placeholders(data)

    def _find_shapes(self, type: str) -> Shapes | None:
        kind = self.policy.events.get(type)
        if kind is None:
            return None
        return self._shapes.setdefault(type, Shapes.from_policy(kind, self.policy))

    def _compile(self, event: Event, identifiers: Sequence[str], recorded: bool) -> Plan | None:
        """Return the plan of an event's shape; None if tagging gives anything else for the event."""
        tagged = tag(event, self.policy, recorded=recorded)
        data = self.with_placeholders(event.type, event.data)
        sample = _EventWithPlaceholders(event.id, event.source, event.type, event.time, data)
        plan = Plan.from_tagged(tag(sample, self.policy, recorded=recorded), self.policy)
        return plan if self._fill(event, plan.fill(identifiers)) == tagged else None

    def _fill(self, event: Event, plan: FilledPlan) -> TaggedEvent:
        fields, subject = plan.decision_fields(event.data), plan.subject
        kind = self.policy.events[event.type]
        privacy_event = None
        if kind.act:
            privacy_event = build_privacy_event(kind, event, fields, subject, self.policy)
        return PlannedEvent(event, fields, subject, plan, privacy_event)


_compiled: dict[int, CompiledPolicy] = {}


def compile_policy(policy: Policy) -> CompiledPolicy:
    """Return the policy, compiled; the same policy is compiled once in a process."""
    compiled = _compiled.get(id(policy))
    if compiled is None or compiled.policy is not policy:
        compiled = CompiledPolicy(policy=policy)
        if len(_compiled) >= _MAX_POLICIES:
            _compiled.clear()
        _compiled[id(policy)] = compiled
    return compiled
