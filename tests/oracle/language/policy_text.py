"""A schedule written as the text of a policy, with the keys that the language gives to it."""

from typing import Any

import yaml

from tests.oracle.language.rules import (
    NEVER,
    Anchor,
    EventType,
    Notice,
    Part,
    Rule,
    Schedule,
    Variant,
)
from tests.oracle.language.withdrawals import is_until_withdrawal

_TITLE = {"title": "Of the oracle"}
_ORIGIN = {"term_from": "stated", "anchor_from": "stated", "source": "The oracle"}


def policy_text(schedule: Schedule) -> str:
    """Return the policy, as YAML.

    A minimum rests on the basis `law`, a maximum on `contract`, one without an end on `consent`.
    """
    uses = [use for kind in schedule.types.values() for use in kind.uses]
    policy = {
        "policy": "oracle",
        "version": "1",
        "dpv": "https://w3id.org/dpv/2.3",
        **({"include": "gdpr"} if schedule.rights else {}),
        "controller": {
            "name": "Oracle",
            "contact": "privacy@oracle.example",
            "time_zone": schedule.zone,
            "statement": "Statement 1",
            **_years(schedule),
        },
        "purposes": {
            purpose: {**_TITLE, "dpv": "dpv:ServiceProvision", "source": "The oracle"}
            for purpose in sorted({use.purpose for use in uses})
        },
        "bases": {
            "contract": _basis("contract", "eu-gdpr:A6-1-b", "GDPR 6(1)(b)"),
            "law": _basis("legal_obligation", "eu-gdpr:A6-1-c", "GDPR 6(1)(c)"),
            **_consent(schedule),
        },
        "categories": {"contact": {**_TITLE, "dpv": ["pd:Name"]}},
        "subjects": {"person": {**_TITLE, "dpv": "dpv:Customer", "source": "The oracle"}},
        "systems": {
            system: {**_TITLE, "owner": "us"} | _lead(system, schedule)
            for system in sorted(
                {system for use in uses for system in use.systems} | _informing(schedule)
            )
        },
        "clocks": {name: {**_TITLE, "key": list(key)} for name, key in schedule.clocks.items()},
        "rules": {name: _rule(rule) for name, rule in schedule.rules.items()},
        "events": {
            name: _event_type(kind, schedule)
            for name, kind in schedule.types.items()
            if not name.startswith("privacy.")  # as `include: gdpr` has them
        },
    }
    return yaml.safe_dump(policy, sort_keys=False)


def _years(schedule: Schedule) -> dict[str, dict[str, str]]:
    """Return the named years, where a rule names one."""
    parts = [
        part
        for rule in schedule.rules.values()
        for part in (rule.parts if isinstance(rule, Rule) else rule.changes.get("parts", ()))
    ]
    named = any(part.anchor.end_of in schedule.years for part in parts)
    return {"years": dict(schedule.years)} if named else {}


def _consent(schedule: Schedule) -> dict[str, dict[str, str]]:
    """Return the basis of consent, where an event withdraws it."""
    withdrawn = any(kind.withdraws for kind in schedule.types.values())
    return {"consent": _basis("consent", "eu-gdpr:A6-1-a", "GDPR 6(1)(a)")} if withdrawn else {}


def _basis(ground: str, dpv: str, article: str) -> dict[str, str]:
    return {**_TITLE, "dpv": dpv, "article": article, "ground": ground}


def _informing(schedule: Schedule) -> set[str]:
    """Return the systems that give notice."""
    return {
        notice.system
        for rule in schedule.rules.values()
        for notice in (rule.notices if isinstance(rule, Rule) else rule.changes.get("notices", ()))
    }


def _lead(system: str, schedule: Schedule) -> dict[str, str]:
    hours, retired = schedule.lead_hours.get(system), schedule.retired.get(system)
    text = {} if hours is None else {"lead_time": f"PT{hours}H"}
    return text if retired is None else {**text, "retired": retired}


def _rule(rule: Rule | Variant) -> dict[str, Any]:
    if isinstance(rule, Variant):
        when = {name: list(values) for name, values in rule.when.items()}
        text: dict[str, Any] = {"extends": rule.extends, "when": when}
        text |= _parts(rule.changes.get("parts", ()), rule.changes.get("ends", "last"))
        return text | _endings(rule.changes.get("then", ""), rule.changes.get("notices", ()))
    text = {**_TITLE, "kind": rule.kind}
    text |= _parts(rule.parts, rule.ends)
    text |= _endings("" if rule.then == "erase" else rule.then, rule.notices)
    if rule.minimum:
        text["minimum"] = rule.minimum
    if rule.test:
        text["status"] = "test"
    return text | _ORIGIN


def _endings(then: str, notices: tuple[Notice, ...]) -> dict[str, Any]:
    text: dict[str, Any] = {"then": then} if then else {}
    if notices:
        text["notices"] = [{"before": each.before, "system": each.system} for each in notices]
    return text


def _parts(parts: tuple[Part, ...], ends: str) -> dict[str, Any]:
    if not parts:
        return {}
    if len(parts) == 1 and not parts[0].if_any:
        return _part(parts[0])
    return {"ends": ends, "of": [_part(part) for part in parts]}


def _part(part: Part) -> dict[str, Any]:
    text: dict[str, Any] = {"term": part.term}
    if part.term != NEVER or part.terms:
        text["anchor"] = _anchor(part.anchor)
    if part.terms:
        text["terms"] = dict(part.terms)
    if part.if_any:
        text["if_any"] = True
    return text


def _anchor(anchor: Anchor) -> dict[str, str]:
    text: dict[str, str] = {"kind": anchor.kind}
    if anchor.name:
        text[anchor.kind] = anchor.name
    if anchor.end_of:
        text["end_of"] = anchor.end_of
    return text


def _event_type(kind: EventType, schedule: Schedule) -> dict[str, Any]:
    conditions = {
        name for rule in schedule.rules.values() if isinstance(rule, Variant) for name in rule.when
    }
    keys = {name for key in schedule.clocks.values() for name in key}
    fields: dict[str, dict[str, Any]] = {"person": {}, **{name: {} for name in sorted(keys)}}
    fields |= {name: {"type": "date", "required": False} for name in kind.dates}
    if kind.uses:
        fields |= {name: {"required": False} for name in sorted(conditions)}
    text: dict[str, Any] = {"process": "The oracle", "fields": fields}
    text["subject"] = [{"kind": "person", "field": "person"}]
    if kind.uses:
        text["categories"] = ["contact"]
        text["holdings"] = [
            {
                "purpose": use.purpose,
                "basis": _basis_of(use.rule, schedule),
                "rule": use.rule,
                "systems": list(use.systems),
            }
            for use in kind.uses
        ]
    if kind.withdraws:
        fields["purpose"] = {}
        text["act"] = "consent-withdrawn"
    if kind.moves:
        text["moves"] = [
            {"clock": move.clock, "move": "end" if move.ends else "start"}
            | ({"at": move.at} if move.at else {})
            | ({"outcome": move.outcome} if move.outcome else {})
            for move in kind.moves
        ]
    return text


def _basis_of(name: str, schedule: Schedule) -> str:
    rule = schedule.rules[name]
    if isinstance(rule, Variant):
        return _basis_of(rule.extends, schedule)
    if is_until_withdrawal(rule):
        return "consent"
    return "law" if rule.kind == "at_least" else "contract"
