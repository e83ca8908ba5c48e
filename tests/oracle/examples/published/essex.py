"""Years: a university's schedule for its academic departments and its Academic Registrar's Office.

Source: University of Essex, "Retention schedule for academic departments, schools and centres"
(essex.ac.uk/student/freedom-of-information/retention-schedule-depts-schools-centres, student and staff
administration) and "Academic Section retention schedule" (essex.ac.uk/staff/freedom-of-information/
retention-schedule-academic-section, Academic Registrar's Office), as stored in November 2026.

CAY is the academic year (October to September), CFY the financial year (August to July), TofR the end
of the relationship; `+6` is six whole years after it. Records have to be kept at least for that long.
Its own example is the first case. Left out: what is pruned without a term.
"""

from tests.oracle.examples.language.forms import LanguageExample, happened
from tests.oracle.examples.published.forms import (
    at_least,
    case,
    clock,
    ends,
    kept,
    permanent,
    record,
    starts,
)
from tests.oracle.language import Anchor, EventType, Part, Rule, Schedule


def cay(years: int) -> Rule:
    return at_least(Part(term=f"P{years}Y", anchor=Anchor(end_of="academic")))


def tofr(years: int) -> Part:
    return Part(term=f"P{years}Y", anchor=clock("relationship"))


# The current academic year alone.
THIS_YEAR = at_least(Part(term="P0D", anchor=Anchor(end_of="academic")))

ESSEX = Schedule(
    zone="Europe/London",
    years={"academic": "09-30", "financial": "07-31", "calendar": "12-31"},
    clocks={"relationship": ("person",), "dispute": ("file",)},
    rules={
        "visit-days": cay(1),
        "enquiries": cay(1),
        "rejected-applications": cay(1),
        "student-files": at_least(tofr(3)),
        "attendance": cay(6),
        "references": cay(3),
        "references-research": cay(10),
        "results": at_least(Part(term="never")),
        "academic-staff": at_least(Part(term="never")),
        "staff": at_least(tofr(6)),
        "staff-temporary": at_least(tofr(1)),
        "annual-reviews": cay(6),
        "registrar-staff": at_least(tofr(2)),
        "registrar-annual-reviews": cay(3),
        "registrar-finance": at_least(Part(term="P6Y", anchor=Anchor(end_of="financial"))),
        "legal-cases": at_least(Part(term="P6Y", anchor=clock("dispute"))),
        "board-papers": THIS_YEAR,
        "purchase-orders": THIS_YEAR,
        "group-notes": cay(2),
    },
    types={
        "visitor.came": record("visit-days"),
        "enquiry.received": record("enquiries"),
        "application.rejected": record("rejected-applications"),
        "student.enrolled": record("student-files", starts("relationship")),
        "attendance.recorded": record("attendance"),
        "reference.given": record("references"),
        "research-reference.given": record("references-research"),
        "result.recorded": record("results"),
        "academic.hired": record("academic-staff", starts("relationship")),
        "staff.hired": record("staff", starts("relationship")),
        "temporary-staff.hired": record("staff-temporary", starts("relationship")),
        "review.held": record("annual-reviews"),
        "registrar.hired": record("registrar-staff", starts("relationship")),
        "registrar.review-held": record("registrar-annual-reviews"),
        "registrar.paid": record("registrar-finance"),
        "case.opened": record("legal-cases", starts("dispute")),
        "board.met": record("board-papers"),
        "stationery.ordered": record("purchase-orders"),
        "group.met": record("group-notes"),
        "relationship.ended": EventType(moves=(ends("relationship"),)),
        "case.resolved": EventType(moves=(ends("dispute"),)),
    },
)

ESSEX_CASES: tuple[LanguageExample, ...] = (
    case(
        "essex: a document of February 2011, CAY+6, could be destroyed at the end of September 2017",
        ESSEX,
        happened("e1", "attendance.recorded", "2011-02-14T09"),
        rows=(kept("e1", "attendance", "2011-09-30T23", "2017-09-30T23", "2017-10-01T23"),),
    ),
    case(
        "essex: the last second of September, British time, and the first of October",
        ESSEX,
        happened("e1", "enquiry.received", "2023-09-30T22:59:59"),
        happened("e2", "enquiry.received", "2023-09-30T23"),
        rows=(
            kept("e1", "enquiries", "2023-09-30T23", "2024-09-30T23", "2024-10-01T23"),
            kept("e2", "enquiries", "2024-09-30T23", "2025-09-30T23", "2025-10-01T23"),
        ),
    ),
    case(
        "essex: references of taught and of research students, on a leap day",
        ESSEX,
        happened("e1", "reference.given", "2012-02-29T12"),
        happened("e2", "research-reference.given", "2012-02-29T12"),
        rows=(
            kept("e1", "references", "2012-09-30T23", "2015-09-30T23", "2015-10-01T23"),
            kept("e2", "references-research", "2012-09-30T23", "2022-09-30T23", "2022-10-01T23"),
        ),
    ),
    case(
        "essex: a student who left on a leap day, TofR+3",
        ESSEX,
        happened("e1", "student.enrolled", "2021-10-04T09"),
        happened("e2", "relationship.ended", "2024-02-29T12"),
        rows=(kept("e1", "student-files", "2024-02-29T12", "2027-03-01T00", "2027-03-02T00"),),
    ),
    case(
        "essex: a student who comes back opens the file again, until the last end",
        ESSEX,
        happened("e3", "relationship.ended", "2025-07-15T12"),
        happened("e1", "student.enrolled", "2018-10-01T09"),
        happened("e2", "relationship.ended", "2021-07-15T12"),
        happened("e4", "student.enrolled", "2023-10-02T09"),
        rows=(
            kept("e1", "student-files", "2025-07-15T12", "2028-07-15T23", "2028-07-16T23"),
            kept("e4", "student-files", "2025-07-15T12", "2028-07-15T23", "2028-07-16T23"),
        ),
    ),
    case(
        "essex: staff who leave on the day the clock goes forward, TofR+6 and TofR+1",
        ESSEX,
        happened("e1", "staff.hired", "2010-01-04T09"),
        happened("e2", "temporary-staff.hired", "2017-10-02T09", person="2"),
        happened("e3", "relationship.ended", "2018-03-25T00:30"),
        happened("e4", "relationship.ended", "2018-03-25T00:30", person="2"),
        rows=(
            # 26 March 2024 still begins in winter time, 26 March 2019 too.
            kept("e1", "staff", "2018-03-25T00:30", "2024-03-26T00", "2024-03-27T00"),
            kept("e2", "staff-temporary", "2018-03-25T00:30", "2019-03-26T00", "2019-03-27T00"),
        ),
    ),
    case(
        "essex: academic staff and results are permanent, whatever ends",
        ESSEX,
        happened("e1", "academic.hired", "1990-10-01T09"),
        happened("e2", "result.recorded", "1999-06-30T09"),
        happened("e3", "relationship.ended", "2015-09-30T17"),
        rows=(permanent("e1", "academic-staff"), permanent("e2", "results")),
    ),
    case(
        "essex: the financial year ends with July, CFY+6",
        ESSEX,
        happened("e1", "registrar.paid", "2019-07-31T22:30"),
        happened("e2", "registrar.paid", "2019-07-31T23:30"),
        rows=(
            kept("e1", "registrar-finance", "2019-07-31T23", "2025-07-31T23", "2025-08-01T23"),
            kept("e2", "registrar-finance", "2020-07-31T23", "2026-07-31T23", "2026-08-01T23"),
        ),
    ),
    case(
        "essex: board papers and purchase orders, the current academic year alone",
        ESSEX,
        happened("e1", "board.met", "2024-03-01T10"),
        happened("e2", "stationery.ordered", "2024-10-01T10"),
        rows=(
            kept("e1", "board-papers", "2024-09-30T23", "2024-09-30T23", "2024-10-01T23", "ended"),
            kept("e2", "purchase-orders", "2025-09-30T23", "2025-09-30T23", "2025-10-01T23"),
        ),
    ),
    case(
        "essex: a legal case, from the resolution of the dispute",
        ESSEX,
        happened("e1", "case.opened", "2016-01-11T10"),
        happened("e2", "case.opened", "2017-01-11T10", file="2"),
        happened("e3", "case.resolved", "2018-12-31T23:30"),
        rows=(
            kept("e1", "legal-cases", "2018-12-31T23:30", "2025-01-01T00", "2025-01-02T00"),
            permanent("e2", "legal-cases"),
        ),
    ),
    case(
        "essex: all other records of one February",
        ESSEX,
        happened("e1", "visitor.came", "2024-02-10T10"),
        happened("e2", "application.rejected", "2024-02-10T10"),
        happened("e3", "review.held", "2024-02-10T10"),
        happened("e4", "registrar.review-held", "2024-02-10T10"),
        happened("e5", "group.met", "2024-02-10T10"),
        happened("e6", "registrar.hired", "2024-02-10T10"),
        rows=(
            kept("e1", "visit-days", "2024-09-30T23", "2025-09-30T23", "2025-10-01T23"),
            kept("e2", "rejected-applications", "2024-09-30T23", "2025-09-30T23", "2025-10-01T23"),
            kept("e3", "annual-reviews", "2024-09-30T23", "2030-09-30T23", "2030-10-01T23"),
            kept(
                "e4", "registrar-annual-reviews", "2024-09-30T23", "2027-09-30T23", "2027-10-01T23"
            ),
            kept("e5", "group-notes", "2024-09-30T23", "2026-09-30T23", "2026-10-01T23"),
            permanent("e6", "registrar-staff"),
        ),
    ),
)
