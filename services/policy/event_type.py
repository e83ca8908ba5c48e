"""An event type of the policy: its fields, whose data it contains, and what is kept because of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from services.policy.strict_model import StrictModel

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Field(StrictModel):
    """A decision field of an event; Termijn keeps no other data of an event than these fields."""

    type: Literal["string", "boolean", "strings"] = "string"
    required: bool = True
    default: str | None = None
    one_of: tuple[str, ...] = ()
    business_key: bool = False
    """Whether a system finds its rows by it; commands contain it if it names the subject."""
    identifies: bool = field(default=False, repr=False)  # not in the structure hash
    """Whether its value names one person's rows, such as an order's number; commands contain it.

    If two subjects have the same value, no command about either is sent until an operator decides whose
    it is.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectField(StrictModel):
    """A field that names the data subject of an event; of several, the first that is present counts."""

    field: str
    kind: str | None = None
    """The kind of data subject; without it the field contains it, as `kind:id`."""
    each: bool = False
    """Whether the field lists several subjects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentFallback(StrictModel):
    """The basis and the rule that a holding changes to; its anchor stays."""

    basis: str
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingRule(StrictModel):
    """A holding that an event makes: a purpose, its basis and rule, and the systems that have the data."""

    purpose: str
    basis: str
    rule: str
    systems: tuple[str, ...]
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
    """What it changes to when consent is given later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveRule(StrictModel):
    """A change that an event makes to a clock: it ends it, or starts it (again)."""

    clock: str
    move: Literal["start", "end"]
    key: Mapping[str, str] = field(default_factory=dict)
    """The event field for each key field, where the names differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType(StrictModel):
    """A type of business event: whose data it contains, and what is kept because of it."""

    process: str
    """The process in the statement that it belongs to."""
    fields: Mapping[str, Field]
    subject: tuple[SubjectField, ...] = ()
    categories: tuple[str, ...] = ()
    holdings: tuple[HoldingRule, ...] = ()
    moves: tuple[MoveRule, ...] = ()
    act: PrivacyEventKind | None = None
    """What it changes in its data subject's state."""
    sources: tuple[str, ...] = ()
    """The CloudEvents sources that may publish it: each in full, or a prefix with `*` at its end.
    Events of other sources are parked. Without it every source may publish."""
    encrypted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Fields that are encrypted on Kafka, such as `lines[].product`, each with the systems that hold
    its keys: it can be read while one of them has its key."""
    plain: tuple[str, ...] = ()
    """Other fields, which identify no person once the encrypted ones are unreadable, and stay in clear."""
