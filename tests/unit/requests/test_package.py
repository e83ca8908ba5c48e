"""Letters and packages that people get, in both languages, whatever the data is."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import zipfile
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any, get_args

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError

from schemas.schema_files import load as load_schemas
from services.policy.loader import load
from services.policy.model import Right
from services.requests.html_page import render_page
from services.requests.letters import NOTICES, render_letter, render_notice
from services.requests.package import SCHEMA, build_package
from services.requests.report import (
    DisclosureItem,
    ProcessingSummary,
    Report,
    RetainedData,
    SystemOutcome,
)

POLICY = load()
SCHEMAS = load_schemas()
AT = datetime(2026, 3, 15, 13, tzinfo=UTC)


def the_report(right: Any = "access", **other_fields: Any) -> Report:
    fields: dict[str, Any] = {
        "policy": POLICY,
        "request": "Q1",
        "subject": "consumer:K1",
        "right": right,
        "received_at": AT,
        "answered_at": AT,
        "verdict": "partly",
    }
    return Report(**{**fields, **other_fields})


def part(system: str, outcome: Any, ground: str | None = None) -> SystemOutcome:
    return SystemOutcome(
        system=system, action="erase", outcome=outcome, at=AT, records=3, ground=ground
    )


def disclosed(**data: Any) -> DisclosureItem:
    return DisclosureItem(system="orders", type="orders.order-placed", id="o1", time=AT, data=data)


PARTS = (
    part("orders", "done"),
    part("psp", "refused", "a duty of its own"),
    part("crm", "silent"),
)
KEPT = (
    RetainedData(
        system="accounting",
        purpose="legal_compliance",
        why="legal_obligation",
        article="GDPR 17(3)(b)",
        until=datetime(2033, 12, 31, 23, tzinfo=UTC),
        records=3,
    ),
)


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        (
            "nl",
            [
                "uw verzoek Q1 van 15 maart 2026",
                "- bestelplatform: gedaan (3)",
                "- betaaldienstverlener: geweigerd: a duty of its own (3)",
                "- relatiebeheer: opdracht gegeven, antwoord blijft uit",
                "boekhouding, voldoen aan wettelijke plichten en fraude voorkomen",
                "de wet verplicht ons het te bewaren (AVG artikel 17 lid 3 onder b)",
                "Tot: 1 januari 2034",
                "Nog niet alle systemen hebben bevestigd.",
                "de Autoriteit Persoonsgegevens (https://autoriteitpersoonsgegevens.nl)",
                "naar de rechter",
            ],
        ),
        (
            "en",
            [
                "your request Q1 of 15 March 2026",
                "- Order platform: done (3)",
                "- Payment service provider: refused: a duty of its own (3)",
                "- Customer relations: told to, has not answered",
                "the law obliges us to keep it (GDPR article 17(3)(b))",
                "Until: 1 January 2034",
                "Not all systems have confirmed yet.",
                "the Autoriteit Persoonsgegevens (https://autoriteitpersoonsgegevens.nl)",
                "go to court",
            ],
        ),
    ],
)
def test_the_answer_to_an_erasure_names_each_system(language: Any, sentences: list[str]) -> None:
    """It lists who erased, refused or has not answered, what is kept, and where to complain."""
    text = flat(render_letter(the_report("erasure", parts=PARTS, kept=KEPT), language))
    assert [sentence for sentence in sentences if sentence not in text] == []


@pytest.mark.parametrize(
    ("language", "article"), [("nl", "AVG artikel 12 lid 6"), ("en", "GDPR article 12(6)")]
)
def test_an_unverified_person_is_informed_of_the_reason_and_the_next_step(
    language: Any, article: str
) -> None:
    """The letter has the article and no list of systems, since nothing was done."""
    text = render_letter(
        the_report("erasure", verdict="refused", refusal="never_verified"), language
    )
    assert article in text
    assert "Autoriteit Persoonsgegevens" in text


@pytest.mark.parametrize("language", ["nl", "en"])
def test_a_right_without_a_letter_is_an_error(language: Any) -> None:
    """Otherwise a new right would be answered with the letter of another one."""
    with pytest.raises(UndefinedError, match="letter_of_this_right"):
        render_letter(the_report("oblivion", parts=PARTS), language)


@pytest.mark.parametrize("right", get_args(Right))
@pytest.mark.parametrize("language", ["nl", "en"])
def test_each_right_has_a_letter_in_each_language(right: str, language: Any) -> None:
    """It names the system that did its part."""
    title = {"nl": "bestelplatform", "en": "Order platform"}[language]
    assert title in render_letter(the_report(right, parts=PARTS), language)


def test_a_dutch_letter_has_no_english_title_of_the_policy() -> None:
    """Every system, purpose, basis, category and rule that the policy names has a Dutch title."""
    sections = ("systems", "purposes", "bases", "categories", "rules")
    missing = [
        f"{section}.{name}"
        for section in sections
        for name in getattr(POLICY, section)
        if f"{section}.{name}" not in POLICY.titles["nl"]
    ]
    assert missing == []


def test_the_page_shows_everything_that_a_person_may_know() -> None:
    """Purpose, ground, categories, recipients, source, term, safeguard and data (GDPR 15(1), 15(2))."""
    use = ProcessingSummary(
        purpose="communication",
        basis="consent",
        rule="D1",
        systems=("whatsapp", "helpdesk"),
        categories=("contact",),
        processes=("1. Klantenservice / Contactformulier",),
        first=AT,
        last=AT,
        until=None,
        records=2,
    )
    report = the_report(
        processing=(use,), parts=PARTS, disclosed=(disclosed(name="Łukasz Öztürk"),)
    )
    text = flat(render_page(report, "en"))
    assert [
        sentence
        for sentence in (
            "Answering and informing people who contact us",
            "Consent (GDPR article 6(1)(a))",
            "Names and contact details",
            "WhatsApp Business, Helpdesk and customer service",
            "1. Klantenservice / Contactformulier",
            "at most 6 months",
            "not known yet",
            POLICY.systems["whatsapp"].safeguard or "no safeguard",
            "Łukasz Öztürk",
            "told to, has not answered",
            "Autoriteit Persoonsgegevens",
        )
        if sentence not in text
    ] == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self.attributes |= {name for name, _ in attrs}


def elements(html: str) -> Elements:
    parser = Elements()
    parser.feed(html)
    return parser


PLAIN = elements(render_page(the_report(disclosed=(disclosed(name="A"),), parts=PARTS), "en"))


@given(st.dictionaries(st.text() | st.just("<img src=x onerror=y>"), JSON, max_size=4))
@settings(max_examples=60, deadline=None)
def test_no_data_becomes_markup(data: dict[str, Any]) -> None:
    """The page has the elements and attributes of the template, whatever the names and values are."""
    report = elements(
        render_page(the_report(disclosed=(disclosed(**{"a": 1}, nested=data),)), "en")
    )
    assert report.found <= PLAIN.found
    assert report.attributes <= PLAIN.attributes


@given(st.dictionaries(st.text(), JSON, max_size=4))
@settings(max_examples=20, deadline=None)
def test_the_data_file_contains_the_data_unchanged(data: dict[str, Any]) -> None:
    """The file follows its own schema, and has the Avro schema of the type."""
    report = json.loads(
        build_package(the_report(disclosed=(disclosed(d=data),)), "en", SCHEMAS)["data.json"]
    )
    jsonschema.validate(report, SCHEMA)
    assert report["records"][0]["data"] == {"d": json.loads(json.dumps(data))}
    assert report["schemas"]["orders.order-placed"]["name"] == "OrderPlaced"


def test_direction_marks_cannot_reverse_a_value() -> None:
    """A right-to-left override shows as an unknown character."""
    assert "\u202e" not in render_page(the_report(disclosed=(disclosed(name="a\u202eb"),)), "en")


def test_equal_reports_make_equal_packages_and_the_sums_are_right() -> None:
    """Byte for byte, so that a second handing over can be compared with the first."""
    report = the_report("portability", disclosed=(disclosed(name="Łukasz"),))
    files = build_package(report, "nl", SCHEMAS)
    assert files == build_package(report, "nl", SCHEMAS)
    sums = dict(line.split("  ")[::-1] for line in files["SHA256SUMS"].decode().splitlines())
    assert sums == {
        name: hashlib.sha256(content).hexdigest()
        for name, content in files.items()
        if name not in ("SHA256SUMS", "package.zip")
    }
    with zipfile.ZipFile(io.BytesIO(files["package.zip"])) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            name: content for name, content in files.items() if name != "package.zip"
        }


def test_no_character_of_the_data_gets_into_a_log(caplog: pytest.LogCaptureFixture) -> None:
    """The font lacks Chinese; the library that makes the PDF would name the characters."""
    with caplog.at_level(logging.DEBUG):
        files = build_package(the_report(disclosed=(disclosed(name="王小明 ḿ Ω"),)), "en", SCHEMAS)
    assert files["answer.pdf"].startswith(b"%PDF-")
    assert not any("王" in record.getMessage() for record in caplog.records)


def test_the_pdf_of_a_very_large_answer_states_what_it_leaves_out() -> None:
    """The PDF shows 200 of 1,000 records; page and data file have all."""
    records = tuple(
        DisclosureItem(
            system="orders", type="orders.order-placed", id=str(n), time=AT, data={"n": n}
        )
        for n in range(1_000)
    )
    report = the_report(disclosed=records)
    assert "Another 800 records are in the data file" in render_page(report, "en", max_records=200)
    assert len(json.loads(build_package(report, "en", SCHEMAS)["data.json"])["records"]) == 1_000


@pytest.mark.parametrize(
    "value", ["woord " * 2_000, "x" * 20_000, "regel\n" * 3_000, {"k" * 5_000: "v"}]
)
def test_a_value_longer_than_a_page_does_not_stop_the_answer(value: Any) -> None:
    """A row of a PDF fits on one page: what is longer goes on in the rows below."""
    files = build_package(the_report(disclosed=(disclosed(message=value),)), "nl", SCHEMAS)
    assert files["answer.pdf"].startswith(b"%PDF-")


def test_a_long_value_is_complete_in_the_pdf() -> None:
    """Every one of 900 words, over several rows."""
    long_text = " ".join(f"word{n:03}" for n in range(900))
    text = render_page(
        the_report(disclosed=(disclosed(message=long_text),)), "en", max_records=200, max_rows=3_000
    )
    whole = text.replace('</td></tr>\n<tr><th scope="row"></th><td>', "")
    assert long_text in whole


def test_a_record_too_wide_for_the_pdf_is_counted() -> None:
    """One record of 5,000 fields: the PDF refers to the data file."""
    wide = disclosed(**{f"f{n}": n for n in range(5_000)})
    text = render_page(the_report(disclosed=(wide,)), "en", max_records=200, max_rows=3_000)
    assert "Another 1 records are in the data file" in text
    assert "<h2>The data itself</h2>\n<p>None.</p>" not in text


@pytest.mark.parametrize("ground", ["a\udc80b", "a\u202eb", "a\x00b", "g " * 50_000])
def test_the_ground_of_a_refusal_cannot_spoil_the_answer(ground: str) -> None:
    """It is shown as plain and short text, in the letter as on the page."""
    files = build_package(the_report(parts=(part("psp", "refused", ground),)), "nl", SCHEMAS)
    texts = files["letter.txt"].decode() + files["answer.html"].decode()
    assert not any(char in texts for char in "\u202e\x00")


def test_a_ground_cannot_add_a_line_to_the_letter() -> None:
    """A line break in it does not look like another system's answer."""
    forged = part("psp", "refused", "no\n- bestelplatform: gedaan (9)")
    assert "\n- bestelplatform" not in render_letter(the_report(parts=(forged,)), "nl")


@pytest.mark.parametrize("kind", NOTICES)
@pytest.mark.parametrize("language", ["nl", "en"])
def test_each_letter_states_where_to_complain(kind: Any, language: Any) -> None:
    """The authority is named in each, in both languages (GDPR 12(4), 13(2)(d))."""
    text = render_notice(POLICY, kind, language, reference="Q1", received_at=AT, answer_by=AT)
    assert "Autoriteit Persoonsgegevens" in text
    assert "privacy@optimumpos.nl" in text


def test_a_receipt_states_the_date_of_the_answer() -> None:
    """Received on 15 March, answered by 15 April at the latest."""
    by = datetime(2026, 4, 15, 12, tzinfo=UTC)
    text = render_notice(
        POLICY, "request-received", "nl", reference="Q1", received_at=AT, answer_by=by
    )
    assert "ontvangen op 15 maart 2026. U krijgt antwoord op zijn laatst op 15 april 2026." in flat(
        text
    )


@pytest.mark.parametrize(
    ("confirmed", "reading"),
    [
        ({"D8": True}, " (our own reading, confirmed)"),
        ({"D8": False}, " (our own reading, not confirmed yet)"),
        ({}, ""),
    ],
)
def test_an_answer_states_whether_a_derived_term_is_confirmed(
    confirmed: dict[str, bool], reading: str
) -> None:
    """With until when data is kept, and on the page with the term; a stated term has no such words."""
    kept = (
        RetainedData(
            system="crm",
            purpose="legal_compliance",
            why="legal_obligation",
            article="GDPR 17(3)(b)",
            until=AT,
            records=1,
            rule="D8",
        ),
        RetainedData(
            system="accounting",
            purpose="legal_compliance",
            why="legal_obligation",
            article="GDPR 17(3)(b)",
            until=AT,
            records=2,
            rule="R5",
        ),
    )
    text = render_letter(the_report("erasure", parts=PARTS, kept=kept, confirmed=confirmed), "en")
    assert f"Until: 15 March 2026{reading} (1)" in text
    assert "Until: 15 March 2026 (2)" in text
    use = ProcessingSummary(
        purpose="legal_compliance",
        basis="legal_obligation",
        rule="D8",
        systems=("crm",),
        categories=("contact",),
        processes=("Rights of the data subject",),
        first=AT,
        last=AT,
        until=AT,
        records=1,
    )
    page = render_page(the_report(processing=(use,), confirmed=confirmed), "en")
    assert f"<td>at most 5 years{reading}</td>" in page
