"""Several ends: the recommended minimum periods for medical records in Ireland.

Source: Medical Protection Society, "Medical records in Ireland: an MPS guide", Retention of medical
records, box 10 (medicalprotection.org/ireland/booklets/medical-records-in-ireland-an-mps-guide/
retention-of-medical-records), as stored in November 2026. All four lines of the box:

adults: eight years after the last treatment or death. Children: until the 25th birthday, or the 26th if
17 when treatment ended, or eight years after death. Maternity: 25 years after the birth of the last
child. Mentally disordered patients: 20 years after the last treatment, or eight years after death.

Where the box has `or`, the adult's record is kept until the last of both ends, and the others until the
first: for these, eight years after death replace a longer term.
"""

from tests.oracle.examples.language.forms import LanguageExample, happened
from tests.oracle.examples.published.forms import case, clock, ends, kept, permanent, record
from tests.oracle.language import Anchor, EventType, Part, Rule, Schedule

AFTER_DEATH = Part(term="P8Y", anchor=clock("death"))


def birthday(number: int) -> Part:
    return Part(term=f"P{number}Y", anchor=Anchor(kind="field", name="born_on"))


MEDICAL = Schedule(
    zone="Europe/Dublin",
    clocks={"treatment": ("person",), "death": ("person",), "last-birth": ("person",)},
    rules={
        "adult": Rule(
            kind="at_least",
            ends="last",
            parts=(
                Part(term="P8Y", anchor=clock("treatment")),
                Part(term="P8Y", anchor=clock("death"), if_any=True),
            ),
        ),
        "child": Rule(kind="at_least", ends="first", parts=(birthday(25), AFTER_DEATH)),
        "child-of-17": Rule(kind="at_least", ends="first", parts=(birthday(26), AFTER_DEATH)),
        "maternity": Rule(kind="at_least", parts=(Part(term="P25Y", anchor=clock("last-birth")),)),
        "mental-health": Rule(
            kind="at_least",
            ends="first",
            parts=(Part(term="P20Y", anchor=clock("treatment")), AFTER_DEATH),
        ),
    },
    types={
        "adult.treated": record("adult", ends("treatment")),
        "child.treated": record("child", ends("treatment"), dates=("born_on",)),
        "child-of-17.treated": record("child-of-17", ends("treatment"), dates=("born_on",)),
        "mother.cared-for": record("maternity"),
        "patient.treated": record("mental-health", ends("treatment")),
        "child.born": EventType(moves=(ends("last-birth", at="born_on"),), dates=("born_on",)),
        "patient.died": EventType(moves=(ends("death"),)),
    },
)

MEDICAL_CASES: tuple[LanguageExample, ...] = (
    case(
        "medical: each record of an adult is kept until eight years after the last treatment",
        MEDICAL,
        happened("e2", "adult.treated", "2015-06-01T09"),
        happened("e1", "adult.treated", "2012-02-29T10"),
        rows=(
            kept("e1", "adult", "2015-06-01T09", "2023-06-01T23", "2023-06-02T23"),
            kept("e2", "adult", "2015-06-01T09", "2023-06-01T23", "2023-06-02T23"),
        ),
    ),
    case(
        "medical: an adult who died later is kept until eight years after death",
        MEDICAL,
        happened("e1", "adult.treated", "2015-06-01T09"),
        # In 2020 the clock went forward on 29 March, in 2028 it does on the 26th.
        happened("e2", "patient.died", "2020-03-28T12"),
        rows=(kept("e1", "adult", "2020-03-28T12", "2028-03-28T23", "2028-03-29T23"),),
    ),
    case(
        "medical: a child that was born on a leap day, until the 25th birthday",
        MEDICAL,
        happened("e1", "child.treated", "2010-05-05T10", born_on="2000-02-29"),
        rows=(kept("e1", "child", "2000-02-29T00", "2025-03-01T00", "2025-03-02T00"),),
    ),
    case(
        "medical: a young person of 17, until the 26th birthday",
        MEDICAL,
        # Born on the day the clock went back, as that day began in summer time.
        happened("e1", "child-of-17.treated", "2017-05-05T10", born_on="1999-10-31"),
        rows=(kept("e1", "child-of-17", "1999-10-30T23", "2025-11-01T00", "2025-11-02T00"),),
    ),
    case(
        "medical: a child who died, eight years after death",
        MEDICAL,
        happened("e1", "child.treated", "2011-05-05T10", born_on="2005-05-05"),
        happened("e2", "patient.died", "2012-07-01T12"),
        rows=(kept("e1", "child", "2012-07-01T12", "2020-07-01T23", "2020-07-02T23"),),
    ),
    case(
        "medical: a death at 24 does not lengthen the term",
        MEDICAL,
        happened("e1", "child.treated", "2005-05-05T10", born_on="1990-01-10"),
        happened("e2", "patient.died", "2014-06-01T12"),
        rows=(kept("e1", "child", "1990-01-10T00", "2015-01-11T00", "2015-01-12T00"),),
    ),
    case(
        "medical: maternity counts from the last child",
        MEDICAL,
        happened("e1", "mother.cared-for", "2001-03-01T10"),
        happened("e3", "child.born", "2004-08-10T10", born_on="2004-08-09"),
        happened("e2", "child.born", "2001-04-05T10", born_on="2001-04-03"),
        rows=(kept("e1", "maternity", "2004-08-08T23", "2029-08-09T23", "2029-08-10T23"),),
    ),
    case(
        "medical: a corrected date of birth counts, although it is earlier",
        MEDICAL,
        happened("e1", "mother.cared-for", "2001-03-01T10"),
        happened("e2", "child.born", "2001-04-05T10", born_on="2001-04-30"),
        happened("e3", "child.born", "2001-05-05T10", born_on="2001-04-03"),
        rows=(kept("e1", "maternity", "2001-04-02T23", "2026-04-03T23", "2026-04-04T23"),),
    ),
    case(
        "medical: maternity is open before the birth",
        MEDICAL,
        happened("e1", "mother.cared-for", "2001-03-01T10"),
        rows=(permanent("e1", "maternity"),),
    ),
    case(
        "medical: a mentally disordered patient, 20 years after the last treatment",
        MEDICAL,
        happened("e1", "patient.treated", "2003-11-20T15"),
        happened("e2", "patient.died", "2019-05-01T12"),
        rows=(kept("e1", "mental-health", "2003-11-20T15", "2023-11-21T00", "2023-11-22T00"),),
    ),
    case(
        "medical: a mentally disordered patient who died earlier, eight years after death",
        MEDICAL,
        happened("e1", "patient.treated", "2003-11-20T15"),
        happened("e2", "patient.died", "2010-01-05T08"),
        rows=(kept("e1", "mental-health", "2010-01-05T08", "2018-01-06T00", "2018-01-07T00"),),
    ),
)
