"""The shipped policy with the log as systems of its own, encrypted orders, and a vault for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from schemas.cloudevents import CloudEvent, parse_rfc3339
from services.crypto.data_keys import DataKeyStore, open_vault
from services.crypto.field_decryption import FieldDecryptor
from services.crypto.field_encryption import FieldEncryptor
from services.crypto.master_keys import FileMasterKeys
from services.crypto.shredding import Shredder
from services.policy.loader import DEFAULT_POLICY, load_text
from services.policy.model import Policy

NOW = datetime(2026, 3, 15, 13, tzinfo=UTC)
ENCRYPTED: Mapping[str, Sequence[str]] = {
    "consumer_name": ["bus"],
    "consumer_email": ["bus"],
    "consumer_phone": ["bus"],
    "delivery_address.street": ["bus"],
    "delivery_address.postcode": ["bus"],
    "delivery_address.city": ["bus"],
    "delivery_address.country": ["bus"],
    "payment.iban": ["bus"],
    "payment.account_holder": ["bus"],
    "payment.transaction_id": ["bus", "bus-books"],
    "amount": ["bus-books"],
    "lines[].product": ["bus"],
    "lines[].amount": ["bus-books"],
    "lines[].discount": ["bus-books"],
    "remarks": ["bus"],
}
PLAIN = ("payment.method", "received_at", "lines[].quantity", "placed_through")


def document(**changed: Any) -> dict[str, Any]:
    """The policy's file as it is written, orders encrypted; `changed` keys of the event type are others."""
    document = yaml.safe_load(files("services.policy").joinpath(DEFAULT_POLICY).read_text("utf-8"))
    assert isinstance(document, dict)
    document["policy"] = "encrypted"
    for name in ("bus", "bus-books"):
        document["systems"][name] = {"title": "The log", "owner": "platform", "holds": "keys"}
    order = document["events"]["orders.order-placed"]
    delivery, statutory, research = order["holdings"]
    order["holdings"] = [
        {**delivery, "systems": [*delivery["systems"], "bus"]},
        {**statutory, "systems": [*statutory["systems"], "bus-books"]},
        research,
    ]
    encrypted = {path: list(systems) for path, systems in ENCRYPTED.items()}
    order.update({"encrypted": encrypted, "plain": list(PLAIN), **changed})
    return document


def policy_of(written: Mapping[str, Any]) -> Policy:
    """A policy of a file's content."""
    return load_text(yaml.safe_dump(dict(written), sort_keys=False), "encrypted.yaml")


@cache
def policy() -> Policy:
    """The policy that encrypts orders."""
    return policy_of(document())


def order(name: str = "O1", *, time: str = "2024-03-15T13:00:00Z", **data: Any) -> CloudEvent:
    """An order of consumer K1, with a canary in every field that is encrypted."""
    full: dict[str, Any] = {
        "order_id": name,
        "customer_id": "C1",
        "consumer_id": "K1",
        "amount": f"12.50 canary-amount-{name}",
        "payment": {
            "method": "ideal",
            "transaction_id": f"canary-transaction-{name}",
            "iban": f"canary-iban-{name}",
            "account_holder": f"canary-holder-{name}",
        },
        "consumer_name": f"canary-name-{name}",
        "consumer_email": f"canary-email-{name}",
        "consumer_phone": f"canary-phone-{name}",
        "delivery_address": {
            "street": f"canary-street-{name}",
            "postcode": f"canary-postcode-{name}",
            "city": f"canary-city-{name}",
            "country": f"canary-country-{name}",
        },
        "lines": [
            {"product": f"canary-dish-{name}", "quantity": 2, "amount": f"canary-price-{name}"},
            {"product": "canary-tea", "quantity": 1, "discount": f"canary-off-{name}"},
        ],
        "remarks": f"canary-remark-{name}",
    }
    return CloudEvent(
        id=f"order-{name}",
        source="/orders",
        type="orders.order-placed",
        time=parse_rfc3339(time),
        data={**full, **data},
    )


class Vault:
    """A vault with all that is done to it."""

    def __init__(self, url: str, masters: Path) -> None:
        self.masters = FileMasterKeys(directory=masters, creates=True)
        self.keys = DataKeyStore(open_vault(url), self.masters)
        self.keys.create_tables()
        self.shredder = Shredder(self.keys.database)
        self.encryption = FieldEncryptor(policy=policy(), keys=self.keys, now=lambda: NOW)
        self.revealing = FieldDecryptor(vault=self.keys)

    def encrypted(self, event: CloudEvent) -> CloudEvent:
        """The event as it goes onto the bus."""
        [encrypted_event] = self.encryption.encrypt_events([event])
        return encrypted_event

    def reveal(self, event: CloudEvent, subject: str = "consumer:K1") -> dict[str, Any]:
        """Return the event's data as a reader gets it."""
        return self.revealing.decrypt(event.type, subject, event.data)


@contextmanager
def a_vault(directory: Path, url: str = "sqlite://") -> Iterator[Vault]:
    """A vault with master keys in a directory."""
    vault = Vault(url, directory / "master-keys")
    try:
        yield vault
    finally:
        vault.keys.database.close()
