"""The JSON Schemas: valid themselves, as the code has them, and never stricter than what they describe."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from services.app import json_schemas

ROOT = Path(__file__).parents[3]
SCHEMAS = {
    path.name.partition(".")[0]: json.loads(text) for path, text in json_schemas.files().items()
}
POLICIES = [
    ROOT / "services" / "policy" / "optimum_pos.yaml",
    ROOT / "tests" / "chaos" / "erasures" / "shop.yaml",
]
AGENTS = sorted(ROOT.glob("services/agent/examples/*/agent.yaml")) + sorted(
    ROOT.glob("deploy/samples/*/agent.yaml")
)
SETTINGS = """
[kafka]
bootstrap_servers = "broker:9092"
[storage]
schemas = ["/etc/termijn/schemas"]
[deleting]
idle_seconds = 0
claim_records = 1
[operating]
metrics_port = 65535
"""


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_generated_schema_is_a_json_schema(name: str) -> None:
    """jsonschema checks it by the metaschema of draft 2020-12."""
    Draft202012Validator.check_schema(SCHEMAS[name])


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.name)
def test_policies_that_are_in_use_are_valid(path: Path) -> None:
    assert find_errors("policy", yaml.safe_load(path.read_text("utf-8"))) == []


def test_the_cases_that_ship_are_valid() -> None:
    path = ROOT / "services" / "policy" / "optimum_pos.cases.yaml"
    assert find_errors("cases", yaml.safe_load(path.read_text("utf-8"))) == []


@pytest.mark.parametrize("path", AGENTS, ids=lambda path: path.parent.name)
def test_the_examples_of_agents_are_valid(path: Path) -> None:
    assert find_errors("agent", yaml.safe_load(path.read_text("utf-8"))) == []


def test_each_adapter_and_language_has_an_example_agent() -> None:
    """One an adapter, and one a language."""
    assert len(AGENTS) >= 5


def test_settings_at_their_bounds_are_valid() -> None:
    assert find_errors("settings", tomllib.loads(SETTINGS)) == []


@pytest.mark.parametrize(
    ("name", "document", "where"),
    [
        ("settings", {"kafka": {"bootstrap": "x"}}, "$.kafka"),
        ("settings", {"deleting": {"claim_records": 0}}, "$.deleting.claim_records"),
        ("settings", {"deleting": {"retry_seconds": 0}}, "$.deleting.retry_seconds"),
        ("settings", {"operating": {"metrics_port": 65536}}, "$.operating.metrics_port"),
        ("policy", {"policy": 7}, "$.policy"),
        ("cases", {"cases": [{"case": "a", "events": [], "until": "soon"}]}, "$.cases[0].until"),
        ("agent", {"systm": "crm"}, "$"),
    ],
)
def test_the_schemas_refuse_what_the_code_refuses(
    name: str, document: dict[str, Any], where: str
) -> None:
    """An unknown key, a value beyond its bounds, a value of another kind."""
    assert where in find_errors(name, document)


def find_errors(name: str, document: Any) -> list[str]:
    """Return where a document is not valid; times, which YAML 1.1 parses, are as in JSON."""
    plain = json.loads(json.dumps(document, default=str))
    return [error.json_path for error in Draft202012Validator(SCHEMAS[name]).iter_errors(plain)]
