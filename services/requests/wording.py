"""The wording of reports in Dutch and English, shared by letters, pages and packages.

Dates are local dates of the controller. Things that have a title in the policy are called by it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from services.policy.model import Policy
from services.policy.term_wording import LANGUAGES, Language, date_in_words, length_in_words
from services.requests.report import Outcome, ProcessingSummary, Report, RetainedData, SystemOutcome

__all__ = [
    "LANGUAGES",
    "Language",
    "LetterLine",
    "Translator",
    "finalize",
    "outcome_lines",
    "retained_lines",
    "strip_control_characters",
    "third_country_lines",
]

_OUTCOMES: Mapping[Language, Mapping[Outcome, str]] = {
    "nl": {
        "done": "gedaan",
        "nothing_held": "had er niets meer van",
        "refused": "geweigerd",
        "under_way": "opdracht gegeven, nog niet bevestigd",
        "silent": "opdracht gegeven, antwoord blijft uit; wij volgen dat op",
        "given_up": "niet langs deze weg te bereiken; wij volgen het met de hand op",
    },
    "en": {
        "done": "done",
        "nothing_held": "held nothing of it any more",
        "refused": "refused",
        "under_way": "told to, not confirmed yet",
        "silent": "told to, has not answered; we follow that up",
        "given_up": "cannot be reached this way; we follow it up by hand",
    },
}
_RETENTION_REASONS: Mapping[Language, Mapping[str, str]] = {
    "nl": {
        "legal_obligation": "de wet verplicht ons het te bewaren",
        "contract": "het is nodig voor een overeenkomst of procedure die nog loopt",
        "hold": "het is nodig voor een rechtsvordering of een onderzoek dat nog loopt",
        "later": "het is van na uw verzoek",
    },
    "en": {
        "legal_obligation": "the law obliges us to keep it",
        "contract": "a contract or procedure that is still running needs it",
        "hold": "a legal claim or an inquiry that is still running needs it",
        "later": "it dates from after your request",
    },
}
_READINGS: Mapping[Language, Mapping[bool, str]] = {
    "nl": {True: "eigen lezing, bevestigd", False: "eigen lezing, nog niet bevestigd"},
    "en": {True: "our own reading, confirmed", False: "our own reading, not confirmed yet"},
}
"""Of a derived term: whether the privacy officer has confirmed it."""
_MAX_GROUND_CHARS = 500
"""Characters of a refusal's ground: it comes from a system, and a cell of a PDF must fit on one page."""
_PARAGRAPH = re.compile(r"(\d+)\((\d+)\)")
_POINT = re.compile(r"\(([a-z])\)")


def strip_control_characters(text: str) -> str:
    """Return text without control characters and direction marks, which could change how it is shown."""
    if text.isprintable():
        return text
    return "".join(
        char if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cf", "Cs") else "\ufffd"
        for char in text
    )


def finalize(value: object) -> object:
    """Strip control characters from what a template writes; markup of our own is not changed."""
    return strip_control_characters(value) if type(value) is str else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Translator:
    """The words of one language for the things that a policy names."""

    policy: Policy
    language: Language
    confirmed: Mapping[str, bool] = field(default_factory=dict)
    """By each rule with a derived term, whether it is confirmed; without it nothing is stated of that."""

    def date(self, at: datetime | None) -> str:
        """Return an instant as a local date."""
        if at is None:
            return {"nl": "nog niet bekend", "en": "not known yet"}[self.language]
        return date_in_words(at.astimezone(self.policy.controller.zone).date(), self.language)

    def reading(self, rule: str | None) -> str:
        """Return in brackets that a rule's term is derived, and whether it is confirmed; else nothing."""
        is_confirmed = self.confirmed.get(rule or "")
        return "" if is_confirmed is None else f" ({_READINGS[self.language][is_confirmed]})"

    def until(self, at: datetime | None, rule: str | None) -> str:
        """Return until when data is kept under a rule: a local date, or what else ends it, or nothing."""
        if at is None and rule is not None:
            if self.policy.rules[rule].is_never_erased:
                return {"nl": "blijvend", "en": "permanently"}[self.language]
            if self.policy.rules[rule].lasts_until_withdrawal:
                return {
                    "nl": "intrekking van uw toestemming",
                    "en": "withdrawal of your consent",
                }[self.language]
        return self.date(at)

    def system(self, name: str) -> str:
        """Return a system's title, with its owner where that is outside the company."""
        return self.policy.title("systems", name, self.language)

    def named(self, section: str, names: Iterable[str]) -> str:
        """Return the titles of things in a section of the policy, separated by commas."""
        return ", ".join(self.policy.title(section, name, self.language) for name in names)

    def outcome(self, part: SystemOutcome) -> str:
        """Return how far a system is, in words."""
        text = _OUTCOMES[self.language][part.outcome]
        ground = " ".join(strip_control_characters(part.ground or "").split())[:_MAX_GROUND_CHARS]
        return f"{text}: {ground}" if ground else text

    def why(self, retained: RetainedData) -> str:
        """Return why data is kept, with the article."""
        return (
            f"{_RETENTION_REASONS[self.language][retained.why]} ({self.article(retained.article)})"
        )

    def article(self, article: str) -> str:
        """Return the name of a GDPR article in the language."""
        if self.language == "nl":
            dutch = _PARAGRAPH.sub(r"\1 lid \2", article)
            return _POINT.sub(r" onder \1", dutch).replace("GDPR ", "AVG artikel ")
        return article.replace("GDPR ", "GDPR article ")

    def term(self, rule: str) -> str:
        """Return how long a rule keeps data, and of a derived term whether it is confirmed."""
        return length_in_words(self.policy.rules[rule], self.language) + self.reading(rule)

    def basis(self, processing: ProcessingSummary) -> str:
        """Return the legal basis of a processing, with the article."""
        title = self.policy.title("bases", processing.basis, self.language)
        return f"{title} ({self.article(self.policy.bases[processing.basis].article)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterLine:
    """A line of a letter: what one system did, or one kind of data that is kept."""

    system: str
    text: str
    records: int
    until: str = ""


def outcome_lines(report: Report, words: Translator) -> list[LetterLine]:
    """Return a line for what each system did."""
    return [
        LetterLine(system=words.system(part.system), text=words.outcome(part), records=part.records)
        for part in report.parts
    ]


def retained_lines(report: Report, words: Translator) -> list[LetterLine]:
    """Return a line for what each system keeps, why, and until when."""
    return [
        LetterLine(
            system=words.system(retained.system),
            text=f"{words.named('purposes', [retained.purpose])}: {words.why(retained)}",
            records=retained.records,
            until=words.until(retained.until, retained.rule) + words.reading(retained.rule),
        )
        for retained in report.kept
    ]


def third_country_lines(report: Report) -> list[tuple[str, str]]:
    """Return a line for each system with data outside the EEA, with its safeguard (GDPR 46)."""
    systems = {system for processing in report.processing for system in processing.systems}
    declared = report.policy.systems
    return [
        (name, declared[name].safeguard or "")
        for name in sorted(systems)
        if declared[name].outside_eea
    ]
