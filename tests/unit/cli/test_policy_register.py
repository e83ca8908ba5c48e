"""`termijn policy register` prints the record of processing in four formats."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from tests.unit.cli.conftest import Call
from tests.unit.policy.small import SMALL, replaced


def test_register_prints_the_configured_policy_as_markdown(termijn: Call) -> None:
    """Without a file, an option or a setting it is the shipped one."""
    outcome = termijn("policy", "register")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("# Record of processing activities (GDPR 30)\n")
    assert "| Transfers outside the EEA | WhatsApp Business: standard" in outcome.out


def test_register_prints_csv_with_a_row_for_each_processing(termijn: Call, tmp_path: Path) -> None:
    """Read back with another program, the columns are in order and texts are whole."""
    file = tmp_path / "small.yaml"
    file.write_text(replaced(SMALL, "title: Care,", 'title: "Care, and \\"more\\"",'), "utf-8")
    lines = termijn("policy", "register", file, "--format", "csv").out.splitlines()
    rows = list(csv.DictReader(lines))
    assert lines[0] == (
        "controller,contact,purpose,legal_basis,data_subjects,personal_data,internal,recipients,"
        "transfers,kept,rule,source,provenance,remarks"
    )
    assert rows[0]["purpose"] == 'Care, and "more"'
    assert rows[0]["legal_basis"] == "Contract (GDPR 6(1)(b))"


def test_register_prints_html_with_texts_escaped(termijn: Call, tmp_path: Path) -> None:
    """A title of the policy is never markup."""
    file = tmp_path / "small.yaml"
    file.write_text(replaced(SMALL, "title: Care,", 'title: "<b>Care</b>",'), "utf-8")
    html = termijn("policy", "register", file, "--format", "html").out
    assert "<h2>&lt;b&gt;Care&lt;/b&gt;</h2>" in html
    assert "<b>" not in html


def test_register_takes_a_file_or_the_ledger(termijn: Call, tmp_path: Path) -> None:
    """Both would be two policies."""
    outcome = termijn("policy", "register", tmp_path / "small.yaml", "--ledger")
    assert (outcome.code, outcome.out) == (1, "")
    assert "--ledger: the policy is either the ledger's or in" in outcome.err


def test_register_prints_linked_data(termijn: Call) -> None:
    """One JSON-LD document; its texts are whole."""
    outcome = termijn("policy", "register", "--dpv")
    assert (outcome.code, outcome.err) == (0, "")
    record = json.loads(outcome.out)
    assert record["@context"]["dpv"] == "https://w3id.org/dpv#"
    assert record["@graph"][0]["@type"] == "dpv:ROPA"


def test_register_prints_linked_data_in_no_other_format(termijn: Call) -> None:
    """A table would not be linked data."""
    outcome = termijn("policy", "register", "--dpv", "--format", "csv")
    assert (outcome.code, outcome.out) == (1, "")
    assert "--dpv: it is a format of its own, got --format csv too; drop one" in outcome.err
