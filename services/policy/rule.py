"""A retention rule of the policy: how long data is kept, and from when that is counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import Final, Literal

from services.policy.calendar import Period, parse_period
from services.policy.strict_model import StrictModel
from services.policy.text_formats import PeriodText, TermLengthText

Provenance = Literal["stated", "statute", "derived"]
"""Where a term or an anchor comes from: the company's own statement, a law, or a reading of either."""

NEVER: Final = "never"
"""The term of what is kept permanently."""
BOOK_YEAR: Final = "book-year"
"""The name of the year that ends on `book_year_end`."""
FIXED_ENDS: Final = (BOOK_YEAR, "quarter", "month")
"""The names of an `end_of` that need no entry in `years`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor(StrictModel):
    """When a term starts: at the event, at a date in it, or when its book year or a retention clock ends.

    With `end_of` it starts once the year, the quarter or the month of that instant is over.
    """

    kind: Literal["event", "book-year", "clock", "field"]
    """What the term counts from; `book-year`: the end of the book year in which the event falls."""
    clock: str | None = None
    """The retention clock, for kind `clock`."""
    end_of: str | None = attribute(default=None, repr=False)
    """A name in `controller.years`, or `quarter`, `month` or `book-year`; kind `book-year` has its own."""
    field: str | None = attribute(default=None, repr=False)
    """The event field of type `date`, for kind `field`; the term starts as that local day begins."""

    @property
    def waits_for(self) -> str | None:
        """The name of the year, `quarter` or `month`, whose end starts the term; None for none."""
        return BOOK_YEAR if self.kind == "book-year" else self.end_of

    def __str__(self) -> str:
        return self.clock or self.field or self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class PartEntry(StrictModel):
    """One of the ends of a rule: a term with an anchor of its own."""

    term: TermLengthText
    """ISO 8601 period from the anchor, or `never`."""
    anchor: Anchor | None = None
    """What the term counts from; `never` needs none."""
    if_any: bool = False
    """It counts only once its clock has begun: an event has started or ended it; a date, if it is there."""
    terms: Mapping[str, TermLengthText] = attribute(default_factory=dict)
    """Other terms, by the outcome with which the clock ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(StrictModel):
    """A notice before data ends under a rule: a system is commanded to inform the person."""

    before: PeriodText
    """How long before the first system is commanded to erase the data; if that is nearer, at once."""
    system: str
    """The system that is commanded to give notice."""

    @property
    def period(self) -> Period:
        """How long before the end."""
        return parse_period(self.before)


_EVENT: Final = Anchor(kind="event")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of the ends of a rule, whether the rule has several or one."""

    term: str
    anchor: Anchor
    if_any: bool = False
    terms: Mapping[str, str] = attribute(default_factory=dict)

    def period(self, outcome: str | None = None) -> Period | None:
        """Return the term after a clock that ended with an outcome; None if it never ends."""
        term = self.terms.get(outcome, self.term) if outcome else self.term
        return None if term == NEVER else parse_period(term)

    @property
    def periods(self) -> tuple[Period, ...]:
        """Every term that it can have; those that never end are left out."""
        terms = dict.fromkeys((self.term, *self.terms.values()))
        return tuple(parse_period(term) for term in terms if term != NEVER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(StrictModel):
    """How long data is kept: a promised maximum (`at_most`) or a statutory minimum (`at_least`)."""

    title: str
    """What is kept under the rule, in a few words, for letters and certificates."""
    kind: Literal["at_most", "at_least"]
    """`at_most`: gone by the end of the term, as promised; `at_least`: kept so long, as a law requires."""
    term: TermLengthText | None = None
    """ISO 8601 period, computed once from the anchor; absent if the rule has an `of`. `never`: permanently
    (`at_least`), or until consent is withdrawn (`at_most`)."""
    anchor: Anchor | None = None
    """What the term counts from; a rule with an `of`, or with the term `never`, needs none."""
    term_from: Provenance
    """Where the term comes from: the statement, a law, or a reading of either."""
    anchor_from: Provenance
    """Where the start of the term comes from."""
    source: str
    """The heading of the statement, or the article of the law."""
    rationale: str | None = None
    """Why, where the term or the anchor is derived; the privacy officer confirms it."""
    pseudonymise: bool = False
    """Pseudonymise as soon as the event's other holdings, except those required by law, have ended."""
    minimum: PeriodText | None = attribute(default=None, repr=False)
    """A minimum beside a promised maximum: nothing of it is erased before this period, from the anchor."""
    ends: Literal["last", "first"] | None = attribute(default=None, repr=False)
    """Which of the ends in `of` counts."""
    of: tuple[PartEntry, ...] = attribute(default=(), repr=False)
    """Several ends, each a term with its anchor, instead of one `term` and `anchor`."""
    terms: Mapping[str, TermLengthText] = attribute(default_factory=dict, repr=False)
    """Other terms, by the outcome with which the clock ended."""
    status: Literal["active", "test"] = attribute(default="active", repr=False)
    """`test`: its dates are computed and shown, and nothing is commanded; its data is kept meanwhile."""
    then: Literal["erase", "transfer", "transfer-and-erase"] = attribute(
        default="erase", repr=False
    )
    """What happens at the end: `transfer`: the systems hand the data over to an archive, and it stays with
    them; `transfer-and-erase`: it is erased there once they have handed it over."""
    notices: tuple[Notice, ...] = attribute(default=(), repr=False)
    """What is announced before the end of the term, and by which system."""
    extends: str | None = attribute(default=None, repr=False)
    """A rule whose keys it takes over where it does not have them itself; then no other key is required."""
    when: Mapping[str, tuple[str | bool, ...]] = attribute(default_factory=dict, repr=False)
    """It applies in place of the rule that it extends where each of these event fields has one of its
    values. Where several rules do so, the most specific one applies."""

    @property
    def is_in_test(self) -> bool:
        """Whether nothing is commanded because of its term."""
        return self.status == "test"

    @property
    def pseudonymises(self) -> bool:
        """Whether a pseudonymisation is commanded once the event's other holdings have ended."""
        return self.pseudonymise and not self.is_in_test

    @property
    def transfers(self) -> bool:
        """Whether the data is handed over to an archive at the end."""
        return self.then != "erase"

    @property
    def erases(self) -> bool:
        """Whether the data is erased at the end."""
        return self.then != "transfer"

    @property
    def parts(self) -> tuple[Part, ...]:
        """Its ends: those in `of`, or the one of its term."""
        if self.of:
            return tuple(
                Part(
                    term=entry.term,
                    anchor=entry.anchor or _EVENT,
                    if_any=entry.if_any,
                    terms=entry.terms,
                )
                for entry in self.of
            )
        return (Part(term=self.term or NEVER, anchor=self.anchor or _EVENT, terms=self.terms),)

    @property
    def minimum_period(self) -> Period | None:
        """The minimum beside a promised maximum."""
        return parse_period(self.minimum) if self.minimum else None

    @property
    def never_ends(self) -> bool:
        """Whether no term of it ever ends: it is kept permanently, or until consent is withdrawn."""
        return all({part.term, *part.terms.values()} == {NEVER} for part in self.parts)

    @property
    def is_never_erased(self) -> bool:
        """Whether it is kept permanently."""
        return self.never_ends and self.kind == "at_least"

    @property
    def lasts_until_withdrawal(self) -> bool:
        """Whether it is kept until the consent on which it rests is withdrawn, and has no other end."""
        return self.never_ends and self.kind == "at_most"

    @property
    def is_in_statement(self) -> bool:
        """Whether the statement, or a law that it refers to, gives the term."""
        return self.term_from != "derived"
