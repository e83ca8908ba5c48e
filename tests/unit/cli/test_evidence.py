"""`termijn evidence`: what an operator and an auditor do with the log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.crypto import pseudonyms
from services.crypto.key_directory import KeyDirectory
from services.evidence.seal_entries import append_entries
from services.ledger import active_policy
from services.ledger.recording import record
from services.policy import loader
from services.storage.database import Database, open_database
from tests.contract.event_builders import arrival, event, feedback
from tests.unit.cli.conftest import Call

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BY_ME = ("--operator", "night-shift", "--reason", "a test")


@pytest.fixture
def ledger(termijn: Call) -> Iterator[Database]:
    """A ledger where the commands look for it, with keys."""
    assert termijn("ledger", "migrate").code == 0
    assert termijn("keys", "make").code == 0
    with closing(open_database(f"sqlite:///{Path.cwd() / '.termijn' / 'ledger.sqlite'}")) as opened:
        yield opened


def append_evidence(ledger: Database, at: datetime = NOW) -> None:
    """Append the queued entries, as a deleter does."""
    keys = Path(".termijn", "keys")
    ring = KeyDirectory(path=keys).private()
    ledger.run_in_transaction(
        lambda connection: active_policy.require_active(connection, loader.load(), at),
    )
    ledger.run_in_transaction(
        lambda connection: append_entries(
            connection, pseudonyms.load_or_create_pseudonymizer(keys), ring, at
        ),
    )


def test_an_export_verifies_without_a_ledger(
    termijn: Call, ledger: Database, tmp_path: Path
) -> None:
    """It needs only the distributed keys and a head that was kept."""
    append_evidence(ledger)
    Path("head.json").write_text(termijn("evidence", "head").out)
    assert termijn("evidence", "export", "log.jsonl").out == "log.jsonl: 5 lines\n"
    Path(".termijn", "ledger.sqlite").unlink()
    outcome = termijn(
        "evidence", "verify", "log.jsonl", "--keys", ".termijn/keys", "--head", "head.json"
    )
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(
        "2 entries are valid, up to 2026-03-01T12:00:00Z: 1 heads are signed"
    )


def test_verification_with_keys_from_the_same_source_is_marked(
    termijn: Call, ledger: Database
) -> None:
    """The log verifies, but that alone proves nothing against its author."""
    append_evidence(ledger)
    termijn("evidence", "export", "log.jsonl")
    assert "the keys are from the log itself" in termijn("evidence", "verify", "log.jsonl").err


def test_an_altered_export_is_one_line_and_exit_code_1(termijn: Call, ledger: Database) -> None:
    """The line names the entry, and the last one that verifies."""
    append_evidence(ledger)
    termijn("evidence", "export", "log.jsonl")
    text = Path("log.jsonl").read_text()
    Path("log.jsonl").write_text(text.replace("optimum-pos", "optimum-sop"))
    outcome = termijn("evidence", "verify", "log.jsonl")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == (
        "termijn: line 4, after entry 1: its hash is not the hash of this entry and the hash before it\n"
    )


def test_an_older_export_is_not_overwritten(termijn: Call, ledger: Database) -> None:
    """It may be the only proof."""
    append_evidence(ledger)
    Path("log.jsonl").write_text("older")
    assert termijn("evidence", "export", "log.jsonl").code == 1
    assert Path("log.jsonl").read_text() == "older"


def test_the_evidence_in_the_ledger_is_verified_without_a_file(
    termijn: Call, ledger: Database
) -> None:
    """Entries that no signed head covers yet count too."""
    append_evidence(ledger)
    ledger.run_in_transaction(lambda connection: None)
    assert termijn("evidence", "verify").out.startswith("2 entries are valid")
    with ledger.transaction() as connection:
        connection.exec_driver_sql("UPDATE evidence_chain SET number = 1")
    outcome = termijn("evidence", "verify")
    assert (outcome.code, outcome.err) == (
        1,
        "termijn: line 6, after entry 2: the last entry must be 2, which a signed head covers, got 1\n",
    )


@pytest.mark.parametrize("command", [("head",), ("export", "log.jsonl"), ("verify",)])
def test_an_empty_evidence_log_cannot_be_exported(
    termijn: Call, ledger: Database, command: tuple[str, ...]
) -> None:
    """One line states what is missing, and no file is written."""
    outcome = termijn("evidence", *command)
    assert outcome.err == "termijn: the log has no signed head yet; a running deleter signs one\n"
    assert not Path("log.jsonl").exists()


def test_the_evidence_continues_under_another_key_when_one_is_lost(
    termijn: Call, ledger: Database
) -> None:
    """Once a named operator decides so."""
    append_evidence(ledger)
    Path(".termijn", "keys", "evidence.key").unlink()
    with pytest.raises(Exception, match="termijn evidence rekey"):
        append_evidence(ledger)
    assert termijn("evidence", "rekey", *BY_ME).code == 0
    append_evidence(ledger)
    assert termijn("evidence", "verify").code == 0


def test_a_certificate_is_written_for_a_subject_or_a_request(
    termijn: Call, ledger: Database
) -> None:
    """A new directory with JSON and PDF; what is not proven is listed."""
    request = {"subject": "visitor:1", "request_id": "Q1"}
    at = "2026-02-01T12:00:00Z"
    arrivals = [
        arrival(event, loader.load())
        for event in (
            feedback("e1", "2026-01-01T12:00:00Z"),
            event("r1", "privacy.request-received", at, right="erasure", **request),
            event("r2", "privacy.identity-verified", at, **request),
        )
    ]
    ledger.run_in_transaction(lambda connection: record(connection, arrivals, loader.load(), NOW))
    append_evidence(ledger)
    for number, about in enumerate(("visitor:1", "Q1")):
        outcome = termijn("certificate", about, "--to", f"c{number}")
        assert (outcome.code, "are outstanding and not certified" in outcome.err) == (0, True)
        assert sorted(path.name for path in Path(f"c{number}").iterdir()) == [
            "certificate.json",
            "certificate.pdf",
        ]
    outcome = termijn("certificate", "visitor:2", "--to", "c9")
    assert (
        outcome.err
        == "termijn: visitor:2: no such subject or request is known; write a subject as kind:id\n"
    )
    assert not Path("c9").exists()


def test_a_certificate_is_verified_without_a_ledger(termijn: Call, ledger: Database) -> None:
    """It needs only the distributed keys; what is outstanding is reported as unproven."""
    at = "2020-01-01T12:00:00Z"
    arrivals = [arrival(feedback("e1", at), loader.load())]
    ledger.run_in_transaction(lambda connection: record(connection, arrivals, loader.load(), NOW))
    append_evidence(ledger)
    assert termijn("certificate", "visitor:1", "--to", "c1").code == 0
    Path(".termijn", "ledger.sqlite").unlink()
    file, keys = "c1/certificate.json", (".termijn/keys",)
    outcome = termijn("evidence", "verify-certificate", file, "--keys", *keys)
    assert (outcome.code, outcome.out) == (
        0,
        "0 lines of erased data are proven by 0 entries, signed until 2026-03-01T12:00:00Z\n",
    )
    assert outcome.err == "the certificate lists data as outstanding: that is not proven\n"
    unanchored = termijn("evidence", "verify-certificate", file)
    assert "the keys are from the certificate itself" in unanchored.err


def test_an_altered_certificate_is_one_line_and_exit_code_1(
    termijn: Call, ledger: Database
) -> None:
    """The line names the place that is wrong."""
    arrivals = [arrival(feedback("e1", "2026-01-01T12:00:00Z"), loader.load())]
    ledger.run_in_transaction(lambda connection: record(connection, arrivals, loader.load(), NOW))
    append_evidence(ledger)
    termijn("certificate", "visitor:1", "--to", "c1")
    file = Path("c1", "certificate.json")
    file.write_text(file.read_text().replace('"since":0', '"since":1'))
    outcome = termijn("evidence", "verify-certificate", str(file))
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("termijn: heads: its head was not signed by ")
