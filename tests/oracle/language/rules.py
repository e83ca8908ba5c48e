"""A retention schedule as plain data: rules, clocks, and what each event type means.

Terms are ISO 8601 periods in years, months, weeks and days, or `never`. A policy of the product is
translated to and from these by tests; this package knows no class of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from tests.oracle.instants import AMSTERDAM

Event: TypeAlias = dict[str, Any]
"""A CloudEvent: `id`, `source`, `type`, `time`, `data`."""
NEVER = "never"
MONTH, QUARTER = "month", "quarter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """Where a term starts: the event's time, a date in the event, or the end of a clock."""

    kind: Literal["event", "field", "clock"] = "event"
    name: str = ""
    """Of the field or the clock."""
    end_of: str = ""
    """A named year, `quarter` or `month`: the term starts when the anchor's has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One term with its anchor."""

    term: str
    anchor: Anchor = Anchor()
    if_any: bool = False
    """Counts only once its clock began."""
    terms: Mapping[str, str] = field(default_factory=dict)
    """Other terms, by the outcome of the clock's end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A system informs the person so long before the data of a holding ends."""

    before: str
    system: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How long data is kept, by one part, or by the last or first end of several."""

    kind: Literal["at_most", "at_least"]
    parts: tuple[Part, ...]
    ends: Literal["last", "first"] = "last"
    minimum: str = ""
    """Beside a maximum of one part: not erased before this term has passed."""
    test: bool = False
    """Computed and shown, but commands nothing."""
    then: Literal["erase", "transfer", "transfer-and-erase"] = "erase"
    """What happens at the end; `transfer`: handed over to an archive, and nothing else."""
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A rule that extends another. With conditions it replaces that rule where they are met."""

    extends: str
    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The values of event fields: one of each."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Attributes of `Rule` that differ from those of the rule it extends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What an event does to a clock: start it again, or end it now or on a date that the event names."""

    clock: str
    ends: bool
    at: str = ""
    outcome: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Data of an event that some systems hold for a purpose under a rule."""

    purpose: str
    rule: str
    systems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    uses: tuple[Use, ...] = ()
    moves: tuple[Move, ...] = ()
    dates: tuple[str, ...] = ()
    """Fields that are dates, `2041-03-31`; all other fields are texts."""
    withdraws: str = ""
    """The purpose to which the person withdraws consent; a maximum without an end rests on consent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A whole retention schedule. The person an event is about is its field `person`."""

    types: Mapping[str, EventType]
    """Those of `privacy.*` are not among them."""
    rules: Mapping[str, Rule | Variant]
    clocks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The fields whose values distinguish the clocks of one name."""
    years: Mapping[str, str] = field(default_factory=lambda: {"calendar": "12-31"})
    """The last month and day of each named year."""
    lead_hours: Mapping[str, int] = field(default_factory=dict)
    """How many hours each system needs; 24 unless named."""
    retired: Mapping[str, str] = field(default_factory=dict)
    """The instant from which on a system gets nothing new, by the events' own time."""
    rights: bool = False
    """Whether `privacy.*` events place legal holds and request erasure."""
    zone: str = AMSTERDAM.key

    def type_of(self, event: Event) -> EventType:
        """Return what the event means; a `privacy.*` event keeps nothing and moves no clock."""
        if self.rights and event["type"].startswith("privacy."):
            return EventType()
        return self.types[event["type"]]
