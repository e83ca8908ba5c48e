"""The retention section of a privacy statement, from a policy: per purpose what is kept, and how long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from services.policy.conditions import conditions, rule_for, variants
from services.policy.documents.document import Block, BulletList, Document, Section
from services.policy.documents.processing import Processing, holdings_of, list_processing
from services.policy.documents.statement_wording import SENTENCES
from services.policy.model import Policy
from services.policy.term_wording import (
    Language,
    date_in_words,
    ends_at_once,
    period_in_words,
    term_in_words,
)

_GROUNDS_OPEN_TO_OBJECTION: Final[Mapping[str, frozenset[str]]] = {
    "absolute": frozenset({"legitimate_interest", "public_task", "consent"}),
    "withdrawal": frozenset({"legitimate_interest", "public_task", "consent"}),
    "restrict": frozenset(),  # it ends nothing until it is decided
}
"""On which grounds data is erased because of an objection, by the purpose's `objection`."""


def statement_document(policy: Policy, language: Language) -> Document:
    """Return the retention section: a heading for each purpose with an entry for each rule, and exceptions.

    It has the terms that are enforced, derived or not; a rule in test is named as not applied.
    """
    sentences = SENTENCES[language]
    by_purpose: dict[str, list[Processing]] = {}
    for processing in list_processing(policy):
        by_purpose.setdefault(processing.purpose, []).append(processing)
    sections = [
        Section(
            heading=_capitalized(policy.title("purposes", name, language)),
            blocks=tuple(_purpose(policy, name, found, language)),
        )
        for name, found in by_purpose.items()
    ]
    exceptions = BulletList(items=tuple(_exceptions(policy, language)))
    return Document(
        title=sentences["title"],
        language=language,
        blocks=(sentences["intro"].format(controller=policy.controller.name),),
        sections=(*sections, Section(heading=sentences["exceptions"], blocks=(exceptions,))),
    )


def _purpose(
    policy: Policy, name: str, found: Sequence[Processing], language: Language
) -> Iterator[Block]:
    purpose = policy.purposes[name]
    yield BulletList(items=tuple(_entry(policy, processing, language) for processing in found))
    grounds = {policy.bases[processing.basis].ground for processing in found}
    is_open = not grounds.isdisjoint(_GROUNDS_OPEN_TO_OBJECTION[purpose.objection])
    if is_open and _has_act(policy, "objection-raised"):
        yield SENTENCES[language][purpose.objection]


def _entry(policy: Policy, processing: Processing, language: Language) -> str:
    """Return what is kept, for how long, and what changes that."""
    title = _capitalized(policy.title("rules", processing.rule, language))
    categories = [policy.title("categories", name, language) for name in processing.categories]
    data = f"{title} ({'; '.join(categories)})" if categories else title
    return f"{data}: {'; '.join(_terms(policy, processing, language))}."


def _terms(policy: Policy, processing: Processing, language: Language) -> Iterator[str]:
    """Return the term of an entry, and each thing that changes it."""
    sentences, rule = SENTENCES[language], policy.rules[processing.rule]
    basis, purpose = policy.bases[processing.basis], policy.purposes[processing.purpose]
    if rule.is_in_test:
        yield sentences["in_test"]
    else:
        yield term_in_words(policy, processing.rule, language)
    for before in dict.fromkeys(notice.before for notice in rule.notices):
        if not rule.is_in_test:
            yield sentences["notice"].format(period=period_in_words(before, language))
    if rule.pseudonymises:
        yield sentences["pseudonymise"]
    if basis.is_statutory and not all(map(ends_at_once, rule.parts)):
        yield sentences["statutory"]
    elif basis.ground != "consent" and (rule.kind == "at_least" or rule.minimum):
        yield sentences["minimum"]
    is_stated = rule.lasts_until_withdrawal and not rule.is_in_test
    if basis.ground == "consent" and _has_act(policy, "consent-withdrawn") and not is_stated:
        yield from dict.fromkeys(_withdrawals(policy, processing, language))
    if purpose.retired:
        day = purpose.retired.astimezone(policy.controller.zone).date()
        yield sentences["retired"].format(date=date_in_words(day, language))


def _withdrawals(policy: Policy, processing: Processing, language: Language) -> Iterator[str]:
    """Return what a withdrawal of consent changes, for each holding that rests on it."""
    sentences = SENTENCES[language]
    for holding in holdings_of(policy, processing):
        rule_after = None
        own_rules = variants(holding.rule, policy.rules)
        if holding.basis != processing.basis or processing.rule not in own_rules:
            rule_after = holding.rule  # consent that was given later has changed it
        elif holding.on_withdrawal:
            rule_after = holding.on_withdrawal.rule
        if rule_after:
            required = conditions(processing.rule, policy.rules)
            fields = {field: min(values, key=str) for field, values in required.items()}
            rule_after = rule_for(rule_after, fields, policy)
            term = term_in_words(policy, rule_after, language)
            yield sentences["after_withdrawal"].format(term=term)
        elif holding.survives_withdrawal:
            yield sentences["despite_withdrawal"].format(ground=holding.survives_withdrawal)
        else:
            yield sentences["until_withdrawal"]


def _exceptions(policy: Policy, language: Language) -> Iterator[str]:
    sentences = SENTENCES[language]
    if _has_act(policy, "request-received"):
        yield sentences["request"]
    if _has_act(policy, "hold-placed"):
        yield sentences["hold"]
    if policy.proof is None:
        yield sentences["proof_never"]
    elif term := period_in_words(policy.proof.term, language):
        yield sentences["proof"].format(term=term)


def _has_act(policy: Policy, act: str) -> bool:
    return any(event.act == act for event in policy.events.values())


def _capitalized(title: str) -> str:
    return title[:1].upper() + title[1:]
