"""How long a rule keeps data, in Dutch and English words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Literal, get_args

from services.policy.calendar import parse_period
from services.policy.conditions import conditions, variants
from services.policy.model import Policy
from services.policy.rule import BOOK_YEAR, NEVER, Part, Rule

Language = Literal["nl", "en"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

_MONTHS: Mapping[Language, Sequence[str]] = {
    "nl": (
        *("januari", "februari", "maart", "april", "mei", "juni", "juli", "augustus"),
        *("september", "oktober", "november", "december"),
    ),
    "en": (
        *("January", "February", "March", "April", "May", "June", "July", "August"),
        *("September", "October", "November", "December"),
    ),
}
_UNITS: Mapping[Language, Mapping[str, tuple[str, str]]] = {
    "nl": {
        "Y": ("jaar", "jaar"),
        "M": ("maand", "maanden"),
        "W": ("week", "weken"),
        "D": ("dag", "dagen"),
        "TH": ("uur", "uur"),
        "TM": ("minuut", "minuten"),
        "TS": ("seconde", "seconden"),
    },
    "en": {
        "Y": ("year", "years"),
        "M": ("month", "months"),
        "W": ("week", "weeks"),
        "D": ("day", "days"),
        "TH": ("hour", "hours"),
        "TM": ("minute", "minutes"),
        "TS": ("second", "seconds"),
    },
}
_ENDS: Mapping[Language, Mapping[str, str]] = {
    "nl": {
        "book-year": "het einde van het boekjaar",
        "quarter": "het einde van het kwartaal",
        "month": "het einde van de maand",
        "year": "het einde van het jaar",
    },
    "en": {
        "book-year": "the end of the book year",
        "quarter": "the end of the quarter",
        "month": "the end of the month",
        "year": "the end of the year",
    },
}
"""The moments for which a term waits, by the `end_of` of its anchor."""
_WORDS: Mapping[Language, Mapping[str, str]] = {
    "nl": {
        "from": "vanaf",
        "after": "na",
        "until": "tot",
        "at_most": "hooguit",
        "at_least": "ten minste",
        "and": "en",
        "then_erased": ", daarna gewist",
        "transfer": ", daarna overgedragen aan een archief",
        "transfer-and-erase": ", daarna overgedragen aan een archief en hier gewist",
        "never": "blijvend",
        "until_withdrawal": "tot u uw toestemming intrekt",
        "none": "niet langer dan nodig",
        "last": " of, als dat later is, ",
        "first": " of, als dat eerder is, ",
        "outcome": " of, naar de uitkomst, ",
        "at_once": "direct gewist",
        "event": "het ontstaan van de gegevens",
        "field": "de datum in {}",
        "clock": "het einde van “{}”",
        "ends_on": " (laatste dag: {})",
        "in_which": "{} waarin {} valt",
        "if_any": ", als dat er is",
        "if_outcome": "{} bij uitkomst “{}”",
        "if": ", als {}",
        "is_one_of": "{} {} is",
        "or": " of ",
        "otherwise": ", in alle andere gevallen",
    },
    "en": {
        "from": "from",
        "after": "after",
        "until": "until",
        "at_most": "at most",
        "at_least": "at least",
        "and": "and",
        "then_erased": ", then erased",
        "transfer": ", then handed over to an archive",
        "transfer-and-erase": ", then handed over to an archive and erased here",
        "never": "permanently",
        "until_withdrawal": "until you withdraw your consent",
        "none": "no longer than needed",
        "last": " or, if that is later, ",
        "first": " or, if that is earlier, ",
        "outcome": " or, by the outcome, ",
        "at_once": "erased at once",
        "event": "the data arose",
        "field": "the date in {}",
        "clock": "the end of “{}”",
        "ends_on": " (last day: {})",
        "in_which": "{} that contains {}",
        "if_any": ", if there is one",
        "if_outcome": "{} if the outcome is “{}”",
        "if": ", if {}",
        "is_one_of": "{} is {}",
        "or": " or ",
        "otherwise": ", in all other cases",
    },
}
_NUMBER_AND_UNIT = re.compile(r"(\d+)([YMWDHS])")


def date_in_words(day: date, language: Language) -> str:
    """Return a date such as `15 March 2026`."""
    return f"{day.day} {_MONTHS[language][day.month - 1]} {day.year}"


def length_in_words(rule: Rule, language: Language) -> str:
    """Return how long a rule keeps data, without the clock or the date that its terms start at."""
    words = _WORDS[language]
    if rule.never_ends:
        return without_end_in_words(rule, language)
    lengths = list(
        dict.fromkeys(
            _length_from_year(term, part, language)
            for part in rule.parts
            for term in (part.term, *part.terms.values())
        )
    )
    if lengths == [words["none"]]:
        return lengths[0]
    text = f"{words[rule.kind]} {words[rule.ends or 'outcome'].join(lengths)}"
    if rule.minimum:
        minimum = _length_from_year(rule.minimum, rule.parts[0], language)
        text = f"{words['at_least']} {minimum}, {text}"
    return text


def without_end_in_words(rule: Rule, language: Language) -> str:
    """Return how long a rule keeps data whose term never ends."""
    words = _WORDS[language]
    return words["until_withdrawal"] if rule.lasts_until_withdrawal else words["never"]


def term_in_words(policy: Policy, name: str, language: Language) -> str:
    """Return how long a rule keeps data and from when, such as `at most 2 years after the data arose`.

    If the rule or another one applies only under conditions, the text also has where this one applies.
    """
    return _term(policy, name, language) + _conditions_in_words(policy, name, language)


def _conditions_in_words(policy: Policy, name: str, language: Language) -> str:
    words = _WORDS[language]
    required = conditions(name, policy.rules)
    if not required:
        return words["otherwise"] if len(variants(name, policy.rules)) > 1 else ""
    parts = (
        words["is_one_of"].format(
            _named(policy, "fields", field, language),
            words["or"].join(map(_value, sorted(values, key=str))),
        )
        for field, values in required.items()
    )
    return words["if"].format(f" {words['and']} ".join(parts))


def _named(policy: Policy, section: str, name: str, language: Language) -> str:
    """Return the title of a field or an outcome, or its name without one."""
    return policy.titles.get(language, {}).get(f"{section}.{name}", name)


def _value(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else value


def _term(policy: Policy, name: str, language: Language) -> str:
    rule, words = policy.rules[name], _WORDS[language]
    if rule.never_ends:
        return without_end_in_words(rule, language)
    parts = [_part_in_words(policy, part, language) for part in rule.parts]
    if parts == [words["at_once"]]:
        return parts[0]
    text = f"{words[rule.kind]} {words[rule.ends or 'outcome'].join(parts)}"
    if rule.minimum:
        minimum = period_in_words(rule.minimum, language)
        text = f"{words['at_least']} {minimum} {words['and']} {text}"
    if rule.transfers:
        return text + words[rule.then]
    return text + words["then_erased"] if rule.kind == "at_least" else text


def _part_in_words(policy: Policy, part: Part, language: Language) -> str:
    words = _WORDS[language]
    start = start_in_words(policy, part, language)
    text = _term_from(part.term, part, start, language)
    others = ", ".join(
        words["if_outcome"].format(
            period_in_words(term, language) or words["none"],
            _named(policy, "outcomes", outcome, language),
        )
        for outcome, term in part.terms.items()
    )
    return text + (f" ({others})" if others else "") + (words["if_any"] if part.if_any else "")


def _term_from(term: str, part: Part, start: str, language: Language) -> str:
    words = _WORDS[language]
    if term == NEVER:
        return words["never"]
    if period := period_in_words(term, language):
        return f"{period} {words['after']} {start}"
    return words["at_once"] if ends_at_once(part) else f"{words['until']} {start}"


def ends_at_once(part: Part) -> bool:
    """Return whether a term has no length and starts at the event."""
    is_event = part.anchor.kind == "event" and part.anchor.waits_for is None
    return is_event and not part.terms and part.term != NEVER and parse_period(part.term).is_zero


def start_in_words(policy: Policy, part: Part, language: Language) -> str:
    """Return when the term of one end of a rule starts, such as `the end of the book year`."""
    words, anchor = _WORDS[language], part.anchor
    start = words["event"]
    if anchor.kind == "clock" and anchor.clock:
        start = words["clock"].format(policy.title("clocks", anchor.clock, language))
    elif anchor.kind == "field":
        start = words["field"].format(_named(policy, "fields", anchor.field or "", language))
    end_of = anchor.waits_for
    if end_of is None:
        return start
    end = _ENDS[language].get(end_of) or _ENDS[language]["year"]
    if end_of in policy.controller.years or end_of == BOOK_YEAR:
        last_day = policy.controller.years.get(end_of) or policy.controller.book_year_end
        end += words["ends_on"].format(_day_in_words(last_day, language))
    is_event = anchor.kind in ("event", "book-year")
    return end if is_event else words["in_which"].format(end, start)


def _day_in_words(month_day: str, language: Language) -> str:
    month, _, day = month_day.partition("-")
    return f"{int(day)} {_MONTHS[language][int(month) - 1]}"


def _length_from_year(term: str, part: Part, language: Language) -> str:
    """Return the text of a term, with the end of the year, quarter or month that starts it."""
    words, waits_for = _WORDS[language], part.anchor.waits_for
    if term == NEVER:
        return words["never"]
    period = period_in_words(term, language)
    if not period:
        return words["none"]
    if waits_for is None:
        return period
    end = _ENDS[language].get(waits_for) or _ENDS[language]["year"]
    return f"{period} {words['from']} {end}"


def period_in_words(term: str, language: Language) -> str:
    """Return the text of an ISO 8601 period; empty for one of no length."""
    if term == NEVER:
        return _WORDS[language]["never"]
    days, _, time = term.removeprefix("P").partition("T")
    parts = _NUMBER_AND_UNIT.findall(days)
    parts += [(n, f"T{unit}") for n, unit in _NUMBER_AND_UNIT.findall(time)]
    units = _UNITS[language]
    return " ".join(f"{int(n)} {units[unit][int(n) != 1]}" for n, unit in parts if int(n))
