"""The keys of requests are encrypted apart from dead letters; older ones stay readable."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from services.crypto.envelope import AeadCipher, DecryptionKeyMissing, InvalidKeyFile
from services.crypto.jwe import decrypt, new_key, to_public
from services.deleter.deleter import Deleter
from services.ledger import tables
from services.policy.ids import request_id
from services.requests import disclosures
from services.requests.command_attachments import RequestAttachments
from services.requests.request_keys import RequestKeys, sealed_with
from services.storage.database import Database
from tests.contract.event_builders import Event, event
from tests.contract.ledgers import POLICY, FakeBus, record_events, select_rows
from tests.contract.null_observer import NullObserver

OLD, NEW = AeadCipher(b"o" * 32), AeadCipher(b"n" * 32)
NOW = datetime(2026, 4, 4, 9, tzinfo=UTC)
SYSTEM_KEY = new_key()


def fail_to_load_key() -> AeadCipher:
    raise InvalidKeyFile(Path("/k/dead-letters.key"), "cannot be read: it is not there")


BEFORE = RequestKeys(cipher=OLD, former_cipher=fail_to_load_key)
"""As it was while the key of dead letters sealed requests too."""
AFTER = RequestKeys(cipher=NEW, former_cipher=lambda: OLD)
WITHOUT = RequestKeys(cipher=NEW, former_cipher=fail_to_load_key)


def store_correction(keys: RequestKeys, ledger: Database, customer: str) -> None:
    """Store a request's correction as the rights role does."""
    noted = {"name": f"the new name of {customer}"}
    ledger.run_in_transaction(
        lambda c: disclosures.store_corrections(c, keys, customer, "Q1", noted, NOW)
    )


def rectification_request(customer: str) -> list[Event]:
    """Return a rectification request for an order, with a verified identity."""
    request_fields = {"subject": customer, "request_id": "Q1"}
    number = customer.removeprefix("consumer:")
    return [
        event(
            f"order-{number}",
            "orders.order-placed",
            "2026-03-15T13:00:00Z",
            order_id=f"O{number}",
            customer_id="C1",
            consumer_id=number,
            amount="12.50",
            payment={"method": "ideal"},
        ),
        event(
            f"asked-{number}",
            "privacy.request-received",
            "2026-04-02T09:00:00Z",
            **request_fields,
            right="rectification",
        ),
        event(
            f"verified-{number}",
            "privacy.identity-verified",
            "2026-04-03T09:00:00Z",
            **request_fields,
        ),
    ]


def test_the_old_key_still_decrypts_and_no_longer_encrypts(
    ledger: Database,
) -> None:
    """After an upgrade there is one request from before and one from after it."""
    store_correction(BEFORE, ledger, "consumer:K1")
    store_correction(AFTER, ledger, "consumer:K2")
    key_ids = {row.subject: row.key_id for row in select_rows(ledger, tables.request_key)}
    assert key_ids == {"consumer:K1": OLD.key_id, "consumer:K2": NEW.key_id}
    for customer in key_ids:
        [noted] = select_rows(ledger, tables.correction, request_id=request_id(customer, "Q1"))
        with ledger.transaction() as connection:
            private = AFTER.private(connection, customer, "Q1")
        assert private is not None
        assert decrypt(noted.text, private, "Q1") == {"name": f"the new name of {customer}"}
    with ledger.transaction() as connection:
        assert sealed_with(connection) == {OLD.key_id: 1, NEW.key_id: 1}


def test_a_key_that_an_older_process_made_meanwhile_is_the_requests(ledger: Database) -> None:
    """During an upgrade both versions run at once, and the key that was made first counts."""
    asked_for = [("consumer:K1", "Q1")]
    first = ledger.run_in_transaction(lambda c: BEFORE.public(c, asked_for, NOW))
    assert ledger.run_in_transaction(lambda c: AFTER.public(c, asked_for, NOW)) == first
    with ledger.transaction() as connection:
        private = AFTER.private(connection, "consumer:K1", "Q1")
    assert private is not None
    assert [to_public(private)] == list(first.values())


@pytest.mark.parametrize(
    "keys",
    [WITHOUT, RequestKeys(cipher=NEW, former_cipher=lambda: AeadCipher(b"x" * 32))],
    ids=["no older key", "another one"],
)
def test_a_missing_key_of_requests_is_named_in_one_line(
    ledger: Database, keys: RequestKeys
) -> None:
    """The line has the key's id and the settings, but neither the request nor the person."""
    store_correction(BEFORE, ledger, "consumer:K1")
    with ledger.transaction() as connection, pytest.raises(DecryptionKeyMissing) as refused:
        keys.private(connection, "consumer:K1", "Q1")
    assert str(refused.value) == (
        f"the key of a request: encrypted with the key {OLD.key_id}, which is not here;"
        " put that file back as TERMIJN_REQUEST_KEY_FILE,"
        " or as TERMIJN_KEY_FILE if it encrypts dead letters too"
    )


@dataclass
class RecordingObserver(NullObserver):
    """An observer that always passes the catch-up check, and keeps what could not be sent."""

    undeliverable_: list[tuple[str, str]] = field(default_factory=list)

    def command_undeliverable(self, system: str, command: UUID, why: str) -> None:
        self.undeliverable_.append((system, why))


def test_a_request_that_cannot_be_decrypted_delays_no_other(ledger: Database) -> None:
    """The deleter's host lacks the old key: that command is escalated, and the other is sent."""
    now = datetime.now(UTC)
    record_events(
        ledger,
        [*rectification_request("consumer:K1"), *rectification_request("consumer:K2")],
        now - timedelta(hours=1),
    )
    store_correction(BEFORE, ledger, "consumer:K1")
    store_correction(WITHOUT, ledger, "consumer:K2")
    heard, bus = RecordingObserver(), FakeBus()
    deleter = Deleter(
        ledger=ledger,
        publisher=bus,
        catch_up_check=heard,
        policy=POLICY,
        observer=heard,
        now=lambda: datetime.now(UTC),
        attachments=RequestAttachments(
            keys=WITHOUT, key_of=lambda name: to_public(SYSTEM_KEY) if name == "psp" else None
        ),
        wait_before_retry=lambda: None,
    )
    for _ in range(3):
        deleter.run_once()
    rectified = {
        (command.system, command.value["subject"])
        for command in bus.sent
        if command.value["action"] == "rectify"
    }
    assert {
        ("psp", "consumer:K2"),
        ("orders", "consumer:K1"),
        ("orders", "consumer:K2"),
    } <= rectified
    assert ("psp", "consumer:K1") not in rectified
    [(system, why)] = heard.undeliverable_
    assert system == "psp"
    assert f"encrypted with the key {OLD.key_id}" in why
    assert "K1" not in why
    [waiting] = select_rows(
        ledger, tables.command, action="rectify", system="psp", subject="consumer:K1"
    )
    assert waiting.escalated_at is not None
