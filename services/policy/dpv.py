"""The Data Privacy Vocabulary (DPV) 2.3 of the W3C: the terms that a policy may name, as shipped data."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files

from services.policy.model import Policy
from services.policy.nearest_name import did_you_mean
from services.policy.yaml_source import DocumentPath, PolicyError

_FILE = "dpv-2.3.txt"
"""One `prefix:Name` a line; its first lines have source and licence."""


@cache
def dpv_terms() -> frozenset[str]:
    """Return every term of the vocabulary, such as dpv:Customer; properties and places are left out."""
    text = files(__package__).joinpath(_FILE).read_text("utf-8")
    return frozenset(line for line in text.splitlines() if not line.startswith("#"))


def check_dpv_terms(policy: Policy) -> Iterator[PolicyError]:
    """Return each term of a policy that the vocabulary does not have, with its path in the file."""
    for path, term in _terms_of(policy):
        if term not in dpv_terms():
            yield path, f"{term!r} is not a term of DPV 2.3{_suggestion(term)}"


def _terms_of(policy: Policy) -> Iterator[tuple[DocumentPath, str]]:
    for section in ("purposes", "bases", "subjects"):
        for name, part in getattr(policy, section).items():
            yield (section, name, "dpv"), part.dpv
    for name, category in policy.categories.items():
        for index, term in enumerate(category.dpv):
            yield ("categories", name, "dpv", index), term


def _suggestion(term: str) -> str:
    prefix, colon, _ = term.partition(":")
    prefixes = {known.partition(":")[0] for known in dpv_terms()}
    if not colon:
        named = sorted(known for known in dpv_terms() if known.partition(":")[2] == term)
        return f"; did you mean {named[0]}?" if named else did_you_mean(f"dpv:{term}", dpv_terms())
    if prefix not in prefixes:
        return did_you_mean(prefix, prefixes) or "; see https://w3id.org/dpv/2.3"
    of_prefix = (known for known in dpv_terms() if known.startswith(f"{prefix}:"))
    return did_you_mean(term, of_prefix) or "; see https://w3id.org/dpv/2.3"
