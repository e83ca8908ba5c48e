"""The AsyncAPI document: as the catalogue and the schemas have it, and as AsyncAPI's schema wants it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from schemas import topics as catalogue
from services.app.wiring.required_topics import required_topics
from services.operations.manifests import asyncapi
from services.policy.loader import load

ROOT = Path(__file__).parents[3]
SPECS = "6.11.1"
SCHEMA = ROOT / ".cache" / "asyncapi" / SPECS / "3.0.0.json"
WRITTEN = (ROOT / "deploy" / asyncapi.DOCUMENT).read_text("utf-8")
DOCUMENT: dict[str, Any] = yaml.safe_load(WRITTEN)


@pytest.fixture(scope="module")
def validator() -> Draft7Validator:
    """AsyncAPI's own JSON schema of version 3.0.0, from the npm package @asyncapi/specs."""
    if not SCHEMA.exists():
        why = f"AsyncAPI's schema is not in .cache/asyncapi/{SPECS}; run `make servers`"
        if os.environ.get("TERMIJN_REQUIRE_ALL") == "1":
            pytest.fail(why)
        pytest.skip(why)
    return Draft7Validator(json.loads(SCHEMA.read_text("utf-8")))


def test_the_asyncapi_document_is_valid(validator: Draft7Validator) -> None:
    """AsyncAPI's own schema has rules for channels, messages and Kafka's bindings."""
    assert [error.json_path for error in validator.iter_errors(DOCUMENT)] == []


def test_an_invalid_channel_is_refused(validator: Draft7Validator) -> None:
    """Proof that the validator does check."""
    name = catalogue.TAGGED.name
    broken = {**DOCUMENT, "channels": {**DOCUMENT["channels"], name: {"adress": name}}}
    assert not validator.is_valid(broken)


def test_every_topic_is_a_channel() -> None:
    """One each; those of the systems by the system's name."""
    addresses = [channel["address"] for channel in DOCUMENT["channels"].values()]
    needed = required_topics(load())
    expected = {topic.name for topic in (*needed.all, catalogue.SIGHTINGS)}
    each = {
        address.replace("{system}", system)
        for address in addresses
        if "{system}" in address
        for system in DOCUMENT["channels"][address]["parameters"]["system"]["enum"]
    }
    assert each | {address for address in addresses if "{system}" not in address} == expected


def test_all_references_of_the_asyncapi_document_resolve() -> None:
    """Operations refer to channels, and channels to messages."""
    messages = DOCUMENT["components"]["messages"]
    for channel in DOCUMENT["channels"].values():
        for reference in channel["messages"].values():
            assert reference["$ref"].removeprefix("#/components/messages/") in messages
    for operation in DOCUMENT["operations"].values():
        assert operation["channel"]["$ref"].removeprefix("#/channels/") in DOCUMENT["channels"]


def test_termijn_receives_events_and_sends_commands() -> None:
    """Its answers to requests go both ways."""
    actions = {name: operation["action"] for name, operation in DOCUMENT["operations"].items()}
    assert actions["receive.orders.order-placed.v1"] == "receive"
    assert "send.orders.order-placed.v1" not in actions
    assert actions["send.retention.commands.system.v1"] == "send"
    assert actions["receive.retention.acks.system.v1"] == "receive"
    assert actions["send.privacy.request-answered.v1"] == "send"
    required = DOCUMENT["components"]["messages"]["orders.order-placed"]["headers"]["required"]
    assert required == ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time"]
