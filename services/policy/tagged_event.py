"""An event as the policy reads it: its holdings, clock changes and privacy event, without its data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from services.policy.subject_state import PrivacyEvent

if TYPE_CHECKING:
    from services.policy.plan import FilledPlan

DecisionValue = str | bool | tuple[str, ...]


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
    starts: tuple[ClockKey | str | None, ...] = (None,)
    """For each part of its rule the retention clock or the date, as 2026-03-15, from which it counts.
    None: the event itself, or a date that the event does not have."""
    own_consent: bool = False
    """Whether the event is itself a consent."""
    alternative: HoldingChange | None = None
    """The basis and rule after a change of consent; without it, a withdrawal ends a holding on consent."""

    @property
    def clocks(self) -> tuple[ClockKey, ...]:
        """The retention clocks that it depends on."""
        return tuple(start for start in self.starts if isinstance(start, ClockKey))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockChange:
    """The end or the (new) start of a clock by an event."""

    clock: ClockKey
    move: Literal["start", "end"]
    date: str | None = None
    """The day, as 2026-03-15, on which it ends; without one it ends at the time of the event."""
    outcome: str | None = None
    """With what outcome it ends."""


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
    plan: FilledPlan | None = attribute(default=None, repr=False, compare=False)
    """The plan of its shape, from which the rest is read; None for an event that was tagged alone."""
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
        return self.subject or next((str(change.clock) for change in self.clock_changes), self.id)


def _group_by_subject(holdings: Iterable[Holding]) -> Iterator[tuple[str, tuple[Holding, ...]]]:
    grouped: dict[str, list[Holding]] = {}
    for holding in holdings:
        grouped.setdefault(holding.subject, []).append(holding)
    return ((subject, tuple(own_holdings)) for subject, own_holdings in grouped.items())
