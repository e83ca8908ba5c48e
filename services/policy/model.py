"""The retention policy as data: one policy file is one `Policy`, which the loader checks as a whole.

Names follow the GDPR and the W3C Data Privacy Vocabulary (DPV 2.3): a purpose, the legal basis it
rests on, the rule of how long, the system that holds the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from services.policy.calendar import (
    Period,
    end_of_month,
    end_of_quarter,
    end_of_year,
    parse_period,
    start_of_day,
)
from services.policy.event_type import EventType
from services.policy.instants import Date, Instant
from services.policy.rule import BOOK_YEAR, Provenance, Rule
from services.policy.strict_model import StrictModel
from services.policy.text_formats import (
    DaysText,
    ExactPeriodText,
    MonthDayText,
    PeriodText,
    TermText,
    ZoneText,
)

Right = Literal["access", "rectification", "erasure", "portability", "restriction"]
"""A right of the data subject that is exercised by a request (GDPR 15-18 and 20)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller(StrictModel):
    """The company that is responsible for the data (GDPR art. 4(7))."""

    name: str
    """The company's name, as its letters have it."""
    contact: str
    """Where a data subject can reach it."""
    time_zone: ZoneText
    """IANA name; every calendar computation uses it."""
    book_year_end: MonthDayText = "12-31"
    """The last day of the book year, as month-day; 02-29 is the last day of February."""
    statement: str
    """The privacy statement and its version, from which the stated terms come."""
    authority: str | None = None
    """The supervisory authority that a data subject may complain to (GDPR 77)."""
    authority_contact: str | None = None
    """Where a data subject can reach that authority."""
    years: Mapping[str, MonthDayText] = field(default_factory=dict, repr=False)
    """Years that end on other days: each with its last day as month-day, for `end_of` of an anchor."""

    @property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.time_zone)

    @property
    def book_year(self) -> tuple[int, int]:
        """Month and day of the book year's end."""
        return _month_and_day(self.book_year_end)

    def end_of(self, name: str, day: date) -> date:
        """Return the last day of the year, quarter or month of a day; `name` is that of an `end_of`."""
        if name == "quarter":
            return end_of_quarter(day)
        if name == "month":
            return end_of_month(day)
        year_end = self.book_year if name == BOOK_YEAR else _month_and_day(self.years[name])
        return end_of_year(day, year_end)


def _month_and_day(text: str) -> tuple[int, int]:
    month, _, day = text.partition("-")
    return int(month), int(day)


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose(StrictModel):
    """Why data is processed (GDPR art. 5(1)(b))."""

    title: str
    """The purpose in a few words, for letters and certificates."""
    dpv: TermText
    """A DPV 2.3 term, such as dpv:DirectMarketing."""
    source: str
    """The heading of the statement that names it."""
    objection: Literal["absolute", "withdrawal", "restrict"] = "restrict"
    """What an objection does: end it at once (GDPR 21(2)), count as withdrawal, or restrict (18(1)(d))."""
    retired: Instant | None = field(default=None, repr=False)
    """From this instant on, by the events' own time, no data is held for it; older data keeps its terms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegalBasis(StrictModel):
    """A legal basis of processing (GDPR art. 6(1))."""

    title: str
    """The basis in a few words, for letters and certificates."""
    dpv: TermText
    """A DPV eu-gdpr term, such as eu-gdpr:A6-1-b."""
    article: str
    """The article of the law, such as GDPR 6(1)(b)."""
    ground: Literal[
        "consent",
        "contract",
        "legal_obligation",
        "vital_interests",
        "public_task",
        "legitimate_interest",
    ]
    """Which of the article's six grounds it is; it decides what consent, objection and requests change."""

    @property
    def is_statutory(self) -> bool:
        """Whether a law requires it, so that neither an objection nor another purpose's end changes it."""
        return self.ground == "legal_obligation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Category(StrictModel):
    """A kind of personal data."""

    title: str
    """The kind of data in a few words, for letters and certificates."""
    dpv: tuple[TermText, ...]
    """Terms of DPV's personal-data extension, such as pd:EmailAddress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectKind(StrictModel):
    """A kind of data subject; subjects are written `kind:id`."""

    title: str
    """The kind of person in a few words."""
    dpv: TermText
    """A DPV 2.3 term, such as dpv:Customer."""
    source: str
    """The heading of the statement that names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class System(StrictModel):
    """A system that holds data and obeys commands: the company's own, a processor's or a controller's."""

    title: str
    """The system in a few words, for letters and certificates."""
    owner: str
    """The team or company that is responsible for it."""
    role: Literal["own", "processor", "controller"] = "own"
    """To a `controller` a command is a notice (GDPR 17(2), 19), and its refusal with a ground is final."""
    outside_eea: bool = False
    """Whether its data is outside the European Economic Area; then it needs a `safeguard`."""
    safeguard: str | None = None
    """The transfer safeguard (GDPR ch. V); required outside the EEA."""
    lead_time: ExactPeriodText = "PT24H"
    """How long it needs to erase: its command is sent this long before `erase_by`. Exact period."""
    acknowledge_within: ExactPeriodText = "PT24H"
    """How long its acknowledgement of a command may take before that is escalated. Exact period."""
    reread: Literal["system", "attested"] = "system"
    """Whether it reads again what it erased; `attested`: it cannot, its acknowledgement is the proof."""
    verify_after: ExactPeriodText = "PT0S"
    """How long after an erasure it is asked to read again. Exact period."""
    holds: Literal["data", "keys"] = "data"
    """`keys`: the Kafka log, of whose encrypted fields it holds the keys; it erases by destroying them."""
    retired: Instant | None = field(default=None, repr=False)
    """From this instant on, by the events' own time, it holds no new data; commands on older data go on."""
    backups: PeriodText | None = field(default=None, repr=False)
    """How long its backups still have data that it has erased; Termijn does not erase in backups."""

    @property
    def lead_time_period(self) -> Period:
        """The lead time."""
        return parse_period(self.lead_time)

    @property
    def verify_delay(self) -> timedelta | None:
        """How long after an erasure it reads again; None for a system that attests, and a controller."""
        if self.role == "controller" or self.reread == "attested":
            return None
        return parse_period(self.verify_after).exact


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock(StrictModel):
    """A retention clock: an end that many records share, such as that of a customer relationship.

    The last change by (event time, source, id) decides whether it has ended. With a parent, the earlier
    end of the two counts.
    """

    title: str
    """What lasts until the clock ends, in a few words."""
    key: tuple[str, ...]
    """The event fields that identify one such clock."""
    parent: str | None = None
    """A clock whose end also ends this one; its key fields are among this one's."""
    max_open: DaysText | None = None
    """The period in days from its first record after which an open clock, which keeps data, is an alarm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof(StrictModel):
    """How long the ledger keeps a person's name after the erasure of the last of their data is verified.

    After that the ledger purges the person (GDPR 5(1)(e)). The evidence, which names no person, stays.
    """

    term: PeriodText
    """ISO 8601 period, from the instant at which a record's last erasure was verified."""
    term_from: Provenance
    """Where the term comes from: the statement, a law, or a reading of either."""
    source: str
    """The heading of the statement, or the article of the law."""
    rationale: str | None = None
    """Why, where the term is derived; the privacy officer confirms it."""

    @property
    def period(self) -> Period:
        """The term as a period."""
        return parse_period(self.term)


VERIFY_ONE_IN: Final = 100
"""The default of `verify_one_in`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(StrictModel):
    """A whole policy file."""

    policy: str
    """The policy's name."""
    version: str
    """Increases with every change; the ledger names the one active version."""
    dpv: Literal["https://w3id.org/dpv/2.3"]
    """The vocabulary of every dpv term in the file."""
    controller: Controller
    """The company that is responsible for the data."""
    purposes: Mapping[str, Purpose]
    """Why data is processed, by name."""
    bases: Mapping[str, LegalBasis]
    """The legal bases of processing, by name."""
    categories: Mapping[str, Category]
    """The kinds of personal data, by name."""
    subjects: Mapping[str, SubjectKind]
    """The kinds of data subjects, by name; a subject is written `kind:id`."""
    systems: Mapping[str, System]
    """The systems that hold data, by name; the name is part of topics."""
    clocks: Mapping[str, Clock]
    """The retention clocks, by name; `{}` if no rule needs one."""
    rules: Mapping[str, Rule]
    """How long data is kept, by name."""
    events: Mapping[str, EventType]
    """What each type of event means, by its CloudEvents type, which is also the name of its topic."""
    titles: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Titles in other languages, for letters and certificates: by language, then by `section.name`;
    of what a term names also `fields.name` and `outcomes.name`."""
    proof: Proof | None = field(default=None, repr=False)
    """How long the ledger keeps the proof under a person's name; without it, permanently."""
    verify_one_in: int = field(default=VERIFY_ONE_IN, repr=False)
    """A system that read again in its acknowledgement is asked apart for one in so many erasures."""

    effective: Date | None = field(default=None, repr=False)
    """The day, in the controller's time zone, on which it becomes active once it is accepted; by default
    at once."""
    responsible: str | None = field(default=None, repr=False)
    """The team or function that is responsible for the deletion concept."""
    reviewed: Date | None = field(default=None, repr=False)
    """The day on which the deletion concept was last reviewed."""

    @property
    def has_rules_in_test(self) -> bool:
        """Whether nothing is commanded because of the terms of some rules."""
        return any(rule.is_in_test for rule in self.rules.values())

    @property
    def transfers_data(self) -> bool:
        """Whether any rule has data handed over to an archive."""
        return any(rule.transfers for rule in self.rules.values())

    def with_all_rules_active(self) -> Policy:
        """Return the policy as it would be if no rule were in test."""
        if not self.has_rules_in_test:
            return self
        rules = {name: replace(rule, status="active") for name, rule in self.rules.items()}
        return replace(self, rules=rules)

    @property
    def effective_at(self) -> datetime | None:
        """The first instant of the day on which it becomes active, UTC; None for at once."""
        return start_of_day(self.effective, self.controller.zone) if self.effective else None

    def title(self, section: str, name: str, language: str) -> str:
        """Return the title of an entry in a language; without one, the title in its section."""
        own_title: str = getattr(self, section)[name].title
        return self.titles.get(language, {}).get(f"{section}.{name}", own_title)
