"""The record of processing activities (GDPR 30(1)) as linked data: JSON-LD in the terms of DPV 2.3.

Each entry of the policy is a node with the DPV terms that the policy gives it as its types. The names of
nodes are relative (`#purposes/lending`): they belong to the address at which the record is published.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote

from services.policy.calendar import Period
from services.policy.documents.processing import Processing, list_processing
from services.policy.documents.register import (
    OUTSIDE_POLICY,
    REGISTER_TITLE,
    RegisterRow,
    register_rows,
)
from services.policy.model import Policy, System
from services.policy.rule import NEVER, Part, Rule
from services.policy.term_wording import (
    ends_at_once,
    period_in_words,
    start_in_words,
    term_in_words,
)

Node = dict[str, Any]
"""A node object of JSON-LD."""

_ROOT: Final = "https://w3id.org/dpv"
_OTHER_PATHS: Final = {"eu-rights": "rights/eu", "ieee-7012": "standards/ieee/7012"}
_BESIDE_DPV: Final = {
    "dct": "http://purl.org/dc/terms/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
_RECIPIENTS: Final = {
    "processor": ("dpv:hasDataProcessor", "dpv:DataProcessor"),
    "controller": ("dpv:hasRecipientDataController", "dpv:DataController"),
}
"""The property and the type of a recipient, by its role."""
_LANGUAGE: Final = "en"


def linked_register(policy: Policy, confirmed: Mapping[str, bool] | None = None) -> Node:
    """Return the record of processing as one JSON-LD document.

    `confirmed` has, by rule, whether its derived term is confirmed; without it nothing is stated of that.
    """
    processing = list_processing(policy)
    rows = register_rows(policy, confirmed)
    graph = [
        _record(policy, processing),
        *_parties(policy),
        *(_process(policy, *pair) for pair in zip(processing, rows, strict=True)),
        *_named_parts(policy, processing),
        *(_storage(policy, name, rows) for name in _unique(item.rule for item in processing)),
    ]
    return {"@context": _context(graph), "@graph": graph}


def _context(graph: Iterable[Node]) -> dict[str, str]:
    """Return the address of each vocabulary that the nodes use."""
    prefixes = {
        type_.partition(":")[0]
        for node in graph
        for type_ in ([node["@type"]] if isinstance(node["@type"], str) else node["@type"])
    }
    return {prefix: _address(prefix) for prefix in sorted(prefixes)} | _BESIDE_DPV


def _address(prefix: str) -> str:
    """Return the address of one of DPV's vocabularies."""
    if prefix == "dpv":
        return f"{_ROOT}#"
    if prefix in _OTHER_PATHS:
        return f"{_ROOT}/{_OTHER_PATHS[prefix]}#"
    family, dash, rest = prefix.partition("-")
    if not dash:
        return f"{_ROOT}/{prefix}#"
    path = f"{family}/{rest}" if family in ("sector", "legal") else f"legal/{family}/{rest}"
    return f"{_ROOT}/{path}#"


def _record(policy: Policy, processing: Iterable[Processing]) -> Node:
    return {
        "@id": "#record",
        "@type": "dpv:ROPA",
        "dct:title": REGISTER_TITLE,
        "dct:identifier": f"{policy.policy} {policy.version}",
        "dct:source": policy.controller.statement,
        "dct:conformsTo": {"@id": policy.dpv},
        "dct:description": OUTSIDE_POLICY,
        "dpv:hasDataController": {"@id": "#controller"},
        "dpv:hasPersonalDataProcess": [{"@id": _process_id(item)} for item in processing],
    }


def _parties(policy: Policy) -> Iterator[Node]:
    controller = policy.controller
    node: Node = {
        "@id": "#controller",
        "@type": "dpv:DataController",
        "dpv:hasName": controller.name,
        "dpv:hasContact": controller.contact,
    }
    if controller.authority:
        yield node | {"dpv:hasAuthority": {"@id": "#authority"}}
        contact = {"dpv:hasContact": controller.authority_contact}
        yield {
            "@id": "#authority",
            "@type": "dpv:DataProtectionAuthority",
            "dpv:hasName": controller.authority,
            **(contact if controller.authority_contact else {}),
        }
    else:
        yield node


def _process(policy: Policy, item: Processing, row: RegisterRow) -> Node:
    rule = policy.rules[item.rule]
    node: Node = {
        "@id": _process_id(item),
        "@type": "dpv:PersonalDataProcess",
        "dpv:hasDataController": {"@id": "#controller"},
        "dpv:hasPurpose": _link("purposes", item.purpose),
        "dpv:hasLegalBasis": _link("bases", item.basis),
        "dpv:hasDataSubject": [_link("subjects", name) for name in item.subjects],
        "dpv:hasPersonalData": [_link("categories", name) for name in item.categories],
        "dpv:hasProcessing": [{"@id": term} for term in _operations(rule)],
        "dpv:hasStorageCondition": _link("rules", item.rule),
    }
    systems = {name: policy.systems[name] for name in item.systems}
    for name, system in systems.items():
        linking, _ = _RECIPIENTS.get(system.role, ("dpv:isImplementedUsingTechnology", ""))
        node.setdefault(linking, []).append(_link("systems", name))
    if outside := [name for name, system in systems.items() if system.outside_eea]:
        node["dpv:hasOrganisationalMeasure"] = [_link("safeguards", name) for name in outside]
    if row.remarks:
        node["dct:description"] = "; ".join(row.remarks)
    return node


def _operations(rule: Rule) -> Iterator[str]:
    yield "dpv:Store"
    if not rule.is_never_erased:
        yield "dpv:Erase"
    if rule.pseudonymise:
        yield "dpv:Pseudonymise"


def _named_parts(policy: Policy, processing: Iterable[Processing]) -> Iterator[Node]:
    """Return the purposes, legal bases, kinds of people and data, and systems that are named."""
    items = list(processing)
    for name in _unique(item.purpose for item in items):
        purpose = policy.purposes[name]
        node = _titled("purposes", name, purpose.title, "dpv:Purpose", purpose.dpv)
        yield node | {"dct:source": purpose.source}
    for name in _unique(item.basis for item in items):
        basis = policy.bases[name]
        node = _titled("bases", name, basis.title, "dpv:LegalBasis", basis.dpv)
        yield node | {"dct:source": basis.article}
    for name in _unique(name for item in items for name in item.subjects):
        kind = policy.subjects[name]
        node = _titled("subjects", name, kind.title, "dpv:DataSubject", kind.dpv)
        yield node | {"dct:source": kind.source}
    for name in _unique(name for item in items for name in item.categories):
        category = policy.categories[name]
        yield _titled("categories", name, category.title, "dpv:PersonalData", *category.dpv)
    for name in _unique(name for item in items for name in item.systems):
        yield from _system(name, policy.systems[name])


def _system(name: str, system: System) -> Iterator[Node]:
    """Return a system, as a recipient or as technology of the controller's own, and its safeguard."""
    _, type_ = _RECIPIENTS.get(system.role, ("", "dpv:Technology"))
    node = _titled("systems", name, system.title, type_)
    if system.role == "own":
        node["dpv:hasResponsibleEntity"] = {"@type": "dpv:Entity", "dpv:hasName": system.owner}
    else:
        node["dpv:hasName"] = system.owner
    if not system.outside_eea:
        yield node
        return
    country = "outside the European Economic Area; the policy does not name the country"
    place = {"@type": "dpv:ThirdCountry", "dct:description": country}
    yield node | {
        "dpv:hasThirdCountry": place,
        "dpv:hasOrganisationalMeasure": _link("safeguards", name),
    }
    yield _titled("safeguards", name, system.safeguard or "", "dpv:SafeguardForDataTransfer")


def _storage(policy: Policy, name: str, rows: Iterable[RegisterRow]) -> Node:
    rule = policy.rules[name]
    types = ["dpv:StorageDuration", *([] if rule.is_never_erased else ["dpv:StorageDeletion"])]
    provenance = next(row.provenance for row in rows if row.rule == name)
    durations = [
        duration for part in rule.parts for duration in _durations(policy, part, rule.minimum)
    ]
    if rule.lasts_until_withdrawal:
        until = term_in_words(policy, name, _LANGUAGE)
        durations = [{"@type": "dpv:UntilEventDuration", "dct:description": until}]
    return _titled("rules", name, rule.title, *types) | {
        "dct:description": term_in_words(policy, name, _LANGUAGE),
        "dct:source": rule.source,
        "dct:provenance": {"@type": "dct:ProvenanceStatement", "dct:description": provenance},
        "dpv:hasDuration": durations,
    }


def _durations(policy: Policy, part: Part, minimum: str | None) -> Iterator[Node]:
    """Return the term of one end of a rule, and its terms by outcome; also the minimum beside it."""
    start = start_in_words(policy, part, _LANGUAGE)
    terms = [(part.term, ""), *((term, f"outcome {name}") for name, term in part.terms.items())]
    if minimum:
        terms.append((minimum, "at least"))
    for term, about in terms:
        yield _duration(part, term, start, about)


def _duration(part: Part, term: str, start: str, about: str) -> Node:
    if term == NEVER:
        return {"@id": "dpv:EndlessDuration"}
    period = Part(term=term, anchor=part.anchor).periods[0]
    length: Node = {
        "@type": "dpv:TemporalDuration",
        "rdf:value": {"@type": "xsd:duration", "@value": xsd_duration(period)},
    }
    words = period_in_words(term, _LANGUAGE)
    after = (
        f"{words} after {start}" if words else "at once" if ends_at_once(part) else f"until {start}"
    )
    description = {"dct:description": f"{after} ({about})" if about else after}
    if part.anchor.kind == "event" and part.anchor.waits_for is None:
        return length | description
    node: Node = {"@type": "dpv:UntilEventDuration", **description}
    return node if period.is_zero else node | {"dpv:hasDuration": length}


def xsd_duration(period: Period) -> str:
    """Return a period as an `xsd:duration`, which has no weeks, such as P1Y6M or P0D."""
    years, months = divmod(period.months, 12)
    hours, seconds = divmod(period.exact // timedelta(seconds=1), 3600)
    minutes, seconds = divmod(seconds, 60)
    date = _written((years, "Y"), (months, "M"), (period.days, "D"))
    time = _written((hours, "H"), (minutes, "M"), (seconds, "S"))
    return f"P{date or ('' if time else '0D')}{'T' if time else ''}{time}"


def _written(*parts: tuple[int, str]) -> str:
    return "".join(f"{count}{unit}" for count, unit in parts if count)


def _titled(section: str, name: str, title: str, *types: str) -> Node:
    return {"@id": _id(section, name), "@type": list(types), "dct:title": title}


def _link(section: str, name: str) -> Node:
    return {"@id": _id(section, name)}


def _process_id(item: Processing) -> str:
    return _id("processing", item.purpose, item.basis, item.rule)


def _id(*parts: str) -> str:
    return "#" + "/".join(quote(part, safe="") for part in parts)


def _unique(names: Iterable[str]) -> Iterable[str]:
    return dict.fromkeys(names)
