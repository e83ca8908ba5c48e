"""Notices on the hard days of the calendar: leap days, ends of years, and changes of the clock."""

from tests.oracle.examples.language.forms import LanguageExample, gone, kept, one_rule, opened
from tests.oracle.examples.language.notices import at_most, erased, notice
from tests.oracle.language import Anchor, Notice, Part, Rule

MONTH_BEFORE = (Notice(before="P1M", system="mail"),)

NOTICE_DAYS = (
    LanguageExample(
        name="a month before 30 March of a leap year is 29 February",
        schedule=at_most("P1Y", notices=MONTH_BEFORE),
        # At 12:00 in summer; a day before 31 March 2024, when the clock goes forward, at 11:00 in winter.
        events=(opened("2023-03-31T10"),),
        explained=(gone("2023-03-31T10", "2024-03-31T10", "2024-03-30T10"),),
        sent=(
            notice("2024-02-29T10", "2024-03-30T10"),
            erased("2024-03-30T10", "2024-03-31T10"),
        ),
    ),
    LanguageExample(
        name="a notice at a time that does not exist leaves at the earlier reading",
        schedule=at_most("P1Y"),
        # 30 days before 30 April 2024, 02:30: on 31 March, when 02:30 is skipped.
        events=(opened("2023-05-01T00:30"),),
        explained=(gone("2023-05-01T00:30", "2024-05-01T00:30", "2024-04-30T00:30"),),
        sent=(
            notice("2024-03-31T00:30", "2024-04-30T00:30"),
            erased("2024-04-30T00:30", "2024-05-01T00:30"),
        ),
    ),
    LanguageExample(
        name="a notice at a time that exists twice leaves at the earlier one",
        schedule=at_most("P1Y"),
        # 30 days before 26 November 2024, 02:30: on 27 October, first in summer time.
        events=(opened("2023-11-27T01:30"),),
        explained=(gone("2023-11-27T01:30", "2024-11-27T01:30", "2024-11-26T01:30"),),
        sent=(
            notice("2024-10-27T00:30", "2024-11-26T01:30"),
            erased("2024-11-26T01:30", "2024-11-27T01:30"),
        ),
    ),
    LanguageExample(
        name="a month before the last day of a year",
        schedule=at_most("P1Y", Anchor(end_of="calendar"), MONTH_BEFORE),
        # Due as 31 December 2023 begins; November has 30 days.
        events=(opened("2022-05-10T10"),),
        explained=(gone("2022-12-31T23", "2023-12-31T23", "2023-12-30T23"),),
        sent=(
            notice("2023-11-29T23", "2023-12-30T23"),
            erased("2023-12-30T23", "2023-12-31T23"),
        ),
    ),
    LanguageExample(
        name="a minimum that ends with the year is announced before the first instant of the next",
        schedule=one_rule(
            Rule(
                kind="at_least",
                parts=(Part(term="P7Y", anchor=Anchor(end_of="calendar")),),
                notices=MONTH_BEFORE,
            )
        ),
        # In 2023 on the local calendar; kept through 2030.
        events=(opened("2022-12-31T23:30"),),
        explained=(kept("2023-12-31T23", "2030-12-31T23", "2031-01-01T23"),),
        sent=(
            notice("2030-11-30T23", "2030-12-31T23"),
            erased("2030-12-31T23", "2031-01-01T23"),
        ),
    ),
)
