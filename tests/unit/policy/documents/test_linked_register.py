"""The record as linked data: terms of the pinned vocabulary, and shapes of what GDPR 30(1) asks for."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pyshacl
import pytest
from rdflib import RDF, BNode, Graph, Literal, URIRef

from services.policy import loader
from services.policy.calendar import parse_period
from services.policy.documents.linked_register import linked_register, xsd_duration
from services.policy.dpv import dpv_terms
from services.policy.model import Policy
from tests.unit.policy.constructs import policy_with
from tests.unit.policy.small import SMALL, replaced

SHIPPED = loader.load()
HERE = Path(__file__).parent
BASE = "https://shop.example/record"
SHAPES = Graph().parse(HERE / "register_shapes.ttl")
PROPERTIES = frozenset(
    line
    for line in (HERE / "dpv-2.3-properties.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
)
ADDRESSES = {
    "https://w3id.org/dpv#": "dpv",
    "https://w3id.org/dpv/pd#": "pd",
    "https://w3id.org/dpv/ai#": "ai",
    "https://w3id.org/dpv/legal/eu/gdpr#": "eu-gdpr",
    "https://w3id.org/dpv/legal/nl#": "legal-nl",
    "https://w3id.org/dpv/rights/eu#": "eu-rights",
    "https://w3id.org/dpv/sector/finance#": "sector-finance",
    "https://w3id.org/dpv/standards/ieee/7012#": "ieee-7012",
}
"""The namespaces as the vocabulary's own files have them."""


def graph_of(policy: Policy) -> Graph:
    """The record of a policy, read by another program."""
    return Graph().parse(data=json.dumps(linked_register(policy)), format="json-ld", base=BASE)


@cache
def shipped() -> Graph:
    return graph_of(SHIPPED)


def copy_of_shipped() -> Graph:
    graph = Graph()
    for triple in shipped():
        graph.add(triple)
    return graph


def problems(graph: Graph) -> str:
    """What the shapes report; empty if the record conforms."""
    conforms, _, text = pyshacl.validate(graph, shacl_graph=SHAPES)
    return "" if conforms else str(text)


def dpv(name: str) -> URIRef:
    return URIRef(f"https://w3id.org/dpv#{name}")


def dct(name: str) -> URIRef:
    return URIRef(f"http://purl.org/dc/terms/{name}")


def node(name: str) -> URIRef:
    return URIRef(f"{BASE}#{name}")


D1 = "processing/communication/legitimate_interest/D1"


def unknown_terms(graph: Graph) -> set[str]:
    """Every DPV term of a graph that the pinned vocabulary does not have."""
    names = {str(part) for triple in graph for part in triple if isinstance(part, URIRef)}
    addresses = {name for name in names if name.startswith("https://w3id.org/dpv") and "#" in name}
    terms = set()
    for address in addresses:
        namespace, _, name = address.partition("#")
        terms.add(f"{ADDRESSES.get(f'{namespace}#', namespace)}:{name}")
    return terms - dpv_terms() - PROPERTIES


def test_the_shapes_are_shapes() -> None:
    """A mistake in a shape would make it pass everything."""
    conforms, _, text = pyshacl.validate(shipped(), shacl_graph=SHAPES, meta_shacl=True)
    assert conforms, text


@pytest.mark.parametrize("text", [None, SMALL], ids=["shipped", "small"])
def test_a_record_conforms_and_has_only_terms_of_the_pinned_vocabulary(text: str | None) -> None:
    graph = graph_of(loader.load_text(text, "small.yaml") if text else SHIPPED)
    assert (problems(graph), unknown_terms(graph)) == ("", set())


@pytest.mark.parametrize(
    ("subject", "property_"),
    [
        ("record", dct("title")),
        ("record", dct("identifier")),
        ("record", dct("conformsTo")),
        ("record", dpv("hasDataController")),
        ("record", dpv("hasPersonalDataProcess")),
        ("record", RDF.type),
        ("controller", RDF.type),
        ("controller", dpv("hasName")),
        ("controller", dpv("hasContact")),
        ("authority", dpv("hasName")),
        (D1, dpv("hasDataController")),
        (D1, dpv("hasPurpose")),
        (D1, dpv("hasLegalBasis")),
        (D1, dpv("hasDataSubject")),
        (D1, dpv("hasPersonalData")),
        (D1, dpv("hasProcessing")),
        (D1, dpv("hasStorageCondition")),
        ("purposes/communication", RDF.type),
        ("purposes/communication", dct("title")),
        ("bases/contract", RDF.type),
        ("subjects/visitor", RDF.type),
        ("categories/contact", RDF.type),
        ("systems/mail", RDF.type),
        ("systems/mail", dpv("hasName")),
        ("systems/psp", RDF.type),
        ("systems/psp", dpv("hasName")),
        ("systems/crm", RDF.type),
        ("systems/whatsapp", dpv("hasOrganisationalMeasure")),
        ("safeguards/whatsapp", RDF.type),
        ("safeguards/whatsapp", dct("title")),
        ("rules/D1", RDF.type),
        ("rules/D1", dct("description")),
        ("rules/D1", dct("source")),
        ("rules/D1", dct("provenance")),
        ("rules/D1", dpv("hasDuration")),
    ],
)
def test_a_record_without_one_of_the_things_is_refused(subject: str, property_: URIRef) -> None:
    """Each is there to begin with, so that its absence is what the shapes report."""
    graph = copy_of_shipped()
    assert (node(subject), property_, None) in graph
    graph.remove((node(subject), property_, None))
    assert problems(graph)


@pytest.mark.parametrize("length", [Literal("P6M"), Literal("half a year"), None])
def test_a_term_that_a_machine_cannot_read_is_refused(length: Literal | None) -> None:
    """A text is no `xsd:duration`, even if it looks like one."""
    graph = copy_of_shipped()
    [until] = graph.objects(node("rules/D1"), dpv("hasDuration"))
    [lasting] = graph.objects(until, dpv("hasDuration"))
    graph.remove((lasting, RDF.value, None))
    if length is not None:
        graph.add((lasting, RDF.value, length))
    assert "value" in problems(graph)


def test_a_record_of_two_controllers_is_refused() -> None:
    """Joint controllers (GDPR 26) are not something that a policy can state."""
    graph = copy_of_shipped()
    other = BNode()
    graph.add((other, RDF.type, dpv("DataController")))
    graph.add((node("record"), dpv("hasDataController"), other))
    assert "hasDataController" in problems(graph)


def test_a_processing_has_what_the_policy_states() -> None:
    """The messages of visitors, written out by hand."""
    nodes = {part["@id"]: part for part in linked_register(SHIPPED)["@graph"]}
    assert nodes[f"#{D1}"] == {
        "@id": f"#{D1}",
        "@type": "dpv:PersonalDataProcess",
        "dpv:hasDataController": {"@id": "#controller"},
        "dpv:hasPurpose": {"@id": "#purposes/communication"},
        "dpv:hasLegalBasis": {"@id": "#bases/legitimate_interest"},
        "dpv:hasDataSubject": [{"@id": "#subjects/visitor"}],
        "dpv:hasPersonalData": [
            {"@id": "#categories/contact"},
            {"@id": "#categories/correspondence"},
        ],
        "dpv:hasProcessing": [{"@id": "dpv:Store"}, {"@id": "dpv:Erase"}],
        "dpv:hasStorageCondition": {"@id": "#rules/D1"},
        "dpv:isImplementedUsingTechnology": [{"@id": "#systems/helpdesk"}],
        "dpv:hasDataProcessor": [
            {"@id": "#systems/website"},
            {"@id": "#systems/mail"},
            {"@id": "#systems/whatsapp"},
        ],
        "dpv:hasOrganisationalMeasure": [{"@id": "#safeguards/whatsapp"}],
        "dct:description": "an event can name further systems that get the data",
    }
    assert nodes["#rules/D1"]["dpv:hasDuration"] == [
        {
            "@type": "dpv:UntilEventDuration",
            "dct:description": "6 months after the end of “A message until it is resolved”",
            "dpv:hasDuration": {
                "@type": "dpv:TemporalDuration",
                "rdf:value": {"@type": "xsd:duration", "@value": "P6M"},
            },
        }
    ]


def test_each_kind_of_term_conforms() -> None:
    """What is never erased, two ends, terms by outcome, a date, a year's end, a minimum, a name in use."""
    policy = policy_with(
        {
            "deeds": "kind: at_least, term: never",
            "two": "kind: at_least, ends: last, of: [{term: P2W, anchor: {kind: event}},"
            " {term: P1Y, anchor: {kind: clock, clock: stay, end_of: quarter}}]",
            "offer/1": "kind: at_least, term: P0D, terms: {taken: P6Y},"
            " anchor: {kind: clock, clock: stay}",
            "kept": "kind: at_most, term: P7Y, minimum: P5Y, anchor: {kind: field, field: day}",
        },
        fields="      day: {type: date}\n",
        more=(
            "  club.taken:\n    process: q\n    fields: {stay_id: {}}\n"
            "    moves: [{clock: stay, move: end, outcome: taken}]\n"
        ),
    )
    graph = graph_of(policy)
    assert (problems(graph), unknown_terms(graph)) == ("", set())
    nodes = {part["@id"]: part for part in linked_register(policy)["@graph"]}
    assert nodes["#rules/deeds"]["@type"] == ["dpv:StorageDuration"]
    assert nodes["#rules/deeds"]["dpv:hasDuration"] == [{"@id": "dpv:EndlessDuration"}]
    assert [part["dct:description"] for part in nodes["#rules/two"]["dpv:hasDuration"]] == [
        "2 weeks after the data arose",
        "1 year after the end of the quarter that contains the end of “Stay”",
    ]
    assert [part["dct:description"] for part in nodes["#rules/offer%2F1"]["dpv:hasDuration"]] == [
        "until the end of “Stay”",
        "6 years after the end of “Stay” (outcome taken)",
    ]
    assert [part["dct:description"] for part in nodes["#rules/kept"]["dpv:hasDuration"]] == [
        "7 years after the date in day",
        "5 years after the date in day (at least)",
    ]


def test_each_vocabulary_has_its_own_address() -> None:
    """Terms of extensions end up where DPV publishes them."""
    text = replaced(
        SMALL, "Care, dpv: dpv:ServiceProvision", "Care, dpv: sector-finance:CreditChecking"
    )
    extensions = "[ai:AISystem, eu-rights:A8-ProtectionOfPersonalData, ieee-7012:Agreement]"
    text = replaced(text, "dpv: [pd:Name]", f"dpv: {extensions}")
    policy = loader.load_text(text, "small.yaml")
    assert unknown_terms(graph_of(policy)) == set()


@pytest.mark.parametrize(
    ("period", "duration"),
    [
        ("P2Y", "P2Y"),
        ("P18M", "P1Y6M"),
        ("P2W", "P14D"),
        ("PT24H", "PT24H"),
        ("P1DT90M", "P1DT1H30M"),
        ("PT5S", "PT5S"),
        ("P0D", "P0D"),
    ],
)
def test_a_period_is_written_as_an_xsd_duration(period: str, duration: str) -> None:
    """XML Schema has no weeks."""
    assert xsd_duration(parse_period(period)) == duration
