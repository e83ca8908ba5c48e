"""Lint warnings of what a deletion concept would not have: many different terms, and late backups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from services.policy.documents.concept import standard_terms
from services.policy.documents.processing import list_processing
from services.policy.model import Policy

MAX_STANDARD_TERMS: Final = 12
"""So many different terms need no warning; DIN 66398 asks for few standard terms, and gives no number."""


def concept_warnings(policy: Policy) -> Iterator[tuple[str, str]]:
    """Return each warning, with the key that it is about."""
    terms = standard_terms(policy)
    if len(terms) > MAX_STANDARD_TERMS:
        yield (
            "rules",
            f"have {len(terms)} different terms ({', '.join(terms)}): give kinds of data that can have"
            " one the same term",
        )
    for name, system in policy.systems.items():
        promised = {
            item.rule
            for item in list_processing(policy)
            if name in item.systems and policy.rules[item.rule].kind == "at_most"
        }
        if system.backups and promised:
            rules = ", ".join(rule for rule in policy.rules if rule in promised)
            yield (
                f"systems.{name}.backups",
                f"keep erased data for {system.backups} after the promised end of {rules}; state that in"
                " the privacy statement, or shorten it",
            )
