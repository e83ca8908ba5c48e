"""The doctor's checks, without servers: planted faults are found, with the command that fixes each."""

from __future__ import annotations

import base64
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemas.topics import TAGGED
from services.crypto.envelope import read_key
from services.crypto.key_directory import KeyDirectory
from services.kafka.topic_checks import TopicState
from services.kafka.topic_retention import RetentionRequirement
from services.ledger import migrate
from services.operations.doctor.cluster import check_topics
from services.operations.doctor.findings import Finding
from services.operations.doctor.keys import (
    EncryptionKeyFiles,
    check_key_files,
    check_keys,
    check_requests,
)
from services.operations.doctor.ledger import check_clock
from services.requests.request_keys import RequestKeys, destroy_request_key
from services.storage.database import open_database

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WEEK_MS = "604800000"
DAY_MS = "86400000"
SOUND_TAGS = {
    "cleanup.policy": "delete",
    "retention.ms": WEEK_MS,
    "retention.bytes": "-1",
    "segment.ms": DAY_MS,
}


def tags(state: TopicState | None) -> list[Finding]:
    """Return the findings about the topic of tagged events."""
    states = {} if state is None else {TAGGED.name: state}
    return list(check_topics([RetentionRequirement(topic=TAGGED, kind="own")], states))


def keys(path: Path, *systems: str, at: datetime = NOW) -> dict[str, Finding]:
    """Return the findings about signing keys, by owner."""
    findings = check_keys(KeyDirectory(path=path), systems, at, required=True)
    return {finding.target: finding for finding in findings}


def trusted_keys(path: Path, *systems: str) -> KeyDirectory:
    """Return a directory with keys of the deleter, and of systems that are trusted."""
    directory = KeyDirectory(path=path)
    directory.create()
    for system in systems:
        directory.trust(system, directory.create(system))
    return directory


def test_a_topic_as_in_the_catalogue_is_ok() -> None:
    """Six partitions, kept for a week."""
    [finding] = tags(TopicState(partitions=6, settings=SOUND_TAGS))
    assert (finding.state, finding.problem) == ("ok", "1 exist as in the catalogue")


def test_a_missing_topic_is_a_fault() -> None:
    """It is named, and `apply` creates it."""
    [finding] = tags(None)
    assert (finding.state, finding.target, finding.problem) == (
        "error",
        "retention.tagged.v1",
        "does not exist",
    )
    assert finding.fix == "`termijn topics apply`"


def test_a_topic_that_is_kept_too_long_is_a_fault() -> None:
    """Retention without limit is longer than a week."""
    [finding] = tags(TopicState(partitions=6, settings={**SOUND_TAGS, "retention.ms": "-1"}))
    assert (finding.state, finding.fix) == ("error", "`termijn topics apply`")
    assert finding.problem == "records stay without limit, and its term is 8.0 days"


def test_another_number_of_partitions_is_a_warning() -> None:
    """It cannot be changed under data, so no fix is offered."""
    [finding] = tags(TopicState(partitions=4, settings=SOUND_TAGS))
    assert (finding.state, finding.problem) == (
        "warning",
        "has 4 partitions, but the catalogue has 6",
    )


@pytest.mark.parametrize(
    ("seconds", "state"), [(0.0, "ok"), (1.0, "ok"), (1.1, "error"), (-1.1, "error")]
)
def test_a_clock_may_be_a_second_off(seconds: float, state: str) -> None:
    """Beyond a second, in either direction, nothing would be commanded."""
    finding = check_clock(timedelta(seconds=seconds), timedelta(seconds=1))
    assert finding.state == state
    assert ("timedatectl" in finding.fix) == (state == "error")


def test_valid_keys_are_ok(tmp_path: Path) -> None:
    """The deleter's own, and a system's."""
    trusted_keys(tmp_path, "crm")
    assert {name: finding.state for name, finding in keys(tmp_path, "crm").items()} == {
        "deleter": "ok",
        "crm": "ok",
    }


def test_a_deleter_without_keys_is_a_fault(tmp_path: Path) -> None:
    """It could sign no command."""
    finding = keys(tmp_path)["deleter"]
    assert finding.state == "error"
    assert "`termijn keys make`" in finding.fix


def test_a_private_key_that_everybody_may_read_is_a_fault(tmp_path: Path) -> None:
    """A person who can read it can command an erasure."""
    directory = trusted_keys(tmp_path)
    directory.private().path.chmod(0o644)
    finding = keys(tmp_path)["deleter"]
    assert finding.state == "error"
    assert "0600" in finding.problem


def test_a_system_without_trusted_keys_is_a_fault(tmp_path: Path) -> None:
    """Its answers would not be trusted."""
    trusted_keys(tmp_path, "crm")
    finding = keys(tmp_path, "crm", "psp")["psp"]
    assert finding.state == "error"
    assert "`termijn keys trust psp psp.jwks`" in finding.fix


@pytest.mark.parametrize(
    ("days_left", "state"), [(-1, "error"), (0, "error"), (13, "warning"), (15, "ok")]
)
def test_the_end_of_the_last_key_is_reported_two_weeks_before(
    tmp_path: Path, days_left: int, state: str
) -> None:
    """Its successor must be distributed before; at the end itself the key is not valid."""
    directory = trusted_keys(tmp_path)
    ring = directory.create("crm")
    [key] = ring
    directory.trust("crm", type(ring)((key.with_expiry(NOW + timedelta(days=days_left)),)))
    assert keys(tmp_path, "crm")["crm"].state == state


def test_running_without_signatures_is_a_warning(tmp_path: Path) -> None:
    """They are off for trying out only."""
    [finding] = check_keys(KeyDirectory(path=tmp_path), ["crm"], NOW, required=False)
    assert (finding.state, finding.fix) == ("warning", "set TERMIJN_SIGNING=required")


def seals(tmp_path: Path, **variables: Path) -> dict[str, Finding]:
    """Return the findings about both encryption keys, by check."""
    return {
        finding.check: finding for finding in check_key_files(seal_files(tmp_path, **variables))
    }


def seal_files(data: Path, **variables: Path) -> EncryptionKeyFiles:
    """The files of both seals, where those variables are set."""
    key_file, of_requests = (
        variables.get(f"TERMIJN_{prefix}KEY_FILE") for prefix in ("", "REQUEST_")
    )
    return EncryptionKeyFiles(
        dead_letters=key_file or data / "dead-letters.key",
        dead_letters_named=key_file is not None,
        requests=of_requests or data / "requests.key",
        requests_named=of_requests is not None,
    )


def key_file(path: Path, letter: bytes) -> Path:
    """A key of 32 equal letters."""
    path.write_text(base64.b64encode(letter * 32).decode(), "ascii")
    path.chmod(0o600)
    return path


def test_a_missing_key_file_that_is_configured_is_a_fault(tmp_path: Path) -> None:
    """A new key would not decrypt what the old one encrypted."""
    assert {finding.state for finding in seals(tmp_path).values()} == {"ok"}
    named = {"TERMIJN_KEY_FILE": tmp_path / "d", "TERMIJN_REQUEST_KEY_FILE": tmp_path / "r"}
    findings = seals(tmp_path, **named)
    assert {finding.state for finding in findings.values()} == {"error"}
    assert findings["dead-letter key"].fix.endswith("or fix TERMIJN_KEY_FILE")
    assert findings["request key"].fix.endswith("or fix TERMIJN_REQUEST_KEY_FILE")


def test_a_key_of_requests_is_required_beside_a_configured_key_of_dead_letters(
    tmp_path: Path,
) -> None:
    """Each role would make its own."""
    findings = seals(tmp_path, TERMIJN_KEY_FILE=key_file(tmp_path / "d", b"d"))
    assert (findings["dead-letter key"].state, findings["request key"].state) == ("ok", "error")
    assert "TERMIJN_REQUEST_KEY_FILE must be set" in findings["request key"].problem


def test_one_key_for_dead_letters_and_requests_is_a_warning(tmp_path: Path) -> None:
    """Operators who may decrypt dead letters could then decrypt disclosed data."""
    both = {
        "TERMIJN_KEY_FILE": key_file(tmp_path / "d", b"d"),
        "TERMIJN_REQUEST_KEY_FILE": key_file(tmp_path / "r", b"d"),
    }
    assert seals(tmp_path, **both)["request key"].state == "warning"
    key_file(tmp_path / "r", b"r")
    assert seals(tmp_path, **both)["request key"].state == "ok"


def test_encrypted_requests_whose_key_is_missing_are_reported(tmp_path: Path) -> None:
    """Requests from before they had their own key need the older one."""
    chosen = seal_files(tmp_path)
    old = read_key(key_file(tmp_path / "dead-letters.key", b"d"))
    new = read_key(key_file(tmp_path / "requests.key", b"r"))
    with closing(open_database("sqlite://")) as ledger:
        migrate.create_schema(ledger)
        for number, seal in enumerate((old, old, new)):
            keys = RequestKeys(cipher=seal, former_cipher=lambda: old)
            requests = [("consumer:K1", f"Q{number}")]
            with ledger.transaction() as connection:
                keys.public(connection, requests, NOW)
        [finding] = check_requests(ledger, chosen)
        assert (finding.state, finding.problem) == ("ok", "3 keys can be opened")
        (tmp_path / "dead-letters.key").unlink()
        [finding] = check_requests(ledger, chosen)
        assert finding.state == "error"
        assert (
            finding.problem
            == f"2 keys are encrypted with key {old.key_id}, which is not configured"
        )
        ledger.run_in_transaction(
            lambda c: [destroy_request_key(c, "consumer:K1", f"Q{n}", NOW) for n in (0, 1)]
        )
        [finding] = check_requests(ledger, chosen)
        assert finding.state == "ok"
