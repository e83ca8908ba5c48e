"""Schemas as their files have them, and values that fit them: made from the JSON, not by the codec."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from schemas.topics import BUSINESS_TYPES, Topic, business_topic

ROOT = Path(__file__).parents[3] / "schemas"
FILES = sorted(ROOT.glob("*/*.avsc"))
MINIMAL: Mapping[str, Mapping[str, Any]] = {
    "acquisition.lead-acquired": {"prospect_id": "P1", "source": "trade fair"},
    "acquisition.lead-contacted": {"prospect_id": "P1"},
    "acquisition.prospect-informed": {"prospect_id": "P1"},
    "administration.request-handled": {"request_id": "V1", "customer_id": "C1"},
    "administration.request-received": {"request_id": "V1", "customer_id": "C1"},
    "billing.invoice-issued": {"invoice_id": "F1", "customer_id": "C1"},
    "billing.purchase-invoice-received": {
        "invoice_id": "F1",
        "supplier_id": "L1",
        "contact_id": "A",
    },
    "contact.message-received": {"message_id": "M1", "visitor_id": "W1"},
    "contact.message-resolved": {"message_id": "M1", "customer_id": "C1"},
    "credit.check-performed": {"check_id": "K1", "supplier_id": "L1", "contact_id": "A"},
    "customers.customer-details-changed": {"customer_id": "C1"},
    "customers.customer-reinstated": {"customer_id": "C1"},
    "customers.customer-signed-up": {"customer_id": "C1"},
    "customers.customer-terminated": {"customer_id": "C1"},
    "helpdesk.ticket-opened": {"ticket_id": "T1", "customer_id": "C1", "consumer_ids": []},
    "helpdesk.ticket-resolved": {"ticket_id": "T1", "customer_id": "C1"},
    "orders.order-placed": {
        "order_id": "O1",
        "customer_id": "C1",
        "consumer_id": "K1",
        "amount": "12.50",
        "payment": {"method": "ideal"},
    },
    "privacy.complaint-answered": {"subject": "customer:C1", "complaint_id": "X1"},
    "privacy.complaint-received": {"subject": "customer:C1", "complaint_id": "X1"},
    "privacy.consent-given": {"subject": "visitor:W1", "purpose": "market_research"},
    "privacy.consent-withdrawn": {"subject": "visitor:W1", "purpose": "market_research"},
    "privacy.hold-placed": {"subject": "customer:C1", "hold_id": "H1", "ground": "legal_claim"},
    "privacy.hold-released": {"subject": "customer:C1", "hold_id": "H1"},
    "privacy.identity-verified": {"subject": "customer:C1", "request_id": "Q1"},
    "privacy.objection-decided": {
        "subject": "visitor:W1",
        "purpose": "communication",
        "outcome": "upheld",
    },
    "privacy.objection-raised": {"subject": "visitor:W1", "purpose": "communication"},
    "privacy.request-answered": {"subject": "customer:C1", "request_id": "Q1"},
    "privacy.request-extended": {"subject": "customer:C1", "request_id": "Q1"},
    "privacy.request-received": {
        "subject": "customer:C1",
        "request_id": "Q1",
        "right": "access",
    },
    "privacy.request-refused": {"subject": "customer:C1", "request_id": "Q1"},
    "privacy.restriction-lifted": {"subject": "customer:C1"},
    "purchases.purchase-made": {"purchase_id": "P1", "customer_id": "C1"},
    "recruitment.application-closed": {"application_id": "A1", "applicant_id": "S1"},
    "recruitment.application-received": {
        "application_id": "A1",
        "applicant_id": "S1",
        "keep_consent": False,
    },
    "research.survey-answered": {"survey_id": "Q1", "visitor_id": "W1"},
    "research.survey-invited": {"survey_id": "Q1", "customer_id": "C1"},
    "suppliers.contact-person-changed": {
        "supplier_id": "L1",
        "former_contact_id": "A",
        "contact_id": "B",
    },
    "suppliers.supplier-ended": {"supplier_id": "L1"},
    "suppliers.supplier-engaged": {"supplier_id": "L1", "contact_id": "A"},
    "website.feedback-given": {"feedback_id": "W1", "visitor_id": "V1"},
}
"""The deciding fields alone, by event type: what the catalogue lets an event be published with."""


def definition(file: Path) -> Any:
    """Return the content of a schema file."""
    return json.loads(file.read_text(encoding="utf-8"))


def name_of(file: Path) -> str:
    """The schema that a file is a version of."""
    return file.name.removesuffix(".avsc").rpartition(".")[0]


def version_of(file: Path) -> int:
    """The version that a file is."""
    return int(file.name.removesuffix(".avsc").rpartition(".")[2])


def newest_files() -> list[Path]:
    """The file of each schema's newest version."""
    newest = {name_of(file): file for file in sorted(FILES, key=version_of)}
    return sorted(newest.values())


def topic_of(name: str) -> Topic:
    """A topic whose values have a schema."""
    if name in BUSINESS_TYPES:
        return business_topic(name)
    return Topic(name=f"{name}.v1", schema=name, key="any", partitions=1, retention_ms=None)


INSTANTS = st.datetimes(
    min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.just(UTC)
)
_TEXT = st.text(max_size=8)
_SIMPLE: Mapping[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "bytes": st.binary(max_size=8),
    "string": _TEXT,
}


def values(schema: Any, named: dict[str, Any] | None = None) -> st.SearchStrategy[Any]:
    """Return values that fit a shipped kind of schema, with every field present."""
    named = {} if named is None else named
    strategy: st.SearchStrategy[Any]
    match schema:
        case list():
            strategy = st.one_of(*(values(branch, named) for branch in schema))
        case str():
            strategy = _SIMPLE[schema] if schema in _SIMPLE else values(named[schema], named)
        case {"logicalType": "date"}:
            strategy = st.dates(min_value=date(1, 1, 1))
        case {"logicalType": "timestamp-micros"}:
            strategy = INSTANTS
        case {"type": "array", "items": items}:
            strategy = st.lists(values(items, named), max_size=2)
        case {"type": "map", "values": inner}:
            strategy = st.dictionaries(_TEXT, values(inner, named), max_size=2)
        case {"type": "enum", "symbols": symbols}:
            strategy = st.sampled_from(symbols)
        case {"type": "record", "name": name, "fields": fields}:
            named[name] = schema
            strategy = st.fixed_dictionaries({f["name"]: values(f["type"], named) for f in fields})
        case _:
            raise AssertionError(f"no strategy for {schema}")
    return strategy


def physical(value: Any) -> Any:
    """A value without logical types, as an Avro that knows none sees it: days and microseconds."""
    match value:
        case dict():
            return {key: physical(inner) for key, inner in value.items()}
        case list():
            return [physical(inner) for inner in value]
        case datetime():
            return (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        case date():
            return (value - date(1970, 1, 1)).days
    return value
