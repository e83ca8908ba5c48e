"""Alerts on proof: contradictory acknowledgements, keys, policies and the evidence itself.

As in `test_alerts`: a real Prometheus sees each fault, the runbook fixes it, and the alert clears.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import UUID, uuid4

from schemas.codec import Codec
from schemas.schema_files import load
from schemas.topics import acknowledgement_topic
from services.crypto.key_directory import KeyDirectory
from services.kafka.client import KafkaClient
from services.kafka.producer import OutgoingMessage
from tests.batches import encode_acknowledgements
from tests.e2e.running import Running, business_event
from tests.e2e.watched import Watched

SYSTEM = "printer"
CODEC = Codec(load())


def customer_who_left(name: str) -> list[dict[str, object]]:
    """Return a customer who left so long ago that the whole term of R1 is over."""
    return [
        business_event(f"{what}-{name}", f"customers.customer-{what}", at, customer_id=name)
        for what, at in (
            ("signed-up", "2019-01-01T00:00:00Z"),
            ("terminated", "2021-01-01T00:00:00Z"),
        )
    ]


def answer(running: Running, action: str, status: str, **counts: int) -> None:
    """Send the printer's acknowledgement, made by hand, of its command with this action."""
    query = f"system = '{SYSTEM}' AND action = '{action}' AND state = 'sent'"
    running.until(f"the {action} is out", lambda: running.count("command", query) > 0)
    rows = running.query(f"SELECT command_id, attempt FROM command WHERE {query} LIMIT 1")
    [(command_id, attempt)] = rows
    topic = acknowledgement_topic(SYSTEM)
    value = encode_acknowledgements(CODEC, SYSTEM, _answer(command_id, attempt, status, counts))
    signer = KeyDirectory(path=running.data / "keys").signer(SYSTEM)
    headers = signer.sign(topic.name, b"", value, datetime.now(UTC))
    message = OutgoingMessage(topic=topic.name, key=b"", value=value, headers=headers)
    KafkaClient(running.bootstrap).open_producer().send([message])


def _answer(
    command_id: UUID, attempt: int, status: str, counts: dict[str, int]
) -> dict[str, object]:
    return {
        "acknowledgement_id": str(uuid4()),
        "command_id": str(command_id),
        "system": SYSTEM,
        "attempt": attempt,
        "status": status,
        "counts": counts,
        "ground": None,
        "detail": None,
        "at": datetime.now(UTC),
        "disclosure": None,
    }


@contextmanager
def nothing_sealed(running: Running) -> Iterator[threading.Event]:
    """Lock the end of the evidence's chain from outside until the event is set, or the block ends."""
    enough, held = threading.Event(), threading.Event()

    def hold() -> None:
        with running.connected() as connection:
            connection.execute("SELECT * FROM evidence_chain FOR UPDATE")
            held.set()
            enough.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(30)
    try:
        yield enough
    finally:
        enough.set()
        thread.join()


def test_faults_of_the_evidence_raise_alerts_and_are_fixed(watched: Watched) -> None:
    """The faults follow each other while nothing is sealed, since that alert alone takes longer."""
    running = watched.running
    running.start("sample-systems", options=("--silent", SYSTEM))
    watched.publish(*customer_who_left("C9"))
    running.until("something is sealed", lambda: running.count("evidence") > 0)
    with nothing_sealed(running) as enough:
        answers_that_cannot_be_right(watched)
        a_system_without_keys(watched)
        a_role_that_does_not_verify(watched)
        a_policy_that_not_all_roles_have(watched)
        watched.assert_firing(("TermijnEvidenceUnsealed", {}), seconds=240)
        enough.set()
        watched.assert_cleared(("TermijnEvidenceUnsealed", {}))
    a_changed_link(watched)


def answers_that_cannot_be_right(watched: Watched) -> None:
    """The printer reports that it has no data that the ledger knows of, and then that it has."""
    answer(watched.running, "erase", "nothing_held")
    watched.assert_firing(("TermijnSuspiciousAnswer", {"system": SYSTEM}))
    answer(watched.running, "verify", "done", rows=1)
    watched.assert_firing(("TermijnErasureReopened", {"system": SYSTEM}))
    watched.running.end("sample-systems")
    watched.running.start("sample-systems")  # the fixed system acknowledges repetitions
    watched.assert_cleared(("TermijnSuspiciousAnswer", {}), ("TermijnErasureReopened", {}))


def a_system_without_keys(watched: Watched) -> None:
    """The public keys of a system are lost, and the system sends them again."""
    keys = KeyDirectory(path=watched.running.data / "keys")
    lost = keys.system(SYSTEM).path
    key_file = watched.running.directory / "printer.jwks"
    shutil.move(lost, key_file)
    watched.assert_firing(("TermijnSystemsWithoutKeys", {}))
    watched.fix("TermijnSystemsWithoutKeys", SYSTEM=SYSTEM, FILE=str(key_file))
    watched.assert_cleared(("TermijnSystemsWithoutKeys", {}))


def a_role_that_does_not_verify(watched: Watched) -> None:
    """A role is started with TERMIJN_SIGNING off."""
    watched.running.setting("TERMIJN_SIGNING", "off")
    watched.running.end("acknowledgements")
    watched.running.start("acknowledgements")
    watched.assert_firing(("TermijnUnsigned", {}))
    watched.running.setting("TERMIJN_SIGNING", "required")
    watched.running.end("acknowledgements")
    watched.running.start("acknowledgements")
    watched.assert_cleared(("TermijnUnsigned", {}))


def a_policy_that_not_all_roles_have(watched: Watched) -> None:
    """Another version is activated, and the watch, which has no ledger, still has the former file."""
    running = watched.running
    file = running.directory / "policy.yaml"
    text = file.read_text("utf-8")
    file.write_text(text.replace('version: "2021-05-19.7"', 'version: "2021-05-19.8"'), "utf-8")
    activate = ("policy", "activate", "--reason", "a new version")
    digest = running.run(*activate).stderr.strip().rpartition("--accept ")[2]
    assert running.run(*activate, "--accept", digest).returncode == 0
    watched.assert_firing(("TermijnPoliciesDiffer", {}))
    watched.fix("TermijnPoliciesDiffer")
    running.end("watch")
    running.start("watch")
    watched.assert_cleared(("TermijnPoliciesDiffer", {}))


def a_changed_link(watched: Watched) -> None:
    """An entry of the evidence is changed in the database, and restored."""
    running = watched.running
    [(number, entry)] = running.query(
        "SELECT number, entry FROM evidence ORDER BY number DESC LIMIT 1"
    )
    changed = "UPDATE evidence SET entry = entry || ' ' WHERE number = "
    running.execute(f"{changed}{number}")
    watched.assert_firing(("TermijnEvidenceBroken", {}), seconds=90)
    assert running.run("evidence", "verify").returncode == 1
    running.execute(f"UPDATE evidence SET entry = rtrim(entry) WHERE number = {number}")
    assert running.query(f"SELECT entry FROM evidence WHERE number = {number}") == [(entry,)]
    watched.assert_cleared(("TermijnEvidenceBroken", {}), seconds=90)
