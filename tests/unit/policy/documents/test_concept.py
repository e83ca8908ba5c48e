"""The deletion concept states what the policy has; what is expected is written out by hand."""

from __future__ import annotations

from services.policy import loader
from services.policy.documents.concept import concept_document, term_matrix
from services.policy.documents.document import BulletList, Document, Table
from tests.unit.policy.small import SMALL, replaced

SHIPPED = loader.load()
CONCEPT = concept_document(SHIPPED)


def table(document: Document, heading: str) -> list[tuple[str, ...]]:
    """The rows of the table under a heading."""
    [section] = [part for part in document.sections if part.heading == heading]
    [found] = [block for block in section.blocks if isinstance(block, Table)]
    return [tuple(row) for row in found.rows]


def test_the_matrix_has_each_standard_term_by_its_kinds_of_start() -> None:
    """Shortest first; a rule is where its term and its start are."""
    matrix = term_matrix(SHIPPED)
    assert matrix.columns == (
        "Term",
        "collection",
        "end of a year, quarter or month",
        "end of a clock",
        "date in the data",
    )
    assert [tuple(row) for row in matrix.rows] == [
        ("at once", "D9", "", "R2", ""),
        ("1 month", "", "", "R3a", ""),
        ("6 months", "", "", "D1, D7", ""),
        ("1 year", "D3, D5, D6", "", "R3b, D2", ""),
        ("2 years", "D4", "", "R1", ""),
        ("5 years", "", "", "D8", ""),
        ("7 years", "", "R5", "", ""),
        ("20 years", "R4", "", "", ""),
    ]


def test_each_kind_of_data_has_its_rules() -> None:
    """The copy of an identity document of a customer, and that with a request."""
    rows = [
        row for row in table(CONCEPT, "Kinds of data") if row[0].startswith("Copy of an identity")
    ]
    assert [row[1] for row in rows] == ["R1", "D9"]
    assert rows[0][2:] == (
        "A business customer - the company, its entrepreneur, partners and contact persons",
        "Preparing, concluding and performing the contract with customers and suppliers",
    )


def test_each_system_has_its_instruction() -> None:
    """What it erases, in what time, and how that is proven."""
    rows = {row[0]: row[1:] for row in table(CONCEPT, "Instructions for systems")}
    assert len(rows) == 16
    assert rows["Bookkeeping"] == (
        *("administration", "R1, R5", "24 hours", "24 hours", "it reads again", "not stated"),
    )
    assert rows["Payment service provider"][2:5] == (
        *("24 hours", "72 hours", "a notice to another controller"),
    )
    assert rows["WhatsApp Business"][4] == "by its acknowledgement"
    assert rows["Repairer or supplier of hardware"][1] == "the rule of what an event names it for"


def test_the_concept_states_who_is_responsible_when_it_was_reviewed_and_backups() -> None:
    """Three keys that the policy may have."""
    text = replaced(
        SMALL, "purposes:\n", "responsible: Privacy team\nreviewed: 2026-01-15\npurposes:\n"
    )
    text = replaced(text, "books: {title: Books,", "books: {backups: P30D, title: Books,")
    document = concept_document(loader.load_text(text, "small.yaml"))
    [about] = [block for block in document.blocks if isinstance(block, BulletList)]
    assert about.items[2:] == ("Responsible: Privacy team", "Reviewed: 15 January 2026")
    assert [row[-1] for row in table(document, "Instructions for systems")] == [
        "not stated",
        "30 days",
        "not stated",
    ]


def test_what_the_policy_does_not_have_is_shown_as_not_stated() -> None:
    """The shipped policy has none of the three."""
    [about] = [block for block in CONCEPT.blocks if isinstance(block, BulletList)]
    assert about.items[2:] == ("Responsible: not stated", "Reviewed: not stated")


def test_the_new_keys_do_not_change_what_ledgers_store_of_events() -> None:
    """A policy that sets them fits recorded events."""
    text = replaced(
        SMALL, "purposes:\n", "responsible: Privacy team\nreviewed: 2026-01-15\npurposes:\n"
    )
    text = replaced(text, "books: {title: Books,", "books: {backups: P30D, title: Books,")
    before = loader.structure_hashes(loader.load_text(SMALL, "small.yaml"))
    assert loader.structure_hashes(loader.load_text(text, "small.yaml")) == before
