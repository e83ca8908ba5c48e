"""Check the rules whose data is kept until consent is withdrawn: nothing else may ever end that data."""

from __future__ import annotations

from collections.abc import Iterator

from services.policy.conditions import variants
from services.policy.event_type import ConsentFallback, EventType, HoldingRule, SubjectField
from services.policy.model import Policy
from services.policy.yaml_source import PolicyError


def check_kept_until_withdrawal(policy: Policy) -> Iterator[PolicyError]:
    """Return a problem for each such rule by which a holding could be kept with no event that ends it."""
    found: dict[str, str] = {}
    for type_name, event in policy.events.items():
        for holding in event.holdings:
            for part in (holding, holding.on_withdrawal, holding.on_consent):
                if part is None or part.basis not in policy.bases:
                    continue
                why = _why_it_may_stay(type_name, event, holding, part, policy)
                for name in variants(part.rule, policy.rules) if why else ():
                    found.setdefault(name, why or "")
    for name, rule in policy.rules.items():
        is_plain = not (rule.of or rule.terms or rule.minimum)
        if name in found and rule.lasts_until_withdrawal and rule.term and is_plain:
            yield ("rules", name), found[name]


def _why_it_may_stay(
    type_name: str,
    event: EventType,
    holding: HoldingRule,
    part: HoldingRule | ConsentFallback,
    policy: Policy,
) -> str | None:
    if policy.bases[part.basis].ground != "consent":
        return (
            f"is a maximum that never ends, and {type_name} keeps data under it on {part.basis};"
            " use kind `at_least` for what is kept permanently, a term, or a basis of consent, on which it"
            " is kept until that is withdrawn"
        )
    if holding.on_withdrawal or holding.on_consent:
        key = "on_withdrawal" if holding.on_withdrawal else "on_consent"
        return (
            f"is a maximum that only a withdrawal of consent ends, which would not end the data of"
            f" {type_name}, but change it; remove {key}, or use a term"
        )
    if not any(_withdraws(other, holding, event) for other in policy.events.values()):
        return (
            f"is a maximum that only a withdrawal of consent ends, and no event withdraws that for"
            f" {holding.purpose} of the data subjects of {type_name}; `include: gdpr` adds one"
        )
    return None


def _withdraws(other: EventType, holding: HoldingRule, event: EventType) -> bool:
    """Return whether an event type can withdraw the consent of the data subjects of a holding."""
    if other.act != "consent-withdrawn":
        return False
    purpose = other.fields.get("purpose")
    if purpose and purpose.one_of and holding.purpose not in purpose.one_of:
        return False
    own = (holding.subject,) if holding.subject else event.subject
    return _kinds(own) <= _kinds(other.subject) or None in _kinds(other.subject)


def _kinds(subjects: tuple[SubjectField, ...]) -> set[str | None]:
    """Return the kinds of data subjects that fields name; None for one that can name any kind."""
    return {subject.kind for subject in subjects}
