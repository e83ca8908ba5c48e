"""Dates: a municipality's schedule for children's services and education.

Source: Blackpool Council, "Childrens services directorate retention schedule" and "Education retention
schedule" (blackpool.gov.uk, Your council, Transparency and open data, Data protection, Retention
schedules), as stored in November 2026: the lines on looked-after children, after care, child
protection, conferences, schools and the designated officer; on admissions, appeals, awards, funds, free
meals and pupils.

What a statute requires is kept at least, the rest at most for its term. A review after ten years is
taken as the end.
"""

from tests.oracle.examples.language.forms import LanguageExample, happened
from tests.oracle.examples.published.forms import (
    at_least,
    at_most,
    case,
    clock,
    ends,
    gone,
    kept,
    permanent,
    record,
    starts,
)
from tests.oracle.language import Anchor, EventType, Part, Rule, Schedule

BORN = Anchor(kind="field", name="born_on")
BORN_ON = ("born_on",)
SCHOOL_YEAR = at_most(Part(term="P1Y", anchor=Anchor(end_of="academic")))
AWARD = at_most(Part(term="P6Y"))
LAST_CONTACT = at_least(Part(term="P35Y", anchor=clock("contact")))

BLACKPOOL = Schedule(
    zone="Europe/London",
    years={"academic": "08-31"},
    clocks={"death-under-18": ("person",), "contact": ("person",), "referral": ("file",)},
    rules={
        "looked-after": Rule(
            kind="at_least",
            ends="first",
            parts=(
                Part(term="P75Y", anchor=BORN),
                Part(term="P15Y", anchor=clock("death-under-18")),
            ),
        ),
        "after-care": at_least(Part(term="P75Y", anchor=BORN)),
        "protection": LAST_CONTACT,
        "conferences": LAST_CONTACT,
        "protection-in-schools": at_least(Part(term="P85Y", anchor=BORN)),
        "designated-officer": at_most(Part(term="P10Y", anchor=clock("referral"))),
        "admissions": SCHOOL_YEAR,
        "appeals": SCHOOL_YEAR,
        "awards": AWARD,
        "access-funds": AWARD,
        "college-awards": AWARD,
        "free-meals": AWARD,
        "pupils": at_most(Part(term="P25Y", anchor=BORN)),
    },
    types={
        "child.taken-into-care": record("looked-after", dates=BORN_ON),
        "child.left-care": record("after-care", dates=BORN_ON),
        "child.protected": record("protection", ends("contact")),
        "conference.held": record("conferences", ends("contact")),
        "child.contacted": EventType(moves=(ends("contact"),)),
        "family.involved": EventType(moves=(starts("contact"),)),
        "school.consulted": record("protection-in-schools", dates=BORN_ON),
        "referral.made": record("designated-officer", starts("referral")),
        "referral.closed": EventType(moves=(ends("referral"),)),
        "child.died-under-18": EventType(moves=(ends("death-under-18"),)),
        "death.withdrawn": EventType(moves=(starts("death-under-18"),)),
        "place.requested": record("admissions"),
        "appeal.lodged": record("appeals"),
        "award.made": record("awards"),
        "fund.paid": record("access-funds"),
        "college-award.made": record("college-awards"),
        "meals.requested": record("free-meals"),
        "pupil.registered": record("pupils", dates=BORN_ON),
    },
)

BLACKPOOL_CASES: tuple[LanguageExample, ...] = (
    case(
        "blackpool: looked after, born in 1938, recorded when 75 years had not passed",
        BLACKPOOL,
        happened("e1", "child.taken-into-care", "2005-03-01T10", born_on="1938-05-04"),
        rows=(kept("e1", "looked-after", "1938-05-03T23", "2013-05-04T23", "2013-05-05T23"),),
    ),
    case(
        "blackpool: looked after, born on a leap day",
        BLACKPOOL,
        happened("e1", "child.taken-into-care", "2005-03-01T10", born_on="2000-02-29"),
        rows=(kept("e1", "looked-after", "2000-02-29T00", "2075-03-01T00", "2075-03-02T00"),),
    ),
    case(
        "blackpool: looked after, died under 18: fifteen years after death",
        BLACKPOOL,
        happened("e2", "child.died-under-18", "2010-08-15T14"),
        happened("e1", "child.taken-into-care", "2005-03-01T10", born_on="2000-02-29"),
        rows=(kept("e1", "looked-after", "2010-08-15T14", "2025-08-15T23", "2025-08-16T23"),),
    ),
    case(
        "blackpool: a death that was recorded by mistake",
        BLACKPOOL,
        happened("e1", "child.taken-into-care", "2005-03-01T10", born_on="2000-02-29"),
        happened("e2", "child.died-under-18", "2010-08-15T14"),
        happened("e3", "death.withdrawn", "2010-08-16T09"),
        rows=(kept("e1", "looked-after", "2000-02-29T00", "2075-03-01T00", "2075-03-02T00"),),
    ),
    case(
        "blackpool: after care, born on the day the clock went back",
        BLACKPOOL,
        happened("e1", "child.left-care", "2003-10-27T10", born_on="1985-10-27"),
        # In 2060 the clock goes back on 31 October.
        rows=(kept("e1", "after-care", "1985-10-26T23", "2060-10-27T23", "2060-10-28T23"),),
    ),
    case(
        "blackpool: protection and conferences, 35 years after the last contact",
        BLACKPOOL,
        happened("e1", "child.protected", "2001-03-25T00:30"),
        happened("e2", "conference.held", "2001-05-10T13"),
        happened("e3", "child.contacted", "2003-07-01T09"),
        rows=(
            kept("e1", "protection", "2003-07-01T09", "2038-07-01T23", "2038-07-02T23"),
            kept("e2", "conferences", "2003-07-01T09", "2038-07-01T23", "2038-07-02T23"),
        ),
    ),
    case(
        "blackpool: no end while the family is involved",
        BLACKPOOL,
        happened("e1", "child.protected", "2001-03-25T00:30"),
        happened("e2", "family.involved", "2004-01-01T10"),
        rows=(permanent("e1", "protection"),),
    ),
    case(
        "blackpool: protection in schools, 85 years from birth",
        BLACKPOOL,
        happened("e1", "school.consulted", "1960-02-01T10", born_on="1950-06-15"),
        rows=(
            kept("e1", "protection-in-schools", "1950-06-14T23", "2035-06-15T23", "2035-06-16T23"),
        ),
    ),
    case(
        "blackpool: a referral that was closed in the hour after the clock went forward",
        BLACKPOOL,
        happened("e1", "referral.made", "2014-03-01T10"),
        # 02:30 summer time; ten years later 02:30 is still winter time.
        happened("e2", "referral.closed", "2014-03-30T01:30"),
        rows=(
            gone(
                "e1",
                "designated-officer",
                "2014-03-30T01:30",
                "2024-03-30T02:30",
                "2024-03-29T02:30",
            ),
        ),
    ),
    case(
        "blackpool: a pupil, until the 25th birthday begins",
        BLACKPOOL,
        happened("e1", "pupil.registered", "2004-09-06T08", born_on="1999-09-01"),
        rows=(gone("e1", "pupils", "1999-08-31T23", "2024-08-31T23", "2024-08-30T23"),),
    ),
    case(
        "blackpool: awards, of which one ends in the hour that exists twice",
        BLACKPOOL,
        happened("e1", "award.made", "2018-10-27T00:30"),
        happened("e2", "fund.paid", "2018-10-28T00:30"),
        happened("e3", "college-award.made", "2020-02-29T12"),
        happened("e4", "meals.requested", "2019-03-31T12"),
        rows=(
            gone("e1", "awards", "2018-10-27T00:30", "2024-10-27T00:30", "2024-10-26T00:30"),
            gone("e2", "access-funds", "2018-10-28T00:30", "2024-10-28T01:30", "2024-10-27T01:30"),
            gone("e3", "college-awards", "2020-02-29T12", "2026-02-28T12", "2026-02-27T12"),
            gone("e4", "free-meals", "2019-03-31T12", "2025-03-31T12", "2025-03-30T12"),
        ),
    ),
    case(
        "blackpool: admissions and appeals, the current school year and one more",
        BLACKPOOL,
        happened("e1", "place.requested", "2023-08-31T22:30"),
        happened("e2", "appeal.lodged", "2023-08-31T23"),
        rows=(
            gone("e1", "admissions", "2023-08-31T23", "2024-08-31T23", "2024-08-30T23"),
            gone("e2", "appeals", "2024-08-31T23", "2025-08-31T23", "2025-08-30T23"),
        ),
    ),
)
