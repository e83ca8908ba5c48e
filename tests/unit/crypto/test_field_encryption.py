"""Encrypting the fields of published events, and decrypting them again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from schemas.cloudevents import hash_event
from schemas.codec import Codec
from schemas.schema_files import load
from schemas.topics import business_topic
from services.crypto.field_decryption import ERASED
from services.crypto.field_encryption import (
    FieldNotEncryptable,
    NoKeyHolder,
    check_encrypted_fields,
)
from services.crypto.field_paths import FieldNotText
from services.crypto.field_tokens import TokenTampered
from services.policy.ids import event_id
from tests.unit.crypto.stage import NOW, Vault, a_vault, document, order, policy, policy_of

ORDER = event_id("orders.order-placed", "/orders", "order-O1")


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    """A vault in memory."""
    with a_vault(tmp_path) as vault:
        yield vault


def test_encrypted_fields_are_unreadable_and_are_decrypted_unchanged(vault: Vault) -> None:
    """Decision fields, and fields that the policy leaves plain, stay readable."""
    event = order()
    sealed = vault.encrypted(event)
    assert "canary" not in json.dumps(sealed.data)
    assert (sealed.data["order_id"], sealed.data["consumer_id"]) == ("O1", "K1")
    assert [line["quantity"] for line in sealed.data["lines"]] == [2, 1]
    assert vault.reveal(sealed) == event.data


def test_what_is_encrypted_fits_its_schema(vault: Vault) -> None:
    """A token is text where text was."""
    codec, topic = Codec(load()), business_topic("orders.order-placed")
    payload = codec.encode(topic, vault.encrypted(order()).data)
    assert b"canary" not in payload
    read = replace(order(), data=codec.decode(topic, payload))
    assert vault.reveal(read)["payment"]["iban"] == "canary-iban-O1"


def test_fields_of_one_event_are_shredded_each_after_its_own_term(vault: Vault) -> None:
    """A field under both terms is readable while one of its keys exists."""
    sealed = vault.encrypted(order())
    vault.shredder.destroy([ORDER], "bus", NOW)
    revealed = vault.reveal(sealed)
    assert revealed["consumer_name"] is ERASED
    assert revealed["delivery_address"]["street"] is ERASED
    assert [line["product"] for line in revealed["lines"]] == [ERASED, ERASED]
    assert revealed["amount"] == "12.50 canary-amount-O1"
    assert revealed["payment"]["iban"] is ERASED
    assert revealed["payment"]["transaction_id"] == "canary-transaction-O1"
    vault.shredder.destroy([ORDER], "bus-books", NOW)
    assert vault.reveal(sealed)["payment"]["transaction_id"] is ERASED


def test_another_event_of_the_same_person_stays_readable(vault: Vault) -> None:
    """Each event has its own term."""
    first, second = vault.encrypted(order("O1")), vault.encrypted(order("O2"))
    vault.shredder.destroy([ORDER], "bus", NOW)
    assert vault.reveal(first)["consumer_name"] is ERASED
    assert vault.reveal(second)["consumer_name"] == "canary-name-O2"


def test_an_event_that_is_published_again_has_the_same_tokens(vault: Vault) -> None:
    """Other content under its identity would be a dead letter."""
    assert hash_event(vault.encrypted(order())) == hash_event(vault.encrypted(order()))


def test_a_shredded_field_stays_unreadable_when_it_is_published_again(vault: Vault) -> None:
    """A second key would never be destroyed: its destruction was commanded before."""
    vault.shredder.destroy([ORDER], "bus", NOW)
    sealed = vault.encrypted(order())
    assert vault.reveal(sealed)["consumer_name"] is ERASED
    assert vault.reveal(sealed)["amount"] == "12.50 canary-amount-O1"
    assert vault.shredder.count_active([ORDER], "bus") == 0
    again = vault.encrypted(order())
    assert sealed.data["consumer_name"] != again.data["consumer_name"]  # under a key of no one's
    assert sealed.data["amount"] == again.data["amount"]


def test_absent_fields_and_nulls_stay_as_they_are(vault: Vault) -> None:
    """There is nothing to encrypt."""
    event = order(consumer_name=None, lines=None, remarks="")
    del event.data["delivery_address"]  # type: ignore[attr-defined]  # the stage's own dict
    sealed = vault.encrypted(event)
    assert sealed.data["consumer_name"] is None
    assert sealed.data["lines"] is None
    assert "delivery_address" not in sealed.data
    assert sealed.data["remarks"].startswith("enc:v1:")
    assert vault.reveal(sealed)["remarks"] == ""


def test_an_event_type_that_encrypts_nothing_makes_no_key(vault: Vault) -> None:
    """It goes as it is."""
    event = replace(order(), type="customers.customer-terminated", data={"customer_id": "C1"})
    assert vault.encrypted(event) is event
    assert vault.keys.count_by_master() == []


@pytest.mark.parametrize(
    ("moved", "subject"),
    [
        (("consumer_name", "consumer_email"), "consumer:K1"),
        (("consumer_name", "consumer_name"), "consumer:K2"),
        (("amount", "remarks"), "consumer:K1"),
    ],
)
def test_a_token_is_decrypted_only_in_its_own_field(
    vault: Vault, moved: tuple[str, str], subject: str
) -> None:
    """It is bound to that field and that person."""
    sealed = vault.encrypted(order())
    source, to = moved
    wrong = replace(sealed, data={**sealed.data, to: sealed.data[source]})
    with pytest.raises(TokenTampered):
        vault.reveal(wrong, subject)


def test_a_token_in_another_list_item_is_not_decrypted(vault: Vault) -> None:
    """The index is bound as well."""
    sealed = vault.encrypted(order())
    wrong = replace(sealed, data={**sealed.data, "lines": sealed.data["lines"][::-1]})
    with pytest.raises(TokenTampered, match=r"lines\[0\]"):
        vault.reveal(wrong)


def test_a_token_of_another_event_type_is_not_decrypted(vault: Vault) -> None:
    """The schema is bound."""
    sealed = vault.encrypted(order())
    with pytest.raises(TokenTampered):
        vault.reveal(replace(sealed, type="billing.invoice-issued"))


@pytest.mark.parametrize(
    "remark", ["enc:v1:", "enc:v1:short:AAAA", "enc:v1:ä", "enc:v1: what is this?", "enc:v2:AAAA"]
)
def test_a_plain_text_that_begins_like_a_token_fails_no_event(vault: Vault, remark: str) -> None:
    """Someone may type it into a form; the tokens beside it are still decrypted."""
    sealed = vault.encrypted(order())
    assert sealed.data["remarks"].startswith("enc:v1:")
    odd = replace(sealed, data={**sealed.data, "placed_through": remark})
    assert vault.reveal(odd) == {**order().data, "placed_through": remark}
    encrypted = vault.encrypted(order(remarks=remark))
    assert vault.reveal(encrypted)["remarks"] == remark


@pytest.mark.parametrize("token", [f"enc:v1:{'A' * 22}:AAAA"])
def test_a_token_whose_key_never_existed_is_an_error(vault: Vault, token: str) -> None:
    """The error names the field, and nothing of its content: the vault may be another one."""
    with pytest.raises(TokenTampered) as refused:
        vault.reveal(replace(order(), data={"remarks": token}))
    assert refused.value.place == "remarks"
    assert token not in str(refused.value)


def test_an_older_event_in_clear_is_read_as_it_is(vault: Vault) -> None:
    """It was published before the policy encrypted."""
    assert vault.reveal(order()) == order().data


def test_a_field_whose_key_would_never_be_destroyed_is_not_published(vault: Vault) -> None:
    """A holding that does not apply to this event destroys no key."""
    written = document()
    placed = written["events"]["orders.order-placed"]
    placed["fields"]["placed_through"] = {"required": False}
    placed["plain"].remove("placed_through")
    placed["holdings"][0]["when"] = {"placed_through": ["app"]}
    encryption = replace(vault.encryption, policy=policy_of(written))
    with pytest.raises(NoKeyHolder) as refused:
        encryption.encrypt_events([order()])
    assert refused.value.key == "consumer_name"
    assert vault.keys.count_by_master() == []
    bare = order(payment={"method": "ideal"}, consumer_name=None, consumer_email=None)
    bare = replace(
        bare,
        data={
            name: bare.data[name] for name in ("order_id", "customer_id", "consumer_id", "amount")
        },
    )
    [sealed] = encryption.encrypt_events([bare])
    assert [(count.system, count.keys) for count in vault.keys.count_by_master()] == [
        ("bus-books", 1)
    ]
    assert vault.reveal(sealed)["amount"] == "12.50 canary-amount-O1"


@pytest.mark.parametrize("value", [12, {"first": "x"}, ["x"], True])
def test_only_text_is_encrypted(vault: Vault, value: Any) -> None:
    """The error names the field and not its value."""
    with pytest.raises(
        FieldNotText, match=r"^consumer_name: is not text; only text can be encrypted$"
    ):
        vault.encrypted(order(consumer_name=value))


@pytest.mark.parametrize(
    ("path", "why"),
    [("consumer_title", "has no such field"), ("received_at", "is not plain text")],
)
def test_a_field_that_its_schema_cannot_hold_is_refused(path: str, why: str) -> None:
    """Before anything is published."""
    wrong = policy_of(document(encrypted={path: ["bus"], "amount": ["bus-books"]}, plain=[]))
    with pytest.raises(FieldNotEncryptable, match=why):
        check_encrypted_fields(wrong, load())


def test_the_stages_policy_fits_its_schemas() -> None:
    """Each field is there and text."""
    check_encrypted_fields(policy(), load())
