"""The page "The policy language": its example has every key, and its recipes do what they promise."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from services.app.cli.main import termijn
from services.policy import loader
from services.policy.editor_schema import policy_schema
from tests.docs.test_readme import PAGES, ROOT, blocks, section

PAGE = PAGES[ROOT / "services" / "policy" / "README.md"]
EXAMPLE = "".join(blocks(section("Every key"), "yaml"))
SCHEMA = policy_schema()
BASE, *RECIPES = blocks(section("Recipes"), "yaml")
TITLES = [line.removeprefix("### ") for line in section("Recipes").splitlines() if "### " in line]


def test_the_parts_of_the_example_are_a_valid_policy() -> None:
    """In the order of the page, as one file."""
    assert loader.load_text(EXAMPLE, "library.yaml").policy == "library"


def test_the_example_has_every_key_of_the_language() -> None:
    """A key that is added gets its place in the example on the page."""
    known = {
        (name, key)
        for name, model in [("Policy", SCHEMA), *SCHEMA["$defs"].items()]
        if not name.endswith("Change")
        for key in model["properties"]
    }
    assert sorted(known - set(_keys_in(yaml.safe_load(EXAMPLE), "Policy", SCHEMA))) == []


def _keys_in(value: Any, name: str, model: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Return each key that a part of a policy has, with the name of its part."""
    for key, inner in value.items():
        yield name.removesuffix("Change"), key
        yield from _keys_below(inner, model["properties"][key])


def _keys_below(value: Any, part: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for branch in (part, *part.get("anyOf", ())):
        if "$ref" in branch and isinstance(value, dict):
            name = branch["$ref"].rpartition("/")[2]
            yield from _keys_in(value, name, SCHEMA["$defs"][name])
        if isinstance(branch.get("items"), dict) and isinstance(value, list):
            for item in value:
                yield from _keys_below(item, branch["items"])
        if isinstance(branch.get("additionalProperties"), dict) and isinstance(value, dict):
            own = branch.get("properties", {})
            for key, item in value.items():
                yield from _keys_below(item, own.get(key, branch["additionalProperties"]))


@pytest.mark.parametrize("recipe", RECIPES, ids=TITLES)
def test_a_recipe_does_what_it_promises(recipe: str, tmp_path: Path) -> None:
    """Added to the policy above the recipes, it passes the cases below its line."""
    policy, cases = recipe.split("---\n")
    document = {**yaml.safe_load(BASE), **yaml.safe_load(policy)}
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
    (tmp_path / "cases.yaml").write_text(f"policy: policy.yaml\ncases:\n{cases}", "utf-8")
    result = CliRunner().invoke(termijn, ["policy", "test", str(tmp_path / "cases.yaml")])
    passed = result.stdout.count("as expected: ")
    assert (result.exit_code, passed) == (0, cases.count("- case: ")), result.stdout
    assert passed


def test_the_page_has_the_sources_that_a_new_policy_has(tmp_path: Path) -> None:
    """Of the included types, with the name of the policy."""
    file = tmp_path / "shop.yaml"
    command = ["policy", "new", str(file), "--controller", "Shop", "--contact", "a@shop.example"]
    assert CliRunner().invoke(termijn, command).exit_code == 0
    events = yaml.safe_load(file.read_text("utf-8"))["events"]
    included = {name: event for name, event in events.items() if name.startswith("privacy.")}
    assert yaml.safe_load(blocks(section("The policy file"), "yaml")[0])["events"] == included


def test_every_recipe_answers_a_question() -> None:
    """In the table above the keys, by its title."""
    asked = re.findall(r"\[([^]]+)\]\(#[^)]+\)", section("Which recipe"))
    assert sorted(asked) == sorted(TITLES)
