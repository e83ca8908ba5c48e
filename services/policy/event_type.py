"""An event type of the policy: its fields, whose data it contains, and what is kept because of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from services.policy.strict_model import StrictModel
from services.policy.text_formats import PathText, SourceText

PrivacyEventKind = Literal[
    "consent-given",
    "consent-withdrawn",
    "objection-raised",
    "objection-decided",
    "request-received",
    "identity-verified",
    "request-extended",
    "request-answered",
    "request-refused",
    "restriction-lifted",
    "hold-placed",
    "hold-released",
]
"""What a privacy event reports or decides about its data subject."""

ProvenanceReport = Literal["obtained", "contacted", "disclosed", "informed"]
"""What an event reports about data that does not come from the person, and about telling the person so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field(StrictModel):
    """A decision field of an event; Termijn keeps no other data of an event than these fields."""

    type: Literal["string", "boolean", "strings", "date"] = "string"
    """The type of its value; `strings` is a list of texts, `date` a day such as 2026-03-15."""
    required: bool = True
    """Whether every event must have it."""
    default: str | bool | None = None
    """The value of an event without the field; of a boolean `true` or `false`."""
    one_of: tuple[str, ...] = ()
    """The only values that it may have; without it any text."""
    business_key: bool = False
    """Whether a system finds its rows by it; commands contain it if it names the subject."""
    identifies: bool = field(default=False, repr=False)
    """Whether its value names one person's rows, such as an order's number; commands contain it.

    If two subjects have the same value, no command about either is sent until an operator decides whose
    it is.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectField(StrictModel):
    """A field that names the data subject of an event; of several, the first that is present counts."""

    field: str
    """A name in `fields`."""
    kind: str | None = None
    """The kind of data subject; without it the field contains it, as `kind:id`."""
    each: bool = False
    """Whether the field lists several subjects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentFallback(StrictModel):
    """The basis and the rule that a holding changes to; its anchor stays."""

    basis: str
    """A name in `bases`."""
    rule: str
    """A name in `rules`; same anchor and kind as the holding's own rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingRule(StrictModel):
    """A holding that an event makes: a purpose, its basis and rule, and the systems that have the data."""

    purpose: str
    """Why the data is kept: a name in `purposes`."""
    basis: str
    """The legal basis of keeping it: a name in `bases`."""
    rule: str
    """How long it is kept: a name in `rules`."""
    systems: tuple[str, ...]
    """The systems that hold the data: names in `systems`, at least one."""
    key: Mapping[str, str] = field(default_factory=dict)
    """The event field for each key field of its rule's clock, where the names differ."""
    subject: SubjectField | None = None
    """The field that names whose data it is, if that is not the event's own subject."""
    for_kinds: tuple[str, ...] = ()
    """The holding is made only if the subject is of one of these kinds."""
    when: Mapping[str, tuple[str | bool, ...]] = field(default_factory=dict)
    """The holding is made only if each of these fields has one of its values."""
    systems_when: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    """Further systems by a field's value."""
    systems_from: str | None = None
    """A list field that names further systems."""
    own_consent: bool = False
    """Whether the event is itself a consent, which an earlier withdrawal does not change."""
    on_withdrawal: ConsentFallback | None = None
    """What it changes to when consent is withdrawn; without it the holding ends."""
    on_consent: ConsentFallback | None = None
    """What it changes to when consent is given later, in an event of its own."""
    survives_withdrawal: str | None = field(default=None, repr=False)
    """The ground on which a minimum term on consent goes on when consent is withdrawn (GDPR 17(3))."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveRule(StrictModel):
    """A change that an event makes to a clock: it ends it, or starts it (again)."""

    clock: str
    """A name in `clocks`."""
    move: Literal["start", "end"]
    """`end`: terms that count from the clock begin; `start`: it runs, or runs again."""
    key: Mapping[str, str] = field(default_factory=dict)
    """The event field for each key field, where the names differ."""
    at: str | None = field(default=None, repr=False)
    """The event field of type `date` with the day on which the clock ends, as that day begins. An event
    without the date does not change the clock."""
    outcome: str | None = field(default=None, repr=False)
    """With what outcome the clock ends; `terms` of a rule may have another term for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenanceRule(StrictModel):
    """What an event reports about the duty to inform a person where their data comes from (GDPR 14(3))."""

    reports: ProvenanceReport
    """`obtained`: the duty starts; `contacted`, `disclosed`: the person must have been informed by then;
    `informed`: the person was informed of what was obtained up to then."""
    when: Mapping[str, tuple[str | bool, ...]] = field(default_factory=dict)
    """It reports this only if each of these fields has one of its values."""
    unless: Mapping[str, tuple[str | bool, ...]] = field(default_factory=dict)
    """It does not report this if one of these fields has one of its values: those by which the person gave
    the data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType(StrictModel):
    """A type of business event: whose data it contains, and what is kept because of it."""

    process: str
    """The process in the statement that it belongs to."""
    fields: Mapping[str, Field]
    """The fields of its data that Termijn needs, by name."""
    subject: tuple[SubjectField, ...] = ()
    """The fields that name whose data it contains."""
    categories: tuple[str, ...] = ()
    """The kinds of data that it contains: names in `categories`."""
    holdings: tuple[HoldingRule, ...] = ()
    """What is kept because of it: one entry for each purpose and rule."""
    moves: tuple[MoveRule, ...] = ()
    """The retention clocks that it starts or ends."""
    act: PrivacyEventKind | None = None
    """What it changes in its data subject's state."""
    sources: tuple[SourceText, ...] = field(default=(), repr=False)
    """The CloudEvents sources that may publish it: each in full, or a prefix with `*` at its end.
    Events of other sources are parked. Without it every source may publish."""
    provenance: ProvenanceRule | None = field(default=None, repr=False)
    """What it reports about the duty to inform the person where the data comes from (GDPR 14(3))."""
    encrypted: Mapping[PathText, tuple[str, ...]] = field(default_factory=dict)
    """Fields that are encrypted on Kafka, such as `lines[].product`, each with the systems that hold
    its keys: it can be read while one of them has its key."""
    plain: tuple[PathText, ...] = ()
    """Other fields, which identify no person once the encrypted ones are unreadable, and stay in clear."""
