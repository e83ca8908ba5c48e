"""Hypothesis strategies for retention schedules, and for events with clocks that move under them.

Few clocks, files and dates, so that they interact. Times and dates prefer the hard cases: changes of
the clock, leap days, ends of years, quarters and months, and the same instant again.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from tests.oracle.clocks import Event
from tests.oracle.language.conditions import is_ambiguous
from tests.oracle.language.rules import (
    MONTH,
    NEVER,
    QUARTER,
    Anchor,
    EventType,
    Move,
    Part,
    Rule,
    Schedule,
    Use,
    Variant,
)
from tests.oracle.strategies import SOURCES, event_times, ordinary_times, time_texts, times_after

TERMS = ("P0D", "P1D", "P10D", "P2W", "P1M", "P6M", "P1Y", "P1Y6M", "P1M10D", "P2Y", "P7Y", "P67Y")
ORDERED = ("P1M", "P6M", "P1Y", "P2Y", "P5Y", "P7Y")
"""Each is longer than the one before, from whatever day they are counted."""
YEARS = {
    "calendar": "12-31",
    "fiscal": "08-31",
    "academic": "07-31",
    "summer": "06-30",
    "short": "02-28",
}
ZONES = (
    *["Europe/Amsterdam"] * 6,
    "America/New_York",
    "America/Sao_Paulo",  # midnight did not exist on the days its clock went forward
    "America/Havana",  # midnight exists twice on the days its clock goes back
    "Australia/Lord_Howe",  # its clock changes by half an hour
)
DATES = ("born_on", "valid_until")
FILES, PEOPLE = ("1", "2"), {"1": "1", "2": "2"}
OUTCOMES = ("accepted", "declined")
COUNTRIES, PLACES = ("NL", "DE", "AT"), ("bank", "shop")
PURPOSES, SYSTEMS = ("care", "service", "tax"), ("app", "books", "mail")
KINDS = (
    "file.opened",
    "note.added",
    "case.ended",
    "case.started",
    "case.accepted",
    "case.declined",
    "permit.changed",
    "report.ended",
    "report.started",
)
"""The first two make holdings; all others only move a clock."""


@st.composite
def anchors(draw: st.DrawFn) -> Anchor:
    """Return an anchor of any kind, mostly a clock."""
    end_of = draw(st.sampled_from(("", "", "", *YEARS, QUARTER, MONTH)))
    kind = draw(st.sampled_from(("event", "field", "clock", "clock", "clock")))
    if kind == "clock":
        name = draw(st.sampled_from(("case", "case", "report")))
        return Anchor(kind="clock", name=name, end_of=end_of)
    if kind == "field":
        return Anchor(kind="field", name=draw(st.sampled_from(DATES)), end_of=end_of)
    return Anchor(end_of=end_of)


@st.composite
def parts(draw: st.DrawFn) -> Part:
    """Return a term with its anchor; after a case, which has outcomes, sometimes with terms by these."""
    anchor, term = draw(anchors()), draw(st.sampled_from(TERMS))
    terms: dict[str, str] = {}
    if anchor.name == "case" and draw(st.integers(0, 2)) == 0:
        named = draw(st.lists(st.sampled_from(OUTCOMES), min_size=1, unique=True))
        terms = {outcome: draw(st.sampled_from(TERMS)) for outcome in named}
    return Part(term=term, anchor=anchor, terms=terms)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """Return a rule: one term, never, a minimum and a maximum, or the last or first of several."""
    form = draw(
        st.sampled_from((*["one"] * 5, "never", "minimum", "last", "last", "first", "first"))
    )
    test = draw(st.integers(0, 7)) == 0
    if form == "never":
        return Rule(kind="at_least", parts=(Part(term=NEVER),), test=test)
    if form == "minimum":
        pair = draw(st.lists(st.sampled_from(ORDERED), min_size=2, max_size=2))
        minimum, term = sorted(pair, key=ORDERED.index)
        part = Part(term=term, anchor=draw(anchors()))
        return Rule(kind="at_most", minimum=minimum, parts=(part,), test=test)
    kind = draw(st.sampled_from(("at_most", "at_least")))
    if form == "one":
        return Rule(kind=kind, parts=(draw(parts()),), test=test)  # type: ignore[arg-type]  # one of two texts
    several = draw(st.lists(parts(), min_size=2, max_size=3))
    if form == "last":
        several[1:] = [_if_any(part) if draw(st.booleans()) else part for part in several[1:]]
    return Rule(kind=kind, ends=form, parts=tuple(several), test=test)  # type: ignore[arg-type]  # one of two texts


def _if_any(part: Part) -> Part:
    """Return the part as one that counts only once its clock began."""
    if part.anchor.kind != "clock":
        return part
    return replace(part, if_any=True)


@st.composite
def variants(draw: st.DrawFn, base: str, rule: Rule) -> dict[str, Rule | Variant]:
    """Return rules that extend one where conditions are met; mostly none, never ambiguous.

    They have another term, sometimes also another anchor.
    """
    drawn: dict[str, Rule | Variant] = {}
    for number in range(draw(st.sampled_from((0, 1, 2, 3)))):
        when: dict[str, tuple[str, ...]] = {}
        for name, values in (("country", COUNTRIES), ("place", PLACES)):
            if draw(st.booleans()):
                chosen = draw(
                    st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True)
                )
                when[name] = tuple(sorted(chosen))
        if not when:
            continue
        extends = draw(st.sampled_from((base, *drawn)))
        part = replace(rule.parts[0], term=draw(st.sampled_from(TERMS)))
        if not part.terms and draw(st.booleans()):
            part = replace(part, anchor=draw(anchors()))
        changes: dict[str, Any] = {"parts": (part,)}
        drawn[f"{base}-{number}"] = Variant(extends=extends, when=when, changes=changes)
        if is_ambiguous(base, {base: rule, **drawn}):
            del drawn[f"{base}-{number}"]
    return drawn


@st.composite
def schedules(draw: st.DrawFn, conditions: bool = True) -> Schedule:
    """Return a schedule in which two types of events make holdings, and others move two clocks."""
    all_rules: dict[str, Rule | Variant] = {}
    for name in ("a", "b", "c"):
        rule = draw(rules())
        all_rules[name] = rule
        is_plain = len(rule.parts) == 1 and not rule.minimum and rule.parts[0].term != NEVER
        if conditions and is_plain and not rule.test:
            all_rules |= draw(variants(name, rule))
    permit = Move(clock="case", ends=True, at="valid_until")
    report = Move(clock="report", ends=True, at="valid_until", outcome="accepted")
    changed = draw(st.sampled_from((permit, permit, report)))
    types = {
        "file.opened": EventType(uses=draw(_uses()), dates=DATES),
        "note.added": EventType(uses=draw(_uses()), dates=DATES),
        "case.ended": EventType(moves=(Move(clock="case", ends=True),)),
        "case.started": EventType(moves=(Move(clock="case", ends=False),)),
        "permit.changed": EventType(moves=(changed,), dates=("valid_until",)),
        "report.ended": EventType(moves=(Move(clock="report", ends=True),)),
        "report.started": EventType(moves=(Move(clock="report", ends=False),)),
    }
    for outcome in OUTCOMES:
        types[f"case.{outcome}"] = EventType(
            moves=(Move(clock="case", ends=True, outcome=outcome),)
        )
    return Schedule(
        types=types,
        rules=all_rules,
        clocks={"case": ("file",), "report": ("file",)},
        years=YEARS,
        lead_hours=draw(st.sampled_from(({}, {}, {"books": 48}, {"app": 12, "mail": 1}))),
        zone=draw(st.sampled_from(ZONES)),
    )


@st.composite
def _uses(draw: st.DrawFn) -> tuple[Use, ...]:
    """Return one to four holdings, often several of one purpose in one system."""
    pairs = draw(
        st.lists(
            st.tuples(st.sampled_from(PURPOSES), st.sampled_from(("a", "b", "c"))),
            min_size=1,
            max_size=4,
            unique=True,
        )
    )
    return tuple(
        Use(
            purpose=purpose,
            rule=rule,
            systems=tuple(draw(st.lists(st.sampled_from(SYSTEMS), min_size=1, unique=True))),
        )
        for purpose, rule in pairs
    )


def _hard_dates() -> tuple[date, ...]:
    ends = [(2, 28), (3, 1), (3, 31), (6, 30), (7, 31), (8, 31), (9, 1), (10, 27), (12, 31), (1, 1)]
    days = {date(year, *end) for year in (1938, 1999, 2015, 2023, 2024, 2041) for end in ends}
    days |= {date(year, 2, 29) for year in (1904, 1940, 2000, 2016, 2024, 2040)}
    # The clock goes forward, or back, in one of the zones.
    days |= {date(1940, 5, 16), date(2018, 11, 4), date(2025, 3, 30), date(2025, 11, 2)}
    return tuple(sorted(days))


HARD_DATES = _hard_dates()


def dates() -> st.SearchStrategy[date]:
    """Return a date in the past or in the future, often a hard one."""
    return st.sampled_from(HARD_DATES) | st.dates(date(1900, 1, 1), date(2060, 1, 1))


@st.composite
def histories(draw: st.DrawFn, schedule: Schedule, max_events: int = 10) -> list[Event]:
    """Return events under a schedule, in any order, some twice; one of them makes a holding."""
    often = (*KINDS, *KINDS[2:], "case.ended", "case.ended", "case.started")
    later = st.lists(st.sampled_from(often), min_size=2, max_size=max_events - 1)
    kinds = ["file.opened", *draw(later)]
    times = draw(event_times(len(kinds)))
    names = draw(st.permutations([f"e{number}" for number in range(1, len(kinds) + 1)]))
    events = [
        {
            "specversion": "1.0",
            "id": name,
            "source": draw(st.sampled_from(SOURCES)),
            "type": kind,
            "time": draw(time_texts(moment)),
            "data": draw(_fields(schedule.types[kind])),
        }
        for kind, moment, name in zip(kinds, times, names, strict=True)
    ]
    events += [dict(event) for event in draw(st.lists(st.sampled_from(events), max_size=2))]
    return draw(st.permutations(events))


@st.composite
def _fields(draw: st.DrawFn, event_type: EventType) -> dict[str, str]:
    """Return an event's fields; dates and conditions are sometimes absent."""
    file = draw(st.sampled_from((*FILES, "1")))
    data = {"person": PEOPLE[file], "file": file}
    for name in event_type.dates:
        if draw(st.integers(0, 7)):
            data[name] = draw(dates()).isoformat()
    if event_type.uses:
        for name, values in (("country", COUNTRIES), ("place", PLACES)):
            if draw(st.integers(0, 3)):
                data[name] = draw(st.sampled_from(values))
    return data


@st.composite
def instants_near(draw: st.DrawFn, events: Sequence[Event]) -> datetime:
    """Return an instant for a check: near an event or a due time, or long after everything."""
    moments = [datetime.fromisoformat(event["time"]).astimezone(UTC) for event in events]
    far = st.just(max(moments) + timedelta(days=366 * 130))
    return draw(st.one_of(far, times_after(moments), ordinary_times()))
