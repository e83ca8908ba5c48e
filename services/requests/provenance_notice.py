"""The notice of where a person's data comes from (GDPR 14(1) and (2)), in Dutch or English."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from schemas.errors import TermijnError
from services.ledger.facts import load_tagged_events
from services.policy.model import Policy
from services.policy.tagged_event import Holding, TaggedEvent
from services.policy.term_wording import term_in_words
from services.requests.provenance import open_events
from services.requests.template_environment import template_environment
from services.requests.wording import Language, Translator

__all__ = ["NothingToReport", "load_uninformed", "render_provenance"]


class NothingToReport(TermijnError):
    """No data of the person waits for a notice; the operator looks at the list."""

    def __init__(self, subject: str) -> None:
        super().__init__(
            f"provenance: {subject} is informed of all data that was obtained;"
            " `termijn provenance list` shows who is not"
        )
        self.subject = subject


def load_uninformed(connection: Connection, subject: str, policy: Policy) -> Sequence[TaggedEvent]:
    """Return the events that report data of a person as obtained and of which the person is not informed.

    Raises:
        NothingToReport: there is none.
    """
    ids = open_events(connection, subject)
    if not ids:
        raise NothingToReport(subject)
    events = load_tagged_events(connection, ids, policy)
    return sorted(events.values(), key=lambda event: (event.time, event.source, event.id))


def render_provenance(
    policy: Policy,
    subject: str,
    events: Iterable[TaggedEvent],
    language: Language,
    confirmed: Mapping[str, bool],
) -> str:
    """Return the notice about these events of a person; it ends with a line break.

    `confirmed` has, by each rule with a derived term, whether it is confirmed.
    """
    words = Translator(policy=policy, language=language, confirmed=confirmed)
    found = list(events)
    systems = dict.fromkeys(
        system
        for event in found
        for holding in event.by_subject.get(subject, ())
        for system in holding.systems
    )
    outside = [
        (words.system(name), policy.systems[name].safeguard or "")
        for name in systems
        if policy.systems[name].outside_eea
    ]
    template = template_environment("services.requests", html=False).get_template(
        f"provenance.{language}.jinja"
    )
    text = template.render(
        controller=policy.controller,
        obtained=[_obtained(event, subject, words) for event in found],
        outside=outside,
    )
    return text.strip() + "\n"


def _obtained(event: TaggedEvent, subject: str, words: Translator) -> Mapping[str, Any]:
    kind = words.policy.events[event.type]
    holdings = event.by_subject.get(subject, ())
    rule = kind.provenance
    deciding = (*rule.when, *rule.unless) if rule else ()
    source = [
        str(event.decision_fields[name]) for name in deciding if name in event.decision_fields
    ]
    return {
        "date": words.date(event.time),
        "source": ", ".join(source),
        "categories": words.named("categories", kind.categories),
        "purposes": words.named("purposes", dict.fromkeys(item.purpose for item in holdings)),
        "uses": [_use(holding, words) for holding in holdings],
    }


def _use(holding: Holding, words: Translator) -> Mapping[str, str]:
    policy = words.policy
    basis = policy.title("bases", holding.basis, words.language)
    return {
        "purpose": words.named("purposes", [holding.purpose]),
        "basis": f"{basis} ({words.article(policy.bases[holding.basis].article)})",
        "term": term_in_words(policy, holding.rule, words.language) + words.reading(holding.rule),
        "systems": ", ".join(map(words.system, holding.systems)),
    }
