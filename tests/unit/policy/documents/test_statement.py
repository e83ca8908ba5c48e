"""The retention section states what the policy does with data; what is expected is written out by hand."""

from __future__ import annotations

import pytest

from services.policy import loader
from services.policy.documents.document import BulletList, Document
from services.policy.documents.register import register_rows
from services.policy.documents.statement import statement_document
from services.policy.term_wording import Language
from tests.unit.policy.constructs import policy_with
from tests.unit.policy.small import SMALL, replaced

SHIPPED = loader.load()
TEXTS: dict[Language, Document] = {
    "nl": statement_document(SHIPPED, "nl"),
    "en": statement_document(SHIPPED, "en"),
}


def lines(document: Document, heading: str) -> list[str]:
    """The paragraphs and items under the heading that begins so."""
    [section] = [part for part in document.sections if part.heading.startswith(heading)]
    found: list[str] = []
    for block in section.blocks:
        found += block.items if isinstance(block, BulletList) else [str(block)]
    return found


def test_an_entry_has_rule_data_and_term() -> None:
    """In the titles of the language."""
    assert lines(TEXTS["nl"], "Vragen beantwoorden") == [
        "Klantgegevens (namen en contactgegevens; wat gevraagd en geantwoord is):"
        " hooguit 2 jaar na het einde van “de klantrelatie”.",
        "Berichten van wie geen klant is (namen en contactgegevens; wat gevraagd en geantwoord is):"
        " hooguit 6 maanden na het einde van “een bericht tot het is afgehandeld”.",
    ]


def test_an_entry_on_consent_states_what_a_withdrawal_changes() -> None:
    """An application goes back to the shorter term; an answer to a survey is erased."""
    assert lines(TEXTS["en"], "Handling")[1].partition("): ")[2] == (
        "at most 1 year after the end of “An application procedure until it is completed”;"
        " if you withdraw your consent,"
        " at most 1 month after the end of “An application procedure until it is completed”."
    )
    assert lines(TEXTS["en"], "Inviting") == [
        "Contact data and answers of marketing research (Names and contact details; Answers to surveys):"
        " at most 1 year after the data arose; if you withdraw your consent, erased at once.",
        "If you object, that counts as withdrawing your consent.",
    ]


def test_an_entry_under_a_law_states_that_a_request_does_not_shorten_it() -> None:
    """Except one that is erased at once anyway."""
    tax, _, identity = lines(TEXTS["nl"], "Voldoen aan")
    assert tax.endswith(
        "ten minste 7 jaar na het einde van het boekjaar (laatste dag: 31 december), daarna gewist;"
        " op grond van een wettelijke plicht, ook als u ons vraagt ze te wissen."
    )
    assert identity.endswith("): direct gewist.")


def test_an_objection_to_direct_marketing_is_stated() -> None:
    """It ends the purpose at once; one to research only restricts until it is decided."""
    assert lines(TEXTS["en"], "Presenting")[1] == (
        "If you object, we erase at once what we have of you for this purpose."
    )
    assert len(lines(TEXTS["en"], "Reporting")) == 1
    assert lines(TEXTS["en"], "Reporting")[0].endswith(
        "at most 20 years after the data arose; under a pseudonym once only this purpose, or a law,"
        " needs it."
    )


def test_the_exceptions_are_those_of_the_policy() -> None:
    """A request, a legal hold, and the proof under a person's name."""
    assert lines(TEXTS["en"], "Exceptions") == [
        "If you ask us to erase your data and have a right to that, we erase it at once.",
        "While a legal claim or an inquiry is running, we erase nothing of those whom it concerns.",
        "We keep the proof that we have erased your data under your name until 5 years after we verified"
        " that.",
    ]


def test_what_no_event_reports_is_not_promised() -> None:
    """The small policy knows no requests and no holds, and keeps its proof permanently."""
    policy = loader.load_text(SMALL, "small.yaml")
    assert lines(statement_document(policy, "en"), "Exceptions") == [
        "We keep the proof that we have erased your data under your name permanently."
    ]


def test_a_rule_in_test_is_stated_as_not_applied() -> None:
    """A term that nothing enforces is not promised."""
    text = replaced(SMALL, "    title: A year\n", "    title: A year\n    status: test\n")
    document = statement_document(loader.load_text(text, "small.yaml"), "nl")
    assert "A year (Contact): de termijn wordt nog niet toegepast." in lines(document, "Care")


@pytest.mark.parametrize("language", ["nl", "en"])
def test_every_purpose_that_holds_data_has_a_heading(language: Language) -> None:
    """Nine of ten, and the exceptions."""
    assert len(TEXTS[language].sections) == 10


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        (
            "en",
            [
                "T (Contact): at most 28 days after the data arose, then handed over to an archive, in all"
                " other cases; we let you know 1 week before.",
                "T (Contact): at most 10 days after the data arose, then handed over to an archive and"
                " erased here, if country is DE.",
            ],
        ),
        (
            "nl",
            [
                "T (Contact): hooguit 28 dagen na het ontstaan van de gegevens, daarna overgedragen aan een"
                " archief, in alle andere gevallen; wij laten het u 1 week van tevoren weten.",
                "T (Contact): hooguit 10 dagen na het ontstaan van de gegevens, daarna overgedragen aan een"
                " archief en hier gewist, als country DE is.",
            ],
        ),
    ],
)
def test_an_entry_has_its_conditions_its_notice_and_its_end(
    language: Language, expected: list[str]
) -> None:
    """Another entry for the events to which another rule applies."""
    rules = {
        "footage": "kind: at_most, term: P28D, anchor: {kind: event}, then: transfer,"
        " notices: [{before: P1W, system: app}]",
        "german": "extends: footage, when: {country: [DE]}, term: P10D, then: transfer-and-erase,"
        " notices: []",
    }
    policy = policy_with(
        rules,
        "purpose: study, basis: contract, rule: footage, systems: [app]",
        fields="      country: {required: false}\n",
    )
    assert lines(statement_document(policy, language), "Study") == expected


def test_the_record_has_a_notice_as_a_remark() -> None:
    rule = "kind: at_most, term: P1Y, anchor: {kind: event}, notices: [{before: P30D, system: app}]"
    [row] = [row for row in register_rows(policy_with({"brief": rule})) if row.rule == "brief"]
    assert row.remarks == ("notice 30 days before, by App",)
