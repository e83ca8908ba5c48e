"""The record of processing states what the policy states; what is expected is written out by hand."""

from __future__ import annotations

from services.policy import loader
from services.policy.documents.register import RegisterRow, register_document, register_rows
from tests.unit.policy.small import SMALL, replaced

SHIPPED = loader.load()
ROWS = register_rows(SHIPPED)


def row(rule: str, basis: str) -> RegisterRow:
    """The row of a rule on a legal basis, of which there is one."""
    [found] = [row for row in ROWS if row.rule == rule and row.legal_basis.startswith(basis)]
    return found


def test_the_record_has_a_row_for_each_purpose_basis_and_rule_of_the_policy() -> None:
    """In the order of the file, with the rule to which consent changes an application."""
    assert [(row.purpose.split()[0], row.legal_basis.split()[-1], row.rule) for row in ROWS] == [
        ("Answering", "6(1)(b))", "R1"),
        ("Answering", "6(1)(f))", "D1"),
        ("Presenting", "6(1)(f))", "D2"),
        ("Preparing,", "6(1)(b))", "R1"),
        ("Preparing,", "6(1)(f))", "R2"),
        ("Preparing,", "6(1)(f))", "D4"),
        ("Preparing,", "6(1)(f))", "D7"),
        ("Judging", "6(1)(f))", "D3"),
        ("Handling", "6(1)(b))", "R3a"),
        ("Handling", "6(1)(a))", "R3b"),
        ("Meeting", "6(1)(c))", "R5"),
        ("Meeting", "6(1)(c))", "D8"),
        ("Meeting", "6(1)(c))", "D9"),
        ("Judging", "6(1)(a))", "D5"),
        ("Inviting", "6(1)(a))", "D6"),
        ("Reporting", "6(1)(f))", "R4"),
    ]


def test_a_row_has_what_gdpr_30_asks_for() -> None:
    """The messages of visitors, of which a processor outside the EEA gets some."""
    assert row("D1", "Legitimate interest") == RegisterRow(
        controller="Optimum POS B.V.",
        contact="privacy@optimumpos.nl",
        purpose="Answering and informing people who contact us, and news and offers",
        legal_basis="Legitimate interest (GDPR 6(1)(f))",
        data_subjects=("Someone who uses the website or contacts us and is none of the others",),
        personal_data=("Names and contact details", "What was asked and answered"),
        internal=("Helpdesk and customer service",),
        recipients=(
            "Website and contact form (processor)",
            "E-mail processor (processor)",
            "WhatsApp Business (processor)",
        ),
        transfers=("WhatsApp Business: standard contractual clauses (GDPR 46(2)(c))",),
        kept="at most 6 months after the end of “A message until it is resolved”",
        rule="D1",
        source="1. Klantenservice / Contactformulier",
        provenance="term and start: derived. Long enough to come back on an answer; a message has no use"
        " after that.",
        remarks=("an event can name further systems that get the data",),
    )


def test_a_row_has_each_kind_of_data_subject_that_an_event_may_concern() -> None:
    """The books have customers, their consumers and suppliers; a dossier has anybody."""
    assert row("R5", "Legal obligation").data_subjects == (
        "A business customer - the company, its entrepreneur, partners and contact persons",
        "A customer's own end consumer, known through an online order or a ticket",
        "A supplier's contact person",
    )
    assert len(row("D8", "Legal obligation").data_subjects) == 6
    assert row("D7", "Legitimate interest").data_subjects == (
        "A customer's own end consumer, known through an online order or a ticket",
    )


def test_another_controller_is_a_recipient() -> None:
    """The payment provider and the credit agency decide for themselves."""
    assert row("D3", "Legitimate interest").recipients == ("External credit agency (controller)",)
    assert row("D4", "Legitimate interest").recipients == ("Payment service provider (controller)",)


def test_a_start_that_is_derived_is_told_with_its_reason() -> None:
    """The statement gives twenty years, and not from when."""
    assert row("R4", "Legitimate interest").provenance == (
        "term: statement, start: derived. Counted from the event, the earliest start there is;"
        " pseudonymised when only research still needs it (GDPR 5(1)(c), 89(1))."
    )
    assert row("R5", "Legal obligation").provenance == "term and start: law"


def test_a_rule_in_test_and_a_retired_purpose_are_told() -> None:
    """Of the first nothing is erased; the second, by local date, gets no new data."""
    text = replaced(SMALL, "    title: A year\n", "    title: A year\n    status: test\n")
    retired = "source: a, retired: 2025-12-31T23:00:00Z}"
    policy = loader.load_text(replaced(text, "source: a}", retired), "small.yaml")
    remarks = [remark for row in register_rows(policy) for remark in row.remarks]
    assert "the rule is in test: nothing is erased because of it" in remarks
    assert "no new data from 2026-01-01 on" in remarks


def test_the_document_names_what_the_policy_does_not_have() -> None:
    """Security measures are not invented, and a purpose without data is not left out."""
    document = register_document(SHIPPED)
    assert any("the security measures (g)" in str(block) for block in document.blocks)
    headings = [section.heading for section in document.sections]
    assert headings[-3:] == [
        "Systems",
        "Proof of erasure",
        "Purposes for which no event holds data",
    ]
    assert "Preventing abuse of the services" in str(document.sections[-1].blocks)
