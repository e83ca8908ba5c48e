"""`include: gdpr`: the same policy as if it were written out, and errors where a person can edit."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml

from services.policy import included, loader
from services.policy.lint import lint
from services.policy.loader import InvalidPolicy
from services.policy.model import Policy
from tests.unit.policy.test_shipped_policy import TEXT

WRITTEN_OUT = yaml.safe_load(Path(__file__).with_name("written_out.yaml").read_text("utf-8"))
MINIMAL = """\
policy: shop
version: "1"
dpv: https://w3id.org/dpv/2.3
include: gdpr
controller: {name: Shop, contact: a@shop.example, time_zone: Europe/Amsterdam, statement: Statement 1}
purposes: {service: {title: Service, dpv: dpv:ServiceProvision, source: a}}
categories: {}
subjects: {buyer: {title: Buyer, dpv: dpv:Customer, source: a}}
systems: {shop: {title: Shop, owner: us}}
rules:
  year: {title: A year, kind: at_most, term: P1Y, anchor: {kind: event},
         term_from: stated, anchor_from: stated, source: a}
events:
  shop.order:
    process: selling
    fields: {buyer: {}}
    subject: [{kind: buyer, field: buyer}]
    holdings: [{purpose: service, basis: contract, rule: year, systems: [shop]}]
"""


def test_the_shipped_policy_means_the_same_as_written_out() -> None:
    """Equal policies, equal hashes: a ledger that has one of them active accepts the other."""
    written_out = load(_written_out(TEXT))
    shipped = loader.load()
    assert shipped == written_out
    assert loader.structure_hashes(shipped) == loader.structure_hashes(written_out)
    assert loader.hash_policy(shipped) == loader.hash_policy(written_out)


def _written_out(text: str) -> str:
    document = yaml.safe_load(text)
    del document["include"]
    for section, entries in WRITTEN_OUT.items():
        own = document.get(section, {})
        document[section] = {name: own[name] for name in own if name not in entries} | entries
    return yaml.safe_dump(document, sort_keys=False)


def load(text: str) -> Policy:
    return loader.load_text(text, "shop.yaml")


def test_only_the_bases_that_are_used_are_included() -> None:
    """The others would be reported as never used."""
    assert list(load(MINIMAL).bases) == ["contract"]


def test_every_privacy_event_is_included() -> None:
    """The twelve that change a data subject's state, and a complaint with its answer."""
    assert len([name for name in load(MINIMAL).events if name.startswith("privacy.")]) == 14


def test_nothing_that_is_included_is_reported_as_never_used() -> None:
    remarks = [remark for remark in lint(load(MINIMAL)) if "never used" in remark.message]
    assert remarks == []


def test_all_six_grounds_of_the_law_are_there() -> None:
    """GDPR 6(1)(a) to (f), each once."""
    bases = included.read_part("gdpr")["bases"].values()
    articles = sorted(basis["article"] for basis in bases)
    assert articles == [f"GDPR 6(1)({letter})" for letter in "abcdef"]


def test_the_file_overrides_single_keys() -> None:
    """A title of its own; the rest stays as included."""
    policy = load(MINIMAL + "bases: {contract: {title: The sale}}\n")
    assert policy.bases["contract"].title == "The sale"
    assert policy.bases["contract"].article == "GDPR 6(1)(b)"


def test_a_list_of_the_file_replaces_the_included_one() -> None:
    """So that a policy can also drop what is included."""
    change = "  privacy.request-answered: {moves: [], sources: [/termijn/*]}\n"
    event = load(MINIMAL + change).events["privacy.request-answered"]
    assert (event.moves, event.sources) == ((), ("/termijn/*",))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param(
            ("include: gdpr", "include: ccpa"),
            "shop.yaml:4: include: is not one of gdpr",
            id="unknown",
        ),
        pytest.param(
            ("include: gdpr", "include: [gdpr]"),
            "shop.yaml:4: include: is not one of gdpr",
            id="list",
        ),
        pytest.param(
            ("events:\n", "events:\n  privacy.hold-placed: {subject: []}\n"),
            "shop.yaml:14: events.privacy.hold-placed.act: needs an event that names its data subject",
            id="a part of the included entry",
        ),
        pytest.param(
            ("rules:\n", "clocks: {dossier: {title: A file, key: [request]}}\nrules:\n"),
            "shop.yaml:4: events.privacy.request-answered.moves.0.key.reference: 'reference' is not"
            " a key field of the clock dossier, in what `include: gdpr` adds",
            id="an entry that is only included",
        ),
        pytest.param(
            ("events:\n", "bases: 7\nevents:\n"),
            "shop.yaml:13: bases: is not a map, got a whole number",
            id="not a section",
        ),
        pytest.param(
            ("basis: contract", "basis: contrat"),
            "shop.yaml:18: events.shop.order.holdings.0.basis: 'contrat' is not defined",
            id="no such basis",
        ),
    ],
)
def test_a_problem_names_a_line_that_a_person_can_edit(
    change: tuple[str, str], problem: str
) -> None:
    """In the file itself, never in the built-in part."""
    with pytest.raises(InvalidPolicy) as refused:
        load(MINIMAL.replace(*change))
    lines = str(refused.value).splitlines()
    assert any(line.startswith(problem) for line in lines), lines
    assert all(line.startswith("shop.yaml:") for line in lines)


def test_a_file_without_an_include_is_taken_as_it_is() -> None:
    """No basis appears that the file does not have."""
    text = dedent(MINIMAL).replace("include: gdpr\n", "clocks: {}\nbases: {}\n")
    with pytest.raises(InvalidPolicy, match=r"basis: 'contract' is not defined"):
        load(text)


def test_a_part_is_not_changed_by_a_file() -> None:
    """It is read once and shared by all policies of a process."""
    before: Any = yaml.safe_dump(dict(included.read_part("gdpr")))
    load(MINIMAL + "  privacy.request-answered: {moves: []}\n")
    assert yaml.safe_dump(dict(included.read_part("gdpr"))) == before
