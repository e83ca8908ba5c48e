"""The terms of the Data Privacy Vocabulary are looked up in the version that a policy names."""

from __future__ import annotations

from importlib.resources import files

import pytest

from services.policy.dpv import dpv_terms
from services.policy.loader import InvalidPolicy, load_accepted, load_text
from tests.unit.policy.small import SMALL, replaced


def test_the_vocabulary_has_the_terms_of_each_part() -> None:
    """Purposes, personal data, the bases of the GDPR, and the extensions for sectors and technology."""
    assert {
        *("dpv:DirectMarketing", "dpv:Customer", "pd:EmailAddress", "eu-gdpr:A6-1-f"),
        *("sector-health:PatientMonitoring", "tech:Cookie"),
    } <= dpv_terms()
    assert len(dpv_terms()) == 3582


@pytest.mark.parametrize("no_concept", ["dpv:hasPurpose", "loc:NL", "dpv:", ""])
def test_properties_and_places_are_no_terms(no_concept: str) -> None:
    assert no_concept not in dpv_terms()


def test_the_file_names_version_source_and_licence() -> None:
    text = files("services.policy").joinpath("dpv-2.3.txt").read_text("utf-8")
    for part in (
        "https://w3id.org/dpv/2.3",
        "https://github.com/w3c/dpv",
        "f01a55c3c0983e35cdfdf80593ece3353faba7b8",
        "https://www.w3.org/copyright/software-license-2023/",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "Research, dpv: dpv:ResearchAndDevelopment",
            "Research, dpv: dpv:ReserchAndDevelopment",
            "purposes.study.dpv: 'dpv:ReserchAndDevelopment' is not a term of DPV 2.3;"
            " did you mean dpv:ResearchAndDevelopment?",
        ),
        (
            "dpv: eu-gdpr:A6-1-c",
            "dpv: gdpr:A6-1-c",
            "bases.law.dpv: 'gdpr:A6-1-c' is not a term of DPV 2.3; did you mean eu-gdpr?",
        ),
        (
            "dpv: [pd:Name]",
            "dpv: [pd:Name, Emailaddress]",
            "categories.contact.dpv.1: 'Emailaddress' is not a term of DPV 2.3;"
            " did you mean pd:EmailAddress?",
        ),
        (
            "Guest, dpv: dpv:Customer",
            "Guest, dpv: dpv:Xyzzy",
            "subjects.guest.dpv: 'dpv:Xyzzy' is not a term of DPV 2.3; see https://w3id.org/dpv/2.3",
        ),
    ],
)
def test_a_term_that_is_not_in_the_vocabulary_is_refused(old: str, new: str, problem: str) -> None:
    text = SMALL.replace("title: Study, dpv", "title: Research, dpv")
    with pytest.raises(InvalidPolicy) as refused:
        load_text(replaced(text, old, new), "small.yaml")
    assert [line.partition(": ")[2] for line in str(refused.value).splitlines()] == [problem]


def test_a_policy_that_was_accepted_before_its_terms_were_looked_up_can_be_read() -> None:
    """The ledger keeps its text; another version of Termijn must be able to replace it."""
    text = replaced(SMALL, "dpv: [pd:Name]", "dpv: [pd:Nickname-of-old]")
    assert load_accepted(text, "the ledger").categories["contact"].dpv == ("pd:Nickname-of-old",)
    with pytest.raises(InvalidPolicy):
        load_text(text, "small.yaml")
