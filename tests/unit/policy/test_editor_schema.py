"""The JSON Schema of a policy file: it describes every key, and checks what an editor can check."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from services.policy import editor_schema
from services.policy.calendar import parse_period
from tests.unit.policy.test_shipped_policy import TEXT

SCHEMA = editor_schema.policy_schema()
FREE_TEXT = {
    "Controller": {"name", "contact", "statement", "authority", "authority_contact"},
    "Policy": {"policy", "version", "responsible"},
    "Purpose": {"title", "source"},
    "LegalBasis": {"title", "article"},
    "Category": {"title"},
    "SubjectKind": {"title", "source"},
    "System": {"title", "owner", "safeguard"},
    "Rule": {"title", "source", "rationale", "extends"},
    "Notice": {"system"},
    "Clock": {"title", "key", "parent"},
    "Anchor": {"clock", "end_of", "field"},
    "Proof": {"source", "rationale"},
    "EventType": {"process", "categories"},
    "Field": {"default", "one_of"},
    "SubjectField": {"field", "kind"},
    "ConsentFallback": {"basis", "rule"},
    "HoldingRule": {
        *("purpose", "basis", "rule", "systems", "for_kinds", "systems_from"),
        "survives_withdrawal",
    },
    "MoveRule": {"clock", "at", "outcome"},
}
"""The texts of which no pattern can be given: titles, headings, and names that the file defines."""


def every_key() -> Iterator[Any]:
    """Return each key of a policy file, with the part that it belongs to and its schema."""
    models = [pair for pair in editor_schema.models(SCHEMA) if not pair[0].endswith("Change")]
    for model, part in models:
        for key, schema in part["properties"].items():
            yield pytest.param(model, key, schema, id=f"{model}.{key}")


@pytest.mark.parametrize(("model", "key", "schema"), list(every_key()))
def test_each_key_has_a_title_and_a_description(
    model: str, key: str, schema: dict[str, Any]
) -> None:
    """An editor shows both; the description is a sentence."""
    assert schema["title"]
    assert schema["description"].rstrip().endswith("."), (model, key)


@pytest.mark.parametrize(("model", "key", "schema"), list(every_key()))
def test_each_text_has_a_pattern_or_is_free(model: str, key: str, schema: dict[str, Any]) -> None:
    """So that an editor marks a term of `2 years` where it is written."""
    texts = [part for part in _branches(schema) if part.get("type") == "string"]
    checked = all({"pattern", "enum", "const", "format"} & set(text) for text in texts)
    assert checked != (key in FREE_TEXT.get(model, ()))


def _branches(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for branch in schema.get("anyOf", ()):
        yield from _branches(branch)
    if isinstance(schema.get("items"), dict):
        yield from _branches(schema["items"])


@pytest.mark.parametrize(
    ("model", "key", "schema"),
    [
        pytest.param(model, key, schema, id=f"{model}.{key}")
        for model, part in editor_schema.models(editor_schema.cases_schema())
        for key, schema in part["properties"].items()
    ],
)
def test_each_key_of_a_case_has_a_title_and_a_description(
    model: str, key: str, schema: dict[str, Any]
) -> None:
    """As those of a policy."""
    assert schema["title"]
    assert schema["description"].endswith("."), (model, key)


@settings(deadline=None)  # the whole policy is checked each time
@given(st.from_regex(r"P([0-9]{0,3}[YMWDT]|[0-9]{1,3}[HMS]){0,5}", fullmatch=True))
def test_a_term_fits_the_schema_exactly_where_lint_reads_it(text: str) -> None:
    """Apart from terms beyond 200 years, which no pattern can count."""
    problems = errors_of(("rules", "R1", "term"), text)
    try:
        parse_period(text)
        is_period = True
    except ValueError as cause:
        is_period = "longer than" in str(cause)
    assert (problems == []) == is_period


@settings(deadline=None)  # the whole policy is checked each time
@given(st.from_regex(r"P(0[YMWD]|[0-9][D]){0,2}(T[0-9]{1,2}[HMS])?", fullmatch=True))
def test_an_exact_period_that_lint_accepts_fits_the_schema(text: str) -> None:
    """P0D is exact, P1D is not: a day can have 23 hours."""
    problems = errors_of(("systems", "crm", "lead_time"), text)
    try:
        is_exact = parse_period(text).is_exact
    except ValueError:
        is_exact = False
    assert not (is_exact and problems)


def test_the_json_schema_is_valid_and_accepts_the_shipped_policy() -> None:
    """Editors check a policy with it."""
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert _schema_errors(yaml.safe_load(TEXT)) == []


@pytest.mark.parametrize(
    ("path", "value", "at"),
    [
        (("rules", "R1", "kind"), "about", "rules/R1/kind"),
        (("rules", "R1", "tern"), "P2Y", "rules/R1"),
        (("rules", "R1", "anchor", "kind"), "whim", "rules/R1/anchor"),
        (("systems", "crm", "role"), "friend", "systems/crm/role"),
        (("systems", "crm", "owner"), None, "systems/crm/owner"),
        (("purposes", "acquisition", "objection"), "ignore", "purposes/acquisition/objection"),
        (("dpv",), "https://w3id.org/dpv/1.0", "dpv"),
        (("surprise",), 1, ""),
        (("rules", "R1", "term"), "2 years", "rules/R1/term"),
        (("systems", "crm", "lead_time"), "P1D", "systems/crm/lead_time"),
        (("clocks", "ticket", "max_open"), "P6M", "clocks/ticket/max_open"),
        (("controller", "book_year_end"), "31-12", "controller/book_year_end"),
        (("controller", "time_zone"), "Amsterdam, NL", "controller/time_zone"),
        (("purposes", "acquisition", "dpv"), "marketing", "purposes/acquisition/dpv"),
        (("categories", "contact", "dpv"), ["Name"], "categories/contact/dpv/0"),
        (("systems", "CRM"), {"title": "x", "owner": "y"}, "systems"),
        (("subjects", "a:b"), {"title": "x", "dpv": "dpv:A", "source": "y"}, "subjects"),
    ],
)
def test_the_json_schema_refuses_a_broken_file(
    path: tuple[str, ...], value: object, at: str
) -> None:
    """A wrong word, an unknown key and a wrong type are each reported in their place."""
    assert errors_of(path, value) == [at]


def test_the_json_schema_knows_what_is_included_and_may_be_changed_in_part() -> None:
    """The title of a basis, without its other keys; only the file as a whole names a basis."""
    document = json.loads(_SHIPPED)
    document["bases"] = {"consent": {"title": "Consent of the customer"}}
    document["events"]["privacy.complaint-received"] = {"holdings": []}
    assert _schema_errors(document) == []
    assert errors_of(("bases",), {"unknown": {"title": "A"}}) == ["bases/unknown"] * 3


def test_without_an_include_bases_and_clocks_are_required() -> None:
    """The shipped policy has clocks, but no legal bases of its own."""
    document = json.loads(_SHIPPED)
    del document["include"]
    assert "" in _schema_errors(document)


def errors_of(path: tuple[str, ...], value: object) -> list[str]:
    """Return where the shipped policy does not fit once the value at a path is another."""
    document = json.loads(_SHIPPED)
    place = document
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return _schema_errors(document)


@pytest.mark.parametrize("key", ["policy", "controller", "events", "rules"])
def test_the_json_schema_requires_every_part_of_a_policy(key: str) -> None:
    """Every part of a policy is required."""
    document = yaml.safe_load(TEXT)
    del document[key]
    assert _schema_errors(document) == [""]


_SHIPPED = json.dumps(yaml.safe_load(TEXT))
_VALIDATOR = Draft202012Validator(SCHEMA)


def _schema_errors(document: Any) -> list[str]:
    return sorted(
        "/".join(map(str, error.absolute_path)) for error in _VALIDATOR.iter_errors(document)
    )
