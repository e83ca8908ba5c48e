"""Schemas in a real schema registry: registering, detecting differences, and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from schemas.codec import Codec
from schemas.registry import Registry
from schemas.schema_files import load
from schemas.topics import business_topic
from services.app.cli.main import termijn
from services.kafka import client as bus
from tests.servers.registry import RegistryServer
from tests.unit.schemas.values import MINIMAL

SCHEMAS = load()
ORDERS = business_topic("orders.order-placed")
FEEDBACK = business_topic("website.feedback-given")


@pytest.fixture(scope="module")
def client(schema_registry: RegistryServer) -> SchemaRegistryClient:
    """Return a client of the registry that is not Termijn."""
    return SchemaRegistryClient({"url": schema_registry.url})


@pytest.fixture(scope="module", autouse=True)
def registered(schema_registry: RegistryServer) -> Result:
    """Return what `register` prints for an empty registry."""
    return run_schemas(schema_registry, "register")


def run_schemas(registry: RegistryServer, *words: str, **settings: str) -> Result:
    """Return what `termijn schemas` prints."""
    environment = {"SCHEMA_REGISTRY_URL": registry.url, **settings}
    return CliRunner().invoke(termijn, ["schemas", *words], env=environment)


def check_faults(registry: RegistryServer, **settings: str) -> list[tuple[str, str]]:
    """Return the target and the text of each fault of `check`."""
    outcome = run_schemas(registry, "check", "--json", **settings)
    rows = [json.loads(line) for line in outcome.stdout.splitlines()]
    wrong = [(row["target"], row["result"]) for row in rows if row["state"] != "ok"]
    assert outcome.exit_code == (1 if wrong else 0)
    return wrong


def changed(schema: str, **field: Any) -> str:
    """Return the newest version of a schema with one field more."""
    definition = json.loads(SCHEMAS.newest(schema).text)
    definition["fields"].append(field)
    return json.dumps(definition)


def test_the_registered_schemas_agree_with_the_code(
    schema_registry: RegistryServer, registered: Result
) -> None:
    """There is a line for each topic, the watch's own among them, and registering again changes nothing."""
    assert registered.exit_code == 0
    assert len(registered.stdout.splitlines()) == 76
    assert check_faults(schema_registry) == []
    assert run_schemas(schema_registry, "register").stdout == registered.stdout
    assert check_faults(schema_registry) == []


def test_a_value_is_encoded_and_decoded_through_the_registry(client: SchemaRegistryClient) -> None:
    """A codec writes it in the Confluent wire format, and another codec reads it."""
    value = Codec(SCHEMAS, Registry(client)).encode(ORDERS, MINIMAL[ORDERS.schema])
    assert value[:1] == b"\0"
    reader = Codec(SCHEMAS, Registry(client))
    assert reader.decode(ORDERS, value)["order_id"] == "O1"


def test_the_registry_refuses_what_readers_could_not_read(client: SchemaRegistryClient) -> None:
    """Registering sets a compatibility level that forbids a new field without a default."""
    text = changed(ORDERS.schema, name="needed", type="string")
    with pytest.raises(Exception, match="409") as refused:
        client.register_schema(f"{ORDERS.name}-value", Schema(text, "AVRO"))
    assert "ncompatible" in str(refused.value)


def test_a_schema_that_was_altered_in_the_registry_is_found(
    schema_registry: RegistryServer, client: SchemaRegistryClient
) -> None:
    """The fault names the version, and clears once that version is deleted."""
    subject = f"{FEEDBACK.name}-value"
    text = changed(FEEDBACK.schema, name="mood", type=["null", "string"], default=None)
    id = client.register_schema(subject, Schema(text, "AVRO"))
    assert check_faults(schema_registry) == [
        (FEEDBACK.name, f"version 2 (id {id}) has no schema file but can be read")
    ]


def test_a_schema_that_was_altered_in_code_only_is_found(
    schema_registry: RegistryServer, tmp_path: Path
) -> None:
    """A new version exists that has not been registered."""
    text = changed(ORDERS.schema, name="tip", type=["null", "string"], default=None)
    (tmp_path / f"{ORDERS.schema}.3.avsc").write_text(text, "utf-8")
    wrong = check_faults(schema_registry, TERMIJN_SCHEMAS=str(tmp_path))
    assert (ORDERS.name, f"{ORDERS.schema}.3.avsc is not registered") in wrong


def test_a_lowered_compatibility_level_is_found(
    schema_registry: RegistryServer, client: SchemaRegistryClient
) -> None:
    """Registering raises the level again."""
    client.set_compatibility(f"{ORDERS.name}-value", "BACKWARD")
    [what] = [what for target, what in check_faults(schema_registry) if target == ORDERS.name]
    assert what.startswith("compatibility is BACKWARD")
    run_schemas(schema_registry, "register")
    assert client.get_compatibility(f"{ORDERS.name}-value") == "FULL_TRANSITIVE"


def test_a_refusal_of_the_registry_is_one_line(
    schema_registry: RegistryServer, client: SchemaRegistryClient, tmp_path: Path
) -> None:
    """Another client has registered something else under a name that is new to Termijn."""
    policy = own_type(tmp_path)
    other = {"type": "record", "name": "Visited", "fields": [{"name": "door", "type": "int"}]}
    client.register_schema("shop.visited.v1-value", Schema(json.dumps(other), "AVRO"))
    outcome = run_schemas(schema_registry, "register", **policy)
    assert outcome.exit_code == 1
    assert "shop.visited.v1-value: refused" in str(outcome.exception)


def test_a_schema_that_follows_from_a_policy_is_registered(
    schema_registry: RegistryServer, client: SchemaRegistryClient, tmp_path: Path
) -> None:
    """Without a file; a later version with another field, in a file, is accepted beside it."""
    topic = "club.visited.v1"
    policy = own_type(tmp_path, "club.visited")
    del policy["TERMIJN_SCHEMAS"]
    run_schemas(schema_registry, "register", **policy)
    assert [target for target, _ in check_faults(schema_registry, **policy)].count(topic) == 0
    written = tmp_path / "written"
    words = ["policy", "schemas", str(written)]
    assert CliRunner().invoke(termijn, words, env=policy).exit_code == 0
    definition = json.loads((written / "club.visited.1.avsc").read_text("utf-8"))
    definition["fields"].append({"name": "mood", "type": ["null", "string"], "default": None})
    (written / "club.visited.2.avsc").write_text(json.dumps(definition), "utf-8")
    policy["TERMIJN_SCHEMAS"] = str(written)
    run_schemas(schema_registry, "register", **policy)
    assert [target for target, _ in check_faults(schema_registry, **policy)].count(topic) == 0
    assert client.get_versions(f"{topic}-value") == [1, 2]


def test_a_schema_that_publishers_have_registered_is_taken_over(
    schema_registry: RegistryServer, client: SchemaRegistryClient, tmp_path: Path
) -> None:
    """The version after it has the policy's fields too; theirs is still read."""
    topic = "gym.visited.v1"
    policy = own_type(tmp_path, "gym.visited")
    del policy["TERMIJN_SCHEMAS"]
    other = {"type": "record", "name": "Visited", "fields": [{"name": "door", "type": "int"}]}
    client.register_schema(f"{topic}-value", Schema(json.dumps(other), "AVRO"))
    assert (topic in dict(check_faults(schema_registry, **policy))) is True
    written = tmp_path / "written"
    environment = {**policy, "SCHEMA_REGISTRY_URL": schema_registry.url}
    words = ["policy", "schemas", str(written), "--registry"]
    assert CliRunner().invoke(termijn, words, env=environment).exit_code == 0
    policy["TERMIJN_SCHEMAS"] = str(written)
    run_schemas(schema_registry, "register", **policy)
    assert topic not in dict(check_faults(schema_registry, **policy))
    assert client.get_versions(f"{topic}-value") == [1, 2]


def own_type(directory: Path, name: str = "shop.visited") -> dict[str, str]:
    """The settings of a company with an event type of its own."""
    shipped = Path(__file__).parents[2] / "services" / "policy" / "optimum_pos.yaml"
    text = shipped.read_text("utf-8")
    start = text.index("  website.feedback-given:")
    own = text[start : text.index("\n\n", start)].replace("website.feedback-given", name)
    (directory / "policy.yaml").write_text(text[:start] + own + "\n\n" + text[start:], "utf-8")
    schema = json.loads(SCHEMAS.newest(FEEDBACK.schema).text)
    schema |= {"name": "Visited", "namespace": "shop"}
    (directory / "shop.visited.1.avsc").write_text(json.dumps(schema), "utf-8")
    return {
        "TERMIJN_POLICY": str(directory / "policy.yaml"),
        "TERMIJN_SCHEMAS": str(directory),
    }


def test_the_doctor_reports_an_unreadable_version(
    schema_registry: RegistryServer, client: SchemaRegistryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unreadable version by another client is reported with the command that fixes it."""
    monkeypatch.setattr(bus, "_CALL_SECONDS", 0.2)
    topic = business_topic("contact.message-resolved")
    other = {"type": "record", "name": "Other", "fields": []}
    client.delete_subject(f"{topic.name}-value")
    id = client.register_schema(f"{topic.name}-value", Schema(json.dumps(other), "AVRO"))
    environment = {
        "SCHEMA_REGISTRY_URL": schema_registry.url,
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    }
    outcome = CliRunner().invoke(termijn, ["doctor", "--json"], env=environment)
    rows = [json.loads(line) for line in outcome.stdout.splitlines()]
    wrong = [row for row in rows if row["check"] == "registry" and row["target"] == topic.name]
    assert [(check["state"], check["result"]) for check in wrong] == [
        ("error", "contact.message-resolved.1.avsc is not registered"),
        (
            "error",
            f"version 2 (id {id}) has no schema file; events written with it are parked:"
            " .: Other became nl.termijn.business.contact.MessageResolved",
        ),
    ]
    assert wrong[0]["fix"] == "`termijn schemas register`"


def test_an_unreachable_registry_is_one_line() -> None:
    """The error names the address and what to do."""
    environment = {"SCHEMA_REGISTRY_URL": "http://127.0.0.1:1"}
    outcome = CliRunner().invoke(termijn, ["schemas", "check", "--json"], env=environment)
    [row] = map(json.loads, outcome.stdout.splitlines())
    assert outcome.exit_code == 1
    assert row["result"].startswith("does not respond: schema registry: ")
    assert "SCHEMA_REGISTRY_URL" in row["fix"]
