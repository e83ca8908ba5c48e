"""The deletion concept of a policy, in the order of DIN 66398 and ISO/IEC 27555.

Standard terms by kind of start, kinds of data, the rule of each kind, what each system must do, backups,
and who is responsible. It states what the policy has; what is not set is shown as not stated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from services.policy.calendar import parse_period
from services.policy.documents.document import BulletList, Document, Section, Table
from services.policy.documents.processing import Processing, list_processing
from services.policy.model import Policy, System
from services.policy.rule import NEVER, Part, Rule
from services.policy.term_wording import (
    date_in_words,
    period_in_words,
    term_in_words,
    without_end_in_words,
)

_LANGUAGE: Final = "en"
_NOT_STATED: Final = "not stated"
_STARTS: Final = (
    "collection",
    "end of a year, quarter or month",
    "end of a clock",
    "date in the data",
)
"""The kinds of start, in the order of the matrix's columns."""
_ZERO: Final = "at once"
_ONLY_NAMED: Final = "the rule of what an event names it for"
_PROVENANCE: Final = {"stated": "statement", "statute": "law", "derived": "derived"}


def concept_document(policy: Policy) -> Document:
    """Return the deletion concept as a document."""
    processing = list_processing(policy)
    return Document(
        title="Deletion concept (DIN 66398, ISO/IEC 27555)",
        language=_LANGUAGE,
        blocks=(BulletList(items=tuple(_about(policy))),),
        sections=(
            Section(heading="Standard terms by kind of start", blocks=(term_matrix(policy),)),
            Section(heading="Kinds of data", blocks=(_kinds_of_data(policy, processing),)),
            Section(heading="Rules", blocks=(_rules(policy),)),
            Section(
                heading="Instructions for systems",
                blocks=(_instructions(policy, processing), _HOW_SYSTEMS_ERASE),
            ),
            Section(heading="Proof", blocks=(_proof(policy),)),
        ),
    )


_HOW_SYSTEMS_ERASE: Final = (
    "A system gets a command for each erasure, in time to have carried it out when the term ends, and never"
    " before a minimum has passed. It acknowledges the command, and reads again where it can."
)


def term_matrix(policy: Policy) -> Table:
    """Return the rules by standard term (rows, shortest first) and by kind of start (columns).

    A rule with several ends, or with terms by outcome, is in each of its places.
    """
    places: dict[str, dict[str, list[str]]] = {}
    for name, rule in policy.rules.items():
        for part in rule.parts:
            for term in dict.fromkeys((part.term, *part.terms.values())):
                text = _standard_term(rule, term)
                names = places.setdefault(text, {}).setdefault(_start_of(part), [])
                if name not in names:
                    names.append(name)
    rows = [
        (text, *(", ".join(places[text].get(start, ())) for start in _STARTS))
        for text in _ordered_terms(policy)
    ]
    return Table(columns=("Term", *_STARTS), rows=rows)


def standard_terms(policy: Policy) -> tuple[str, ...]:
    """Return each term of the rules once, as ISO 8601 periods, shortest first, with `never` last."""
    terms = {
        term
        for rule in policy.rules.values()
        for part in rule.parts
        for term in (part.term, *part.terms.values())
    }
    return tuple(sorted(terms, key=lambda term: (_length(term), term)))


def _ordered_terms(policy: Policy) -> Iterator[str]:
    """Return the texts of the standard terms once; P12M and P1Y, which differ as texts, are two."""
    texts: dict[str, list[str]] = {}
    for rule in policy.rules.values():
        for part in rule.parts:
            for term in (part.term, *part.terms.values()):
                texts.setdefault(term, []).append(_standard_term(rule, term))
    yield from dict.fromkeys(
        text for term in standard_terms(policy) for text in sorted(set(texts[term]), reverse=True)
    )


def _standard_term(rule: Rule, term: str) -> str:
    """Return the text of a standard term; one that never ends, ends with consent if the rule does."""
    if rule.lasts_until_withdrawal:
        return without_end_in_words(rule, _LANGUAGE)
    return period_in_words(term, _LANGUAGE) or _ZERO


def _length(term: str) -> tuple[bool, float]:
    """Return a key that orders terms by length; a month counts as 30.5 days."""
    if term == NEVER:
        return True, 0.0
    period = parse_period(term)
    return False, (period.months * 30.5 + period.days) * 86_400 + period.exact.total_seconds()


def _start_of(part: Part) -> str:
    if part.anchor.waits_for is not None:
        return _STARTS[1]
    return {"clock": _STARTS[2], "field": _STARTS[3]}.get(part.anchor.kind, _STARTS[0])


def _about(policy: Policy) -> Iterator[str]:
    reviewed = date_in_words(policy.reviewed, _LANGUAGE) if policy.reviewed else _NOT_STATED
    yield f"Controller: {policy.controller.name}"
    yield f"Policy: {policy.policy} {policy.version}"
    yield f"Responsible: {policy.responsible or _NOT_STATED}"
    yield f"Reviewed: {reviewed}"


def _kinds_of_data(policy: Policy, processing: tuple[Processing, ...]) -> Table:
    """Return, for each category of data and each rule, whose data it is, and where."""
    rows = []
    for category, definition in policy.categories.items():
        for rule in policy.rules:
            found = [
                item for item in processing if item.rule == rule and category in item.categories
            ]
            if found:
                kinds = {kind for item in found for kind in item.subjects}
                purposes = dict.fromkeys(item.purpose for item in found)
                rows.append(
                    (
                        definition.title,
                        rule,
                        "; ".join(
                            kind.title for name, kind in policy.subjects.items() if name in kinds
                        ),
                        "; ".join(policy.purposes[name].title for name in purposes),
                    )
                )
    return Table(columns=("Kind of data", "Rule", "Data subjects", "Purposes"), rows=rows)


def _rules(policy: Policy) -> Table:
    rows = [
        (
            name,
            rule.title,
            term_in_words(policy, name, _LANGUAGE),
            rule.source,
            _PROVENANCE[rule.term_from],
            _PROVENANCE[rule.anchor_from],
            "; ".join(_remarks(rule)),
        )
        for name, rule in policy.rules.items()
    ]
    columns = ("Rule", "Data", "Kept", "Source", "Term from", "Start from", "Remarks")
    return Table(columns=columns, rows=rows)


def _remarks(rule: Rule) -> Iterator[str]:
    if rule.is_in_test:
        yield "in test: nothing is erased because of it"
    if rule.pseudonymises:
        yield "pseudonymised once no other purpose needs the data"
    if rule.rationale and "derived" in (rule.term_from, rule.anchor_from):
        yield rule.rationale


def _instructions(policy: Policy, processing: tuple[Processing, ...]) -> Table:
    rows = []
    for name, system in policy.systems.items():
        rules = {item.rule for item in processing if name in item.systems}
        rows.append(
            (
                system.title,
                system.owner,
                ", ".join(rule for rule in policy.rules if rule in rules) or _ONLY_NAMED,
                period_in_words(system.lead_time, _LANGUAGE) or _ZERO,
                period_in_words(system.acknowledge_within, _LANGUAGE) or _ZERO,
                _verification(system),
                _backups(system),
            )
        )
    return Table(
        columns=(
            *("System", "Responsible", "Erases under", "Needs to erase", "Acknowledges within"),
            *("Verified", "Backups keep erased data"),
        ),
        rows=rows,
    )


def _verification(system: System) -> str:
    if system.role == "controller":
        return "a notice to another controller"
    return "by its acknowledgement" if system.verify_delay is None else "it reads again"


def _backups(system: System) -> str:
    if system.backups is None:
        return _NOT_STATED
    return period_in_words(system.backups, _LANGUAGE) or _ZERO


def _proof(policy: Policy) -> str:
    if policy.proof is None:
        return "The proof of an erasure is kept under the person's name permanently."
    term = period_in_words(policy.proof.term, _LANGUAGE)
    return (
        f"The proof of an erasure is kept under the person's name for {term} after the last erasure was"
        f" verified. Source: {policy.proof.source}."
    )
