"""A certificate proves an erasure without the log, and reveals nothing of the others in its message.

Each on SQLite and on PostgreSQL.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.crypto.keyring import JsonWebKey, Keyring, new_key
from services.crypto.pseudonyms import Pseudonymizer
from services.deleter.acknowledgement import Acknowledgement, AcknowledgementMessage, Checked
from services.deleter.settlement import apply_acknowledgements
from services.evidence.build_certificate import build_certificate
from services.evidence.certificate import as_json
from services.evidence.seal_entries import PseudonymKeyMismatch, append_entries, rekey
from services.evidence.verify_certificate import (
    CertificateNotProven,
    VerifiedCertificate,
    verify_certificate,
)
from services.ledger import tables
from services.storage.database import Database
from tests.contract.event_builders import feedback
from tests.contract.ledgers import (
    POLICY,
    FakeBus,
    claim_all,
    instant,
    new_ledger,
    record_events,
    run_as_role,
    select_rows,
    send_due,
    visitors_of_a_lane,
)

KEY = new_key()
NEVER_SAMPLED = replace(POLICY, verify_one_in=10**12)
TRUSTED = Keyring((KEY.public(),))
PSEUDONYMIZER = Pseudonymizer(bytes(32))
JOINED, FAR = "2020-01-01T12:00:00Z", "2060-01-01T00:00:00Z"
VISITORS = visitors_of_a_lane(500)


def seal(ledger: Database, pseudonymizer: Pseudonymizer = PSEUDONYMIZER, now: str = FAR) -> None:
    """Append the queued entries, and sign a head."""
    run_as_role(
        ledger,
        "deleter",
        lambda connection: append_entries(
            connection,
            pseudonymizer,
            lambda: Keyring((KEY,)),
            instant(now),
            head_every=timedelta(microseconds=1),
        ),
    )


def erase(ledger: Database, visitors: list[str]) -> None:
    """Erase the data of visitors in one message, and prove it in the answer."""
    record_events(ledger, [feedback(f"e{id_}", JOINED, visitor=id_) for id_ in visitors], JOINED)
    claim_all(ledger, FAR)
    send_due(ledger, FakeBus(), FAR)
    answer(ledger, f"m{visitors[0]}", "sent")


def answer(ledger: Database, message_id: str, state: str, now: str = FAR) -> None:
    """Let the system answer every command in a state: it erased, read again, and found nothing."""
    answers = tuple(
        Acknowledgement(
            command_id=row.command_id,
            system="website",
            attempt=1,
            status="done",
            counts={"feedback": 1},
            ground=None,
            at=instant(FAR),
            checked=Checked(records=1, found={"feedback": 0}),
        )
        for row in select_rows(ledger, tables.command, state=state)
    )
    message = AcknowledgementMessage(
        acknowledgement_id=message_id, system="website", acknowledgements=answers
    )
    run_as_role(
        ledger,
        "acknowledgements",
        lambda connection: apply_acknowledgements(
            connection, [message], NEVER_SAMPLED, instant(now)
        ),
    )


def certify(
    ledger: Database, visitor: str, pseudonymizer: Pseudonymizer = PSEUDONYMIZER
) -> dict[str, Any]:
    """Return the certificate of a visitor, as its JSON file has it."""
    with ledger.transaction() as connection:
        certificate = build_certificate(
            connection, f"visitor:{visitor}", NEVER_SAMPLED, pseudonymizer, instant(FAR)
        )
    content: dict[str, Any] = json.loads(as_json(certificate))
    return content


def check(content: dict[str, Any], trusted: Keyring = TRUSTED) -> VerifiedCertificate:
    """Verify a certificate from its text."""
    return verify_certificate(json.dumps(content), trusted)


def test_a_certificate_of_one_of_500_verifies_offline(ledger: Database) -> None:
    """Everybody's does, and it needs nine hashes of the message."""
    erase(ledger, VISITORS)
    seal(ledger)
    [message] = select_rows(ledger, tables.message)
    assert len(message.commands) == 500 * 16
    for visitor in (VISITORS[0], VISITORS[255], VISITORS[499]):
        content = certify(ledger, visitor)
        verified = check(content)
        assert (verified.lines, verified.entries, verified.is_complete) == (1, 1, True)
        [proof] = content["erased"][0]["evidence"]
        assert (proof["entry"]["items"], proof["entry"]["states"]) == (500, "500e")
        assert len(proof["item_path"]) in (8, 9)


def test_a_certificate_contains_nothing_of_another(ledger: Database) -> None:
    """Neither names, commands, leaves and pseudonyms of other people, nor other entries."""
    erase(ledger, VISITORS[:5])
    seal(ledger)
    text = json.dumps(certify(ledger, VISITORS[2]), separators=(",", ":"))
    for row in select_rows(ledger, tables.command):
        is_own = row.subject == f"visitor:{VISITORS[2]}"
        for kind, name in (("command", str(row.command_id)), ("subject", row.subject)):
            pseudonym = PSEUDONYMIZER.pseudonym(kind, name).hex()  # type: ignore[arg-type]
            assert (pseudonym in text) == is_own, (kind, is_own)
            assert (f'"{name}"' in text) == (is_own and kind == "subject")
    entries = [row.entry for row in select_rows(ledger, tables.evidence) if row.entry in text]
    assert [json.loads(entry)["kind"] for entry in entries] == ["answered"]


def flip(text: str) -> str:
    """Return a hash with another first digit."""
    return ("1" if text[0] == "0" else "0") + text[1:]


def proof_of(content: dict[str, Any]) -> dict[str, Any]:
    proof: dict[str, Any] = content["erased"][0]["evidence"][0]
    return proof


TAMPERINGS: dict[str, Callable[[dict[str, Any]], None]] = {
    "subject": lambda c: c.update(reference=flip(c["reference"])),
    "command": lambda c: proof_of(c).update(command=flip(proof_of(c)["command"])),
    "item": lambda c: proof_of(c).update(item=proof_of(c)["item"] ^ 1),
    "item, below zero": lambda c: proof_of(c).update(item=-1),
    "item path": lambda c: proof_of(c)["item_path"].__setitem__(0, "00" * 32),
    "item path, shorter": lambda c: proof_of(c)["item_path"].pop(),
    "item path, longer": lambda c: proof_of(c)["item_path"].append("00" * 32),
    "states": lambda c: proof_of(c)["entry"].update(states="4ee"),
    "another state": lambda c: proof_of(c)["entry"].update(states="5o"),
    "items": lambda c: proof_of(c)["entry"].update(items=6, states="6e"),
    "root": lambda c: proof_of(c)["entry"].update(root=flip(proof_of(c)["entry"]["root"])),
    "time of the entry": lambda c: proof_of(c)["entry"].update(at="2059-01-01T00:00:00Z"),
    "a field more": lambda c: proof_of(c)["entry"].update(more=1),
    "number of the entry": lambda c: proof_of(c).update(number=proof_of(c)["number"] - 1),
    "entry path": lambda c: proof_of(c)["entry_path"].__setitem__(0, "00" * 32),
    "head of the entry": lambda c: proof_of(c).update(head=99),
    "head": lambda c: c["heads"][0]["head"].update(root=flip(c["heads"][0]["head"]["root"])),
    "number of the head": lambda c: c["heads"][0]["head"].update(number=99),
    "signature": lambda c: c["heads"][0].update(signature=flip(c["heads"][0]["signature"])),
    "last head": lambda c: c["head"]["head"].update(number=99),
    "system": lambda c: c["erased"][0].update(system="crm"),
    "action": lambda c: c["erased"][0].update(action="pseudonymise"),
    "proof": lambda c: c["erased"][0].update(proof="attested"),
    "unknown proof": lambda c: c["erased"][0].update(proof="promised"),
    "time of the proof": lambda c: c["erased"][0].update(proven_at="2059-01-01T00:00:00Z"),
    "a line without proof": lambda c: c["erased"][0].update(evidence=[]),
    "no heads": lambda c: c.update(heads=[]),
    "no keys": lambda c: c.pop("keys"),
    "no certificate": lambda c: c.update(certificate=2),
}


@pytest.fixture(scope="module")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The certificate of one of five, on SQLite: it is the same on any database."""
    ledger = new_ledger(f"sqlite:///{tmp_path_factory.mktemp('genuine') / 'ledger.sqlite'}")
    erase(ledger, VISITORS[:5])
    seal(ledger)
    text = json.dumps(certify(ledger, VISITORS[2]))
    ledger.close()
    return text


def test_a_genuine_certificate_is_verified(genuine: str) -> None:
    """So that what the next test finds is what it altered."""
    assert verify_certificate(genuine, TRUSTED).lines == 1


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_whatever_is_altered_in_a_certificate_is_found(genuine: str, tampering: str) -> None:
    """Leaf, path, place, state, entry, head, signature, or the line itself; also with its own keys."""
    content = json.loads(genuine)
    TAMPERINGS[tampering](content)
    for trusted in (TRUSTED, None):
        with pytest.raises(CertificateNotProven):
            verify_certificate(json.dumps(content), trusted)


def test_a_certificate_signed_by_another_is_refused(genuine: str) -> None:
    """Its own keys are those of the forger."""
    other: JsonWebKey = new_key()
    with pytest.raises(CertificateNotProven, match="which is not a trusted key"):
        verify_certificate(genuine, Keyring((other.public(),)))


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"certificate":1}', "[" * 100_000, "\0"])
def test_a_file_that_is_no_certificate_is_one_error(text: str) -> None:
    """It may contain anything."""
    with pytest.raises(CertificateNotProven, match=r"^certificate: "):
        verify_certificate(text)


def test_each_entry_is_proven_under_the_first_head_that_covers_it(ledger: Database) -> None:
    """Later heads and later entries change nothing in the certificate but the last head."""
    erase(ledger, VISITORS[:3])
    seal(ledger)
    before = certify(ledger, VISITORS[1])
    erase(ledger, VISITORS[3:6])
    seal(ledger, now="2060-01-01T00:00:10Z")
    after = certify(ledger, VISITORS[1])
    assert (after["erased"], after["heads"]) == (before["erased"], before["heads"])
    assert after["head"] != before["head"]
    assert check(after).lines == check(certify(ledger, VISITORS[4])).lines == 1


def test_an_answer_that_comes_again_changes_no_certificate(ledger: Database) -> None:
    """The agent lost that it had sent it, and sends it in another message, seconds later."""
    erase(ledger, VISITORS[:3])
    seal(ledger)
    before = certify(ledger, VISITORS[1])
    answer(ledger, "m again", "erased", now="2060-01-01T00:00:10Z")
    seal(ledger, now="2060-01-01T00:00:20Z")
    after = certify(ledger, VISITORS[1])
    assert after["erased"] == before["erased"]
    assert check(after).lines == 1


def test_an_entry_of_a_purged_message_proves_no_command_of_a_later_one(ledger: Database) -> None:
    """SQLite gives a message the number of the last one if that is purged."""
    erase(ledger, VISITORS[:1])
    seal(ledger)
    [purged] = select_rows(ledger, tables.message)
    erase(ledger, VISITORS[1:2])
    run_as_role(
        ledger,
        "deleter",
        lambda connection: append_entries(connection, PSEUDONYMIZER, None, instant(FAR)),
    )
    with ledger.transaction() as connection:
        column = tables.message.c.message_id
        connection.execute(tables.message.delete().where(column == purged.message_id))
        for table in (tables.message, tables.command, tables.evidence):
            named = table.update().where(table.c.message_id.is_not(None))
            connection.execute(named.values(message_id=purged.message_id))
    content = certify(ledger, VISITORS[1])
    assert [line["why"] for line in content["outstanding"]] == ["unsealed"]
    seal(ledger, now="2060-01-01T00:00:10Z")
    assert check(certify(ledger, VISITORS[1])).lines == 1


def test_a_purged_neighbour_changes_no_certificate(ledger: Database) -> None:
    """The leaf of a purged command stays in its message."""
    erase(ledger, VISITORS[:3])
    seal(ledger)
    before = certify(ledger, VISITORS[1])
    [message] = select_rows(ledger, tables.message)
    rows = select_rows(ledger, tables.command, subject=f"visitor:{VISITORS[0]}")
    with ledger.transaction() as connection:
        purged = message.commands.replace(rows[0].command_id.bytes, bytes(16))
        connection.execute(tables.message.update().values(commands=purged))
    assert certify(ledger, VISITORS[1]) == before


def test_without_the_key_of_the_log_there_is_no_certificate(ledger: Database) -> None:
    """A machine without `evidence.key` makes a key of its own, which finds nothing in the log."""
    erase(ledger, VISITORS[:1])
    seal(ledger)
    with pytest.raises(PseudonymKeyMismatch, match=r"put that evidence\.key back"):
        certify(ledger, VISITORS[0], Pseudonymizer(b"\1" * 32))


def test_what_another_key_has_made_is_not_certified(ledger: Database) -> None:
    """With another `evidence.key` nothing shows whose leaf it is, which is the line's reason."""
    erase(ledger, VISITORS[:3])
    seal(ledger)
    ledger.run_in_transaction(rekey)
    other = Pseudonymizer(b"\1" * 32)
    seal(ledger, other)
    content = certify(ledger, VISITORS[1], other)
    assert content["erased"] == []
    assert [line["why"] for line in content["outstanding"]] == ["unlinkable"]
    assert not check(content).is_complete
