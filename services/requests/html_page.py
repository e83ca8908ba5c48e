"""The answer to a request for access, as an HTML page for people (GDPR 15(1)(a)-(h))."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Any

from services.requests.report import DisclosureItem, ProcessingSummary, Report
from services.requests.template_environment import template_environment
from services.requests.wording import (
    Language,
    Translator,
    outcome_lines,
    strip_control_characters,
    third_country_lines,
)

_MAX_VALUE_CHARS = 10_000
"""Characters of a value that the page shows; the data file has the rest."""
_MAX_DEPTH = 8
_MAX_CELL_CHARS = 1_000
"""Characters of a row in the PDF, and lines of it: fpdf2 cannot break a row over pages."""
_MAX_CELL_LINES = 20
_MAX_NAME_CHARS = 200

_LABELS: Mapping[Language, Mapping[str, str]] = {
    "nl": {
        "title": "Uw persoonsgegevens",
        "request": "Uw verzoek",
        "reference": "Kenmerk",
        "subject": "Wie u bij ons bent",
        "received": "Ontvangen op",
        "use": "Waarvoor we uw gegevens gebruiken",
        "purpose": "Doel",
        "ground": "Grond",
        "categories": "Soort gegevens",
        "recipients": "Wie ze heeft",
        "source": "Uit welk proces",
        "term": "Hoe lang",
        "until": "Tot",
        "records": "Aantal",
        "outside": "Ontvangers buiten de Europese Economische Ruimte, en de waarborg",
        "asked": "Wie we naar uw gegevens gevraagd hebben",
        "system": "Systeem of ontvanger",
        "outcome": "Antwoord",
        "data": "De gegevens zelf",
        "field": "Veld",
        "value": "Waarde",
        "nothing": "Geen.",
        "left_out": "Nog {} vastleggingen staan in het gegevensbestand bij deze brief.",
        "rights": "Uw rechten",
        "your_rights": "U kunt ons vragen gegevens te verbeteren of te wissen, het gebruik te"
        " beperken, of ze u mee te geven. U kunt bezwaar maken tegen gebruik op grond van ons"
        " gerechtvaardigd belang, en toestemming intrekken. Schrijf ons:",
        "complain": "U kunt een klacht indienen bij de toezichthouder.",
    },
    "en": {
        "title": "Your personal data",
        "request": "Your request",
        "reference": "Reference",
        "subject": "Who you are to us",
        "received": "Received on",
        "use": "What we use your data for",
        "purpose": "Purpose",
        "ground": "Ground",
        "categories": "Kind of data",
        "recipients": "Who has it",
        "source": "From which process",
        "term": "How long",
        "until": "Until",
        "records": "Number",
        "outside": "Recipients outside the European Economic Area, and the safeguard",
        "asked": "Whom we asked for your data",
        "system": "System or recipient",
        "outcome": "Answer",
        "data": "The data itself",
        "field": "Field",
        "value": "Value",
        "nothing": "None.",
        "left_out": "Another {} records are in the data file with this letter.",
        "rights": "Your rights",
        "your_rights": "You can ask us to correct or erase data, to restrict its use, or to give it to"
        " you to take along. You can object to use on the ground of our legitimate interest, and"
        " withdraw consent. Write to us:",
        "complain": "You can complain to the supervisory authority.",
    },
}


def render_page(
    report: Report,
    language: Language,
    *,
    max_records: int | None = None,
    max_rows: int | None = None,
) -> str:
    """Return the page as one HTML document; it states how many records it leaves out.

    It shows at most `max_records` records, in at most `max_rows` rows that are cut to fit on paper.
    """
    words = Translator(policy=report.policy, language=language, confirmed=report.confirmed)
    visible = list(_visible_records(report.disclosed[:max_records], words, max_rows))
    environment = template_environment("services.requests", html=True)
    return environment.get_template("answer.html.jinja").render(
        report=report,
        controller=report.policy.controller,
        language=language,
        words=words,
        text=_LABELS[language],
        processing=[_processing(item, words) for item in report.processing],
        outside=third_country_lines(report),
        done=outcome_lines(report, words),
        disclosed=[
            (words.system(system), [record for _, record in records])
            for system, records in groupby(visible, key=lambda pair: pair[0])
        ],
        left_out=len(report.disclosed) - len(visible),
    )


def _processing(processing: ProcessingSummary, words: Translator) -> Mapping[str, object]:
    return {
        "purpose": words.named("purposes", [processing.purpose]),
        "basis": words.basis(processing),
        "categories": words.named("categories", processing.categories),
        "recipients": words.named("systems", processing.systems),
        "source": ", ".join(processing.processes),
        "term": words.term(processing.rule),
        "until": words.until(processing.until, processing.rule),
        "records": processing.records,
    }


def _visible_records(
    disclosed: Sequence[DisclosureItem], words: Translator, max_rows: int | None
) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield the records to show, by system; a record that does not fit completely is left out."""
    rows_left = max_rows
    for record in disclosed:
        if rows_left is None:
            yield record.system, _record(record, words, list(_fields(record.data)))
            continue
        fields = list(islice(_split_cells(_fields(record.data)), rows_left + 1))
        if len(fields) <= rows_left:
            rows_left -= len(fields)
            yield record.system, _record(record, words, fields)


def _record(
    record: DisclosureItem, words: Translator, fields: Sequence[tuple[str, str]]
) -> Mapping[str, object]:
    return {
        "type": _shorten(record.type),
        "date": words.date(record.time) if record.time else "",
        "fields": fields,
    }


def _fields(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield names and values, nested ones by path; values that are nested too deeply stay JSON."""
    stack: list[tuple[str, Any, int]] = [(str(k), v, 1) for k, v in reversed([*data.items()])]
    while stack:
        name, value, depth = stack.pop()
        if isinstance(value, Mapping) and value and depth < _MAX_DEPTH:
            stack += [(f"{name}.{k}", v, depth + 1) for k, v in reversed([*value.items()])]
        elif _is_list(value) and value and depth < _MAX_DEPTH:
            pairs = list(enumerate(value, start=1))
            stack += [(f"{name}.{n}", v, depth + 1) for n, v in reversed(pairs)]
        else:
            yield _shorten(name), _shorten(_format_value(value))


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _format_value(value: object) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _shorten(text: str) -> str:
    return strip_control_characters(
        f"{text[:_MAX_VALUE_CHARS]}…" if len(text) > _MAX_VALUE_CHARS else text
    )


def _split_cells(fields: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield rows that each fit on a page of paper; a long value continues in the rows below its name."""
    for name, value in fields:
        label = name if len(name) <= _MAX_NAME_CHARS else f"{name[:_MAX_NAME_CHARS]}…"
        for piece in _pieces(value):
            yield label, piece
            label = ""


def _pieces(value: str) -> Iterator[str]:
    lines = value.split("\n")
    for start in range(0, len(lines), _MAX_CELL_LINES):
        block = "\n".join(lines[start : start + _MAX_CELL_LINES])
        for at in range(0, len(block) or 1, _MAX_CELL_CHARS):
            yield block[at : at + _MAX_CELL_CHARS]
