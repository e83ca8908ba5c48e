"""The package that answers a request for access or portability, as files (GDPR 15(3), 20(1)).

`data.json` is for machines: `data.schema.json` describes it, and it has the Avro schema of each event type.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

from schemas.errors import UnknownSchema
from schemas.schema_versions import SchemaSet
from services.requests.html_page import render_page
from services.requests.letters import render_letter
from services.requests.pdf import render_pdf
from services.requests.report import Report
from services.requests.wording import Language

_MAX_PDF_RECORDS = 200
"""Records that the PDF shows; it states how many more the data file has."""
_MAX_PDF_ROWS = 3_000
"""Rows of fields that the PDF shows in total: they take most of the time to render."""
_FILE_DATE = (1980, 1, 1, 0, 0, 0)
"""The date of every file in the ZIP, so that equal packages have equal bytes."""
SCHEMA: Mapping[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Personal data of one data subject",
    "type": "object",
    "required": ["$schema", "request", "right", "controller", "answered_at", "systems", "records"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"const": "data.schema.json"},
        "request": {"type": "string"},
        "right": {"enum": ["access", "portability"]},
        "controller": {"type": "string"},
        "answered_at": {"type": "string", "format": "date-time"},
        "systems": {
            "description": "The systems that were asked, and their outcome.",
            "type": "array",
            "items": {
                "type": "object",
                "required": ["system", "title", "outcome", "records"],
                "additionalProperties": False,
                "properties": {
                    "system": {"type": "string"},
                    "title": {"type": "string"},
                    "outcome": {"type": "string"},
                    "records": {"type": "integer", "minimum": 0},
                },
            },
        },
        "records": {
            "description": "What each system holds.",
            "type": "array",
            "items": {
                "type": "object",
                "required": ["system", "type", "id", "time", "data"],
                "additionalProperties": False,
                "properties": {
                    "system": {"type": "string"},
                    "type": {"type": "string"},
                    "id": {"type": "string"},
                    "time": {"type": ["string", "null"]},
                    "data": {"type": "object"},
                },
            },
        },
        "schemas": {
            "description": "The Avro schema of each type of record.",
            "type": "object",
            "additionalProperties": {"type": "object"},
        },
    },
}


def build_package(report: Report, language: Language, schemas: SchemaSet) -> Mapping[str, bytes]:
    """Return the files of a package by name: letter, page, PDF, data, and all of them as a ZIP."""
    html = render_page(report, language)
    short = render_page(report, language, max_records=_MAX_PDF_RECORDS, max_rows=_MAX_PDF_ROWS)
    files = {
        "letter.txt": render_letter(report, language).encode(),
        "answer.html": html.encode(),
        "answer.pdf": render_pdf(
            short, title=report.policy.controller.name, language=language, at=report.answered_at
        ),
        "data.json": _json(_data(report, language, schemas)),
        "data.schema.json": _json(SCHEMA),
    }
    sums = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items()
    )
    files["SHA256SUMS"] = sums.encode()
    return {**files, "package.zip": _zip_files(files)}


def _data(report: Report, language: Language, schemas: SchemaSet) -> Mapping[str, Any]:
    return {
        "$schema": "data.schema.json",
        "request": report.request,
        "right": report.right,
        "controller": report.policy.controller.name,
        "answered_at": report.answered_at.isoformat(),
        "systems": [
            {
                "system": part.system,
                "title": report.policy.title("systems", part.system, language),
                "outcome": part.outcome,
                "records": part.records,
            }
            for part in report.parts
        ],
        "records": [
            {
                "system": record.system,
                "type": record.type,
                "id": record.id,
                "time": record.time.isoformat() if record.time else None,
                "data": dict(record.data),
            }
            for record in report.disclosed
        ],
        "schemas": {
            name: schema.definition
            for name in sorted({record.type for record in report.disclosed})
            if (schema := _newest(schemas, name)) is not None
        },
    }


def _newest(schemas: SchemaSet, name: str) -> Any:
    try:
        return schemas.newest(name)
    except UnknownSchema:
        return None  # a system may hold data that came with no event of ours


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=2) + "\n").encode(
        "utf-8", "backslashreplace"
    )


def _zip_files(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _FILE_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o600 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()
