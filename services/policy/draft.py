"""The first policy of a company, written from a few answers: a file to lint and to go on with.

It has at most three rules, one of each kind: a promise from the event, a promise from the end of a
relationship, and the duty to keep books. Their terms are `derived`, so that lint asks for a confirmation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from pydantic import TypeAdapter

from services.policy.event_type import EventType
from services.policy.included import read_part
from services.policy.sources import OWN_SOURCE, needs_sources
from services.policy.subject_state import CLOSING_EVENTS

Effect = Literal["event", "relationship", "books", "starts", "ends"]
"""What an event does: data is kept from the event on, after the relationship, or in the books; the
relationship starts again, or ends."""
EFFECTS: tuple[Effect, ...] = get_args(Effect)
_CLOCK: Final = "relationship"
_CHANGES: Mapping[Effect, str] = {"starts": "start", "ends": "end"}
_EVENT_TYPE: Final = TypeAdapter(EventType)
_IS_KEY = re.compile(r"(?P<stem>\w+)_id").fullmatch


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftEvent:
    """An event type; its first field names the data subject."""

    type: str
    fields: tuple[str, ...]
    effects: tuple[Effect, ...] = ("event",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The answers from which a policy is written."""

    name: str
    controller: str
    contact: str
    zone: str
    year_end: str
    """The last day of the financial year, as month-day."""
    years: tuple[tuple[str, str], ...]
    """The other years, each by its name with its last day as month-day."""
    statement: str
    subject: str
    """The kind of data subject."""
    systems: tuple[tuple[str, str], ...]
    """Each system with its owner."""
    books: str
    """The system with the books."""
    terms: Mapping[Effect, str]
    """The terms of `event`, `relationship` and `books`, as ISO 8601 periods."""
    events: tuple[DraftEvent, ...]


def parse_event(text: str) -> DraftEvent:
    """Read a description of an event type, such as `shop.order: customer_id, order_id -> event, books`.

    Raises:
        ValueError: it is not such a description.
    """
    kind, colon, rest = text.partition(":")
    names, arrow, effects = rest.partition("->")
    fields = tuple(filter(None, (name.strip() for name in names.split(","))))
    if not colon or not kind.strip() or not fields:
        raise ValueError(f"is not TYPE: FIELD, FIELD -> EFFECT, got {text!r}")
    return DraftEvent(
        type=kind.strip(), fields=fields, effects=parse_effects(effects) if arrow else ("event",)
    )


def parse_effects(text: str) -> tuple[Effect, ...]:
    """Read effects that are separated by commas.

    Raises:
        ValueError: one of them does not exist.
    """
    names = [name.strip() for name in text.split(",")]
    effects = tuple(effect for name in names for effect in EFFECTS if effect == name)
    if len(effects) < len(names):
        raise ValueError(f"is not one of {', '.join(EFFECTS)}, got {text.strip()!r}")
    return effects


def key_fields(definition: Mapping[str, object]) -> tuple[str, ...]:
    """Return the fields of an Avro schema that are keys by their name, such as `customer_id`."""
    fields = definition["fields"]
    names = [field["name"] for field in fields] if isinstance(fields, list) else []
    return tuple(name for name in names if _IS_KEY(name))


def write_policy(draft: Draft) -> str:
    """Return the text of a policy file; whether the answers fit is for the loader to check."""
    return "\n".join(_lines(draft)) + "\n"


def _lines(draft: Draft) -> Iterator[str]:
    used = {effect for event in draft.events for effect in event.effects}
    source = _quote(draft.statement)
    yield "# yaml-language-server: $schema=policy.schema.json"
    yield f"policy: {_quote(draft.name)}"
    yield 'version: "1"  # increase it with every change'
    yield "dpv: https://w3id.org/dpv/2.3"
    yield "include: gdpr  # the legal bases; events of consent, objections, requests and legal holds"
    yield "controller:"
    yield f"  name: {_quote(draft.controller)}"
    yield f"  contact: {_quote(draft.contact)}"
    yield f"  time_zone: {_quote(draft.zone)}"
    yield f"  book_year_end: {_quote(draft.year_end)}"
    if draft.years:
        years = ", ".join(f"{_quote(name)}: {_quote(end)}" for name, end in draft.years)
        yield f"  years: {{{years}}}"
    yield f"  statement: {source}"
    yield "purposes:"
    if used & {"event", _CLOCK}:
        yield f"  service: {{title: Doing what was agreed, dpv: dpv:ServiceProvision, source: {source}}}"
    if "books" in used:
        yield f"  books: {{title: Keeping the books, dpv: dpv:LegalCompliance, source: {source}}}"
    yield "categories:"
    yield "  contact: {title: Names and contact details, dpv: [pd:Name, pd:EmailAddress]}"
    yield "subjects:"
    term = "dpv:Customer" if draft.subject == "customer" else "dpv:DataSubject"
    subject = f"title: {_quote(draft.subject.capitalize())}, dpv: {term}, source: {source}"
    yield f"  {_quote(draft.subject)}: {{{subject}}}"
    yield "systems:  # every system that holds the data, with its owner"
    for name, owner in draft.systems:
        yield f"  {_quote(name)}: {{title: {_quote(name)}, owner: {_quote(owner)}}}"
    if used & {_CLOCK, *_CHANGES}:
        yield "clocks:"
        key = _subject_field(draft.events)
        title = f"title: The relationship until it ends, key: [{_quote(key)}]"
        yield f"  {_CLOCK}: {{{title}, max_open: P3650D}}  # an alarm after ten years without an end"
    yield "rules:"
    yield from _rules(draft, used)
    yield "events:  # `sources`: who may publish what can forbid or cause an erasure; write your own"
    for event in draft.events:
        yield from _event(event, draft)
    yield from _included_sources(draft)


def _included_sources(draft: Draft) -> Iterator[str]:
    """Write which sources may publish the included types that can forbid or cause an erasure."""
    own = _own_sources(draft)
    described = {event.type for event in draft.events}
    for name, entry in read_part("gdpr")["events"].items():
        kind = _EVENT_TYPE.validate_python(entry)
        if needs_sources(kind) and name not in described:
            sources = f"{own}, {OWN_SOURCE}" if kind.act in CLOSING_EVENTS else own
            yield f"  {name}: {{sources: [{sources}]}}"


def _own_sources(draft: Draft) -> str:
    """Return the sources of the company's own services: those that begin with the policy's name."""
    name = re.sub(r"[^a-z0-9]+", "-", draft.name.lower()).strip("-") or "company"
    return f"/{name}/*"


def _rules(draft: Draft, used: set[Effect]) -> Iterator[str]:
    rules: tuple[tuple[Effect, str, str, str], ...] = (
        ("event", "Data of an event", "at_most", "{kind: event}"),
        (
            _CLOCK,
            "Data of a relationship, after its end",
            "at_most",
            f"{{kind: clock, clock: {_CLOCK}}}",
        ),
        ("books", "The books, after the financial year", "at_least", "{kind: book-year}"),
    )
    for effect, title, kind, anchor in rules:
        if effect in used:
            yield f"  {effect}:"
            yield f"    title: {title}"
            yield f"    kind: {kind}"
            yield f"    term: {_quote(draft.terms[effect])}"
            yield f"    anchor: {anchor}"
            yield "    term_from: derived  # stated: by the statement; statute: by a law"
            yield "    anchor_from: derived"
            yield f"    source: {_quote(draft.statement)}  # its heading, or the article of the law"
            yield "    rationale: Chosen when the policy was first written."


def _event(event: DraftEvent, draft: Draft) -> Iterator[str]:
    yield f"  {_quote(event.type)}:"
    yield "    process: To be described"
    yield "    fields:"
    for position, written in enumerate(event.fields):
        name = written.removesuffix("?")
        yield f"      {_quote(name)}: {_field(name, written != name, position, event.type)}"
    subject = event.fields[0].removesuffix("?")
    yield f"    subject: [{{kind: {_quote(draft.subject)}, field: {_quote(subject)}}}]"
    kept = [effect for effect in event.effects if effect not in _CHANGES]
    clock_key = _subject_field(draft.events)
    key = "" if subject == clock_key else f", key: {{{_quote(clock_key)}: {_quote(subject)}}}"
    if kept:
        yield "    categories: [contact]"
        yield "    holdings:"
    for effect in kept:
        yield f"      - {{{_holding(effect, draft)}{key if effect == _CLOCK else ''}}}"
    changes = [_CHANGES[effect] for effect in event.effects if effect in _CHANGES]
    if changes:
        yield "    moves:"
    for move in changes:
        yield f"      - {{clock: {_CLOCK}, move: {move}{key}}}"
    if changes:
        yield f"    sources: [{_own_sources(draft)}]"


def _holding(effect: Effect, draft: Draft) -> str:
    if effect == "books":
        return f"purpose: books, basis: legal_obligation, rule: books, systems: [{_quote(draft.books)}]"
    others = [name for name, _ in draft.systems if name != draft.books] or [draft.books]
    systems = ", ".join(map(_quote, others))
    return f"purpose: service, basis: contract, rule: {effect}, systems: [{systems}]"


def _field(name: str, optional: bool, position: int, event_type: str) -> str:
    key = _IS_KEY(name)
    settings = ["required: false"] if optional else []
    if key and position and key["stem"] in event_type.rpartition(".")[2]:
        settings += ["business_key: true", "identifies: true"]  # such as order_id of order-placed
    elif key:
        settings.append("business_key: true")
    return f"{{{', '.join(settings)}}}"


def _subject_field(events: Iterable[DraftEvent]) -> str:
    return next((event.fields[0].removesuffix("?") for event in events), "id")


def _quote(text: str) -> str:
    """Return a text as YAML: as it is where it can only be a text, else quoted."""
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", text) and text.lower() not in _NOT_TEXTS:
        return text
    return json.dumps(text, ensure_ascii=False)


_NOT_TEXTS = frozenset(("true", "false", "yes", "no", "on", "off", "null", "y", "n"))
"""Words that YAML does not read as texts."""
