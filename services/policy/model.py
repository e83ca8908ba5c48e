"""What a retention policy says. One policy file is one `Policy`; the loader checks it as a whole.

Names follow the GDPR and the W3C Data Privacy Vocabulary (DPV 2.3): a purpose, the legal basis it
rests on, the rule that says how long, the system that holds the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from services.policy.calendar import Period, parse_period
from services.policy.instants import Instant
from services.policy.strict_model import StrictModel

Right = Literal["access", "rectification", "erasure", "portability", "restriction"]
"""A right of the data subject that is exercised by a request (GDPR 15-18, 20)."""

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
"""What a privacy event says or decides about its data subject."""

Provenance = Literal["stated", "statute", "derived"]
"""Where a term or an anchor comes from: the company's own statement, a law, or our reading of either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller(StrictModel):
    """The company that answers for the processing (GDPR art. 4(7))."""

    name: str
    contact: str
    """Where a data subject turns to."""
    time_zone: str
    """IANA name; every calendar computation happens in it."""
    book_year_end: str = "12-31"
    """Last day of the book year, month-day; 02-29 is the last day of February."""
    statement: str
    """The privacy statement and its version, from which the stated terms come."""
    authority: str | None = None
    """The supervisory authority that a data subject may complain to (GDPR 77)."""
    authority_contact: str | None = None
    """Where that authority is reached."""

    @property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.time_zone)

    @property
    def book_year(self) -> tuple[int, int]:
        """Month and day of the book year's end."""
        month, _, day = self.book_year_end.partition("-")
        return int(month), int(day)


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose(StrictModel):
    """Why data is processed (GDPR art. 5(1)(b))."""

    title: str
    dpv: str
    """A DPV 2.3 term, such as dpv:DirectMarketing."""
    source: str
    """The heading of the statement that names it."""
    objection: Literal["absolute", "withdrawal", "restrict"] = "restrict"
    """What an objection does: end at once (GDPR 21(2)), count as withdrawal, or restrict (18(1)(d))."""
    retired: Instant | None = None
    """From when on, by the events' own time, nothing is held for it; what was before keeps its terms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegalBasis(StrictModel):
    """On what ground (GDPR art. 6(1))."""

    title: str
    dpv: str
    """A DPV eu-gdpr term, such as eu-gdpr:A6-1-b."""
    article: str
    ground: Literal[
        "consent",
        "contract",
        "legal_obligation",
        "vital_interests",
        "public_task",
        "legitimate_interest",
    ]
    """Which of the six it is; it decides what consent, objection and requests do to a holding."""

    @property
    def is_statutory(self) -> bool:
        """Whether a law demands it: then no objection and no other purpose's end touches it."""
        return self.ground == "legal_obligation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Category(StrictModel):
    """A kind of personal data."""

    title: str
    dpv: tuple[str, ...]
    """Terms of DPV's personal-data extension, such as pd:EmailAddress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectKind(StrictModel):
    """A kind of data subject; subjects are written `kind:id`."""

    title: str
    dpv: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class System(StrictModel):
    """A place that holds data and obeys commands: one of our own, a processor's, or a controller's."""

    title: str
    owner: str
    """The team or company that answers for it."""
    role: Literal["own", "processor", "controller"] = "own"
    """For a `controller` a command is a notice (GDPR 17(2), 19), and a refusal with its ground is final."""
    outside_eea: bool = False
    safeguard: str | None = None
    """The transfer safeguard (GDPR ch. V); required outside the EEA."""
    lead_time: str = "PT24H"
    """How long it needs to erase: the command leaves this much before `erase_by`. Exact period."""
    acknowledge_within: str = "PT24H"
    """How long after a command it may stay silent before that is escalated. Exact period."""
    reread: Literal["system", "attested"] = "system"
    """Whether it reads again what it has erased; `attested`: it cannot, and its word is all there is."""
    verify_after: str = "PT0S"
    """How long after it has erased it is asked to read again. Exact period."""
    holds: Literal["data", "keys"] = "data"
    """`keys`: the log itself. It holds the keys of encrypted fields, and erases by destroying them."""
    retired: Instant | None = None
    """From when on, by the events' own time, it holds nothing new; what it held before is carried out."""

    @property
    def lead_time_period(self) -> Period:
        """The lead time."""
        return parse_period(self.lead_time)

    @property
    def verify_delay(self) -> timedelta | None:
        """When what it has carried out is read again; None: never, it attests, or is a controller."""
        if self.role == "controller" or self.reread == "attested":
            return None
        return parse_period(self.verify_after).exact


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor(StrictModel):
    """When a term's clock starts: at the event, at its book year's end, or when a shared clock stops."""

    kind: Literal["event", "book-year", "clock"]
    clock: str | None = None
    """The shared clock, for kind `clock`."""

    def __str__(self) -> str:
        return self.clock or self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(StrictModel):
    """How long: a promise of a maximum (`at_most`) or a duty of a minimum (`at_least`)."""

    title: str
    kind: Literal["at_most", "at_least"]
    term: str
    """ISO 8601 period, computed once from the anchor."""
    anchor: Anchor
    term_from: Provenance
    anchor_from: Provenance
    source: str
    """The heading of the statement, or the article of the law."""
    rationale: str | None = None
    """Why, for whatever is derived; the privacy officer confirms it."""
    pseudonymise: bool = False
    """Pseudonymise as soon as the event's other holdings that no statute demands have ended."""

    @property
    def period(self) -> Period:
        """The term as a period."""
        return parse_period(self.term)

    @property
    def is_in_statement(self) -> bool:
        """Whether the statement, or the law it refers to, gives the term."""
        return self.term_from != "derived"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock(StrictModel):
    """An anchor that many records share, such as the end of a customer relationship.

    The last writer by (event time, source, id) decides whether it has ended; with a parent, the earlier
    end of the two holds.
    """

    title: str
    key: tuple[str, ...]
    """The event fields that identify one such clock."""
    parent: str | None = None
    """A clock whose end ends this one too; its key fields are among this one's."""
    max_open: str | None = None
    """Past this many days since its first record an open clock is an alarm: it keeps data for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field(StrictModel):
    """A field of an event that decides something: the only data of it that Termijn keeps."""

    type: Literal["string", "boolean", "strings"] = "string"
    required: bool = True
    default: str | None = None
    one_of: tuple[str, ...] = ()
    business_key: bool = False
    """Whether a system finds its rows by it; commands carry it where it names the subject."""
    identifies: bool = field(default=False, repr=False)  # no part of what events hang on: `shapes`
    """Whether its value names one person's rows, such as an order's number; commands carry it.

    Where two subjects have the same one, no command about either leaves until a person says whose it is.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectField(StrictModel):
    """Where an event names its data subject: the first field that is present decides."""

    field: str
    kind: str | None = None
    """The kind of data subject; without one the field says it, as `kind:id`."""
    each: bool = False
    """Whether the field lists several subjects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative(StrictModel):
    """The basis and the rule that a holding changes to; its anchor is the same."""

    basis: str
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingRule(StrictModel):
    """One holding that an event makes: a purpose, its basis and rule, and the systems that serve it."""

    purpose: str
    basis: str
    rule: str
    systems: tuple[str, ...]
    key: Mapping[str, str] = field(default_factory=dict)
    """Event field for a key field of its rule's clock, where the names differ."""
    subject: SubjectField | None = None
    """Whose data it is, where that is not the event's own subject."""
    for_kinds: tuple[str, ...] = ()
    """Only where the subject is of one of these kinds."""
    when: Mapping[str, tuple[str | bool, ...]] = field(default_factory=dict)
    """Only where each field has one of its values."""
    systems_when: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    """Further systems by a field's value."""
    systems_from: str | None = None
    """A list field that names further systems."""
    own_consent: bool = False
    """Whether the event is a consent by itself, which an earlier withdrawal does not touch."""
    on_withdrawal: Alternative | None = None
    """What it falls back to when consent is withdrawn; without one it ends."""
    on_consent: Alternative | None = None
    """What it changes to when consent is given for what is already there."""

    @property
    def declared_systems(self) -> frozenset[str]:
        """Every system that may hold it, but for those that an event itself names."""
        by_value = (systems for values in self.systems_when.values() for systems in values.values())
        return frozenset(self.systems).union(*by_value)


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveRule(StrictModel):
    """How an event moves a clock: it ends it, or starts it (again)."""

    clock: str
    move: Literal["start", "end"]
    key: Mapping[str, str] = field(default_factory=dict)
    """Event field for a key field, where the names differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType(StrictModel):
    """What one type of business event means for the data it carries."""

    process: str
    """The process of the statement that it belongs to."""
    fields: Mapping[str, Field]
    subject: tuple[SubjectField, ...] = ()
    categories: tuple[str, ...] = ()
    holdings: tuple[HoldingRule, ...] = ()
    moves: tuple[MoveRule, ...] = ()
    act: PrivacyEventKind | None = None
    """What it does to where its data subject stands."""
    sources: tuple[str, ...] = ()
    """The CloudEvents sources that may publish it, each whole, or with `*` at its end as a prefix.
    Another's events are parked; where none is named, every source may."""
    encrypted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Fields that go onto the bus encrypted, such as `lines[].product`, each with the systems that hold
    its keys: it can be read while one of them has its own."""
    plain: tuple[str, ...] = ()
    """Fields beside them that name nobody once the encrypted ones are gone, and stay in clear."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof(StrictModel):
    """How long the ledger itself keeps who it was about, after the last of a person's data is proven gone.

    Past it the ledger forgets the person (GDPR 5(1)(e)); the evidence, which names nobody, stays.
    """

    term: str
    """ISO 8601 period, from the instant at which a record's last erasure was proven."""
    term_from: Provenance
    source: str
    """The heading of the statement, or the article of the law."""
    rationale: str | None = None
    """Why, where the term is derived; the privacy officer confirms it."""

    @property
    def period(self) -> Period:
        """The term as a period."""
        return parse_period(self.term)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(StrictModel):
    """A whole policy file."""

    policy: str
    """The policy's name."""
    version: str
    """Rises with every change; the ledger names the one active version."""
    dpv: Literal["https://w3id.org/dpv/2.3"]
    """The vocabulary that every dpv term is of."""
    controller: Controller
    purposes: Mapping[str, Purpose]
    bases: Mapping[str, LegalBasis]
    categories: Mapping[str, Category]
    subjects: Mapping[str, SubjectKind]
    systems: Mapping[str, System]
    clocks: Mapping[str, Clock]
    rules: Mapping[str, Rule]
    events: Mapping[str, EventType]
    titles: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Titles in other languages for what people read: by language, then by `section.name`."""
    proof: Proof | None = None
    """How long the ledger keeps the proof under a person's name; without it, for ever."""

    def title(self, section: str, name: str, language: str) -> str:
        """The title of something in a language; the policy's own where it has none in that language."""
        own_title: str = getattr(self, section)[name].title
        return self.titles.get(language, {}).get(f"{section}.{name}", own_title)
