"""A tagged event that is read from the plan of its shape; its holdings are filled in on demand."""

from __future__ import annotations

from collections.abc import Mapping

from services.policy.plan import FilledPlan
from services.policy.subject_state import PrivacyEvent
from services.policy.tagged_event import ClockChange, DecisionValue, Holding, TaggedEvent
from services.policy.tagging import Event

_set = object.__setattr__


class PlannedEvent(TaggedEvent):
    """An event, read by its plan; it is equal to the event that tagging without plans returns."""

    __slots__ = ("_filled", "_holdings")

    _filled: FilledPlan
    _holdings: tuple[Holding, ...] | None

    def __init__(
        self,
        event: Event,
        decision_fields: Mapping[str, DecisionValue],
        subject: str | None,
        plan: FilledPlan,
        privacy_event: PrivacyEvent | None,
    ) -> None:
        """Make it of an event and its plan, both under one policy."""
        _set(self, "id", event.id)
        _set(self, "source", event.source)
        _set(self, "type", event.type)
        _set(self, "time", event.time)
        _set(self, "decision_fields", decision_fields)
        _set(self, "subject", subject)
        _set(self, "privacy_event", privacy_event)
        _set(self, "plan", plan)
        _set(self, "_filled", plan)
        _set(self, "_holdings", None)
        _set(self, "_by_subject", {})
        _set(self, "_retired_by_subject", {})

    @property
    def holdings(self) -> tuple[Holding, ...]:
        """Its holdings."""
        if self._holdings is None:
            _set(self, "_holdings", self._filled.fill_holdings(self._filled.plan.holdings))
        return self._holdings or ()

    @property
    def retired_holdings(self) -> tuple[Holding, ...]:
        """Its holdings if its purposes and systems were not retired."""
        return self._filled.fill_holdings(self._filled.plan.retired_holdings)

    @property
    def clock_changes(self) -> tuple[ClockChange, ...]:
        """The ends and starts of clocks by it."""
        return self._filled.clock_changes()

    @property
    def subjects(self) -> tuple[str, ...]:
        """The subjects whose data it holds."""
        return tuple(self._filled.subjects)

    def __eq__(self, other: object) -> bool:
        """Return whether the other is the same tagged event, with a plan or without one."""
        return isinstance(other, TaggedEvent) and all(
            getattr(self, name) == getattr(other, name) for name in _COMPARED
        )

    __hash__ = None  # type: ignore[assignment]  # its decision fields have none


_COMPARED = (
    *("id", "source", "type", "time", "decision_fields", "subject", "subjects"),
    *("holdings", "retired_holdings", "clock_changes", "privacy_event"),
)
