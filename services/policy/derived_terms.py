"""The derived terms of a policy: the company's own reading of a law or of its statement, to be confirmed.

A confirmation is about the rule as it is, without its title: a rule that is changed has to be confirmed
again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Literal

from services.policy.loader import policy_text
from services.policy.model import Policy

PROOF: Final = "proof"
"""The name under which the term of the policy's `proof` is confirmed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedTerm:
    """A rule whose term, or whose start of the term, is derived."""

    name: str
    """The rule's name, or `proof`."""
    derived: tuple[Literal["term", "anchor"], ...]
    """Which of the two is derived."""
    rationale: str | None
    digest: str
    """A hash of what is confirmed."""


def derived_terms(policy: Policy) -> Iterator[DerivedTerm]:
    """Return the rules with a derived term or anchor, in the order of the file, and then the proof."""
    written = json.loads(policy_text(policy))
    for name, rule in policy.rules.items():
        parts: list[Literal["term", "anchor"]] = []
        if rule.term_from == "derived":
            parts.append("term")
        if rule.anchor_from == "derived":
            parts.append("anchor")
        if parts:
            yield DerivedTerm(
                name=name,
                derived=tuple(parts),
                rationale=rule.rationale,
                digest=_digest(written["rules"][name]),
            )
    if policy.proof and policy.proof.term_from == "derived" and PROOF not in policy.rules:
        yield DerivedTerm(
            name=PROOF,
            derived=("term",),
            rationale=policy.proof.rationale,
            digest=_digest(written["proof"]),
        )


def _digest(values: dict[str, Any]) -> str:
    """Return a hash of what is written of a rule, without its title."""
    confirmed = {key: value for key, value in values.items() if key != "title"}
    return sha256(json.dumps(confirmed, sort_keys=True).encode()).hexdigest()
