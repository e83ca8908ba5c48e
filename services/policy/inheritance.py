"""Rules that extend others: before a file is checked, each takes over the keys that it does not have.

A term of its own replaces the several ends of its base, and the other way round.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from services.policy.yaml_source import DocumentPath, PolicyError, PolicyProblem, SourceLines

EXTENDS: Final = "extends"
_RULES: Final = "rules"
_OWN: Final = (EXTENDS, "when")
"""The keys that no rule takes over."""
_ONE_TERM: Final = ("term", "anchor", "terms", "minimum")
_SEVERAL_TERMS: Final = ("ends", "of")
_SAMPLE: Final[Mapping[str, Any]] = {
    "title": "sample",
    "kind": "at_most",
    "term": "P1D",
    "anchor": {"kind": "event"},
    "term_from": "stated",
    "anchor_from": "stated",
    "source": "sample",
}
"""Replaces a base that does not exist, which is reported by the check of the rules."""

_DEPTH_OF_RULES: Final = 2
"""How many keys lead to a rule."""

Rules = Mapping[str, Mapping[str, Any]]


def inherit(document: Any, lines: SourceLines) -> tuple[Any, SourceLines]:
    """Return a policy file's document in which each rule has what it takes over, and the lines of both."""
    rules = document.get(_RULES) if isinstance(document, dict) else None
    if not isinstance(rules, dict) or not any(map(_base_of, rules.values())):
        return document, lines
    merged = {name: _with_base(name, rules, ()) for name in rules}
    return {**document, _RULES: merged}, _InheritingLines(lines, rules)


def complete_values(rules: Rules, all_values: Rules) -> dict[str, dict[str, Any]]:
    """Return rules that are written without defaults so that `inherit` changes nothing in them.

    A rule that extends another states each key that its base states. `all_values` has every key of each.
    """
    return {
        name: dict(rule)
        | {
            key: all_values[name][key]
            for key in rules.get(rule.get(EXTENDS, ""), {})
            if key not in (*rule, *_OWN)
        }
        for name, rule in rules.items()
    }


def _base_of(rule: Any) -> str | None:
    base = rule.get(EXTENDS) if isinstance(rule, dict) else None
    return base if isinstance(base, str) else None


def _with_base(name: str, rules: Mapping[str, Any], below: tuple[str, ...]) -> Any:
    """Return a rule with the keys of the rules that it extends; `below` extend it."""
    rule = rules[name]
    base_name = _base_of(rule)
    if base_name is None:
        return rule
    exists = base_name in rules and base_name not in (name, *below)
    base = _with_base(base_name, rules, (*below, name)) if exists else _SAMPLE
    if not isinstance(base, dict):
        base = _SAMPLE
    replaced = _SEVERAL_TERMS if rule.get("term") else _ONE_TERM if rule.get("of") else ()
    inherited = {
        key: value
        for key, value in base.items()
        if key not in rule and key not in _OWN and key not in replaced
    }
    return rule | inherited


class _InheritingLines(SourceLines):
    """The lines of a file with rules that extend others: what they take over is reported once."""

    def __init__(self, own: SourceLines, rules: Mapping[str, Any]) -> None:
        self._own = own
        self._rules = rules

    def distinct_problems(self, problems: Iterable[PolicyError]) -> tuple[PolicyProblem, ...]:
        """Return problems with their lines; one in a key that is taken over is that of the base."""
        problems = list(problems)
        known = set(problems)
        return self._own.distinct_problems(
            (path, why)
            for path, why in problems
            if (written := self._written(path)) == path or (written, why) not in known
        )

    def problem_at(self, path: DocumentPath, why: str) -> PolicyProblem:
        """Return a problem with the line of the deepest part of its path that is in the file."""
        return self._own.problem_at(path, why)

    def depth_of(self, path: DocumentPath) -> int:
        """Return how many parts of a path are in the file."""
        return self._own.depth_of(path)

    def _written(self, path: DocumentPath) -> DocumentPath:
        """Return the path of the base's key where a rule takes that over."""
        if path[:1] != (_RULES,) or len(path) <= _DEPTH_OF_RULES:
            return path
        _, name, key, *rest = path
        for _ in self._rules:
            rule = self._rules.get(str(name), {})
            base = _base_of(rule)
            if base is None or key in rule:
                break
            name = base
        return (_RULES, name, key, *rest)
