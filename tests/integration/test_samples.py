"""The samples in Java and Node publish events that are recorded, and erase what is commanded."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
import yaml
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient

from schemas.cloudevents import CloudEvent, from_headers, to_headers
from schemas.codec import Codec
from schemas.registry import Registry
from schemas.schema_files import load
from schemas.topics import DEAD_LETTERS, TAGGED, business_topic
from services.agent.adapters.base import CommandTask
from services.agent.adapters.hook import HookAdapter
from services.agent.command import Command, CommandRecord
from services.kafka import schema_registration
from services.kafka.embedded_broker import EmbeddedBroker
from services.kafka.message_fields import headers, to_bytes
from services.policy import loader
from tests.integration.controlling import Controller, fresh, running
from tests.integration.whole_way import whole_way
from tests.samples import PUBLISH, SOURCES, Language
from tests.servers.kafka import KafkaCluster
from tests.servers.registry import RegistryServer

FEEDBACK = business_topic("website.feedback-given")
SCHEMAS = load()
POLICY = loader.load()
LANGUAGES: tuple[Language, ...] = ("java", "node")
TEXT = "Wërkt het? Ja ✓"
RECORD = CommandRecord(
    source="urn:example:website",
    id="feedback-given-F1",
    type=FEEDBACK.schema,
    keys={"feedback_id": "F1", "visitor_id": "V1"},
)


@pytest.fixture(scope="module")
def samples(java_sample: Path, node_sample: Path) -> Mapping[Language, Path]:
    """Build both samples."""
    return {"java": java_sample, "node": node_sample}


def publish(language: Language, directory: Path, kafka: KafkaCluster, **settings: str) -> None:
    """Run a sample's publisher; its feedback contains the name of the language."""
    completed = subprocess.run(
        [*PUBLISH[language], language, "V1", "2026-03-15T13:00:00.5Z"],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap, **settings},
        input=TEXT.encode(),
        capture_output=True,
        timeout=600,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr.decode()


def on_the_bus(kafka: KafkaCluster, count: int) -> Iterator[Message]:
    """Return the messages of the topic, in order."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "look"})
    consumer.assign([TopicPartition(FEEDBACK.name, 0, 0)])
    try:
        for _ in range(count):
            yield cast(Message, consumer.poll(20))
    finally:
        consumer.close()


def feedback_event(language: Language) -> CloudEvent:
    """Return the event of a sample's feedback."""
    data = {"feedback_id": language, "visitor_id": "V1", "text": TEXT}
    return CloudEvent(
        id=f"feedback-given-{language}",
        source="urn:example:website",
        type="website.feedback-given",
        time=datetime(2026, 3, 15, 13, 0, 0, 500_000, tzinfo=UTC),
        data={"page": None, "score": None, "email": None, **data},
    )


def check_published(kafka: KafkaCluster, codec: Codec) -> None:
    """Check that both publish what Termijn itself would publish."""
    for language, message in zip(LANGUAGES, on_the_bus(kafka, len(LANGUAGES)), strict=True):
        event, value = feedback_event(language), to_bytes(message.value())
        assert value == codec.encode(FEEDBACK, event.data)
        assert to_bytes(message.key()) == b"visitor:V1"
        assert {name for name, _ in headers(message)} == {name for name, _ in to_headers(event)}
        assert from_headers(headers(message), codec.decode(FEEDBACK, value)) == event


def test_events_that_the_samples_publish_are_recorded(
    fresh_kafka: KafkaCluster, samples: Mapping[Language, Path], tmp_path: Path
) -> None:
    """The messages are in single-object encoding, byte for byte those of `termijn publish`."""
    codec = Codec(SCHEMAS)
    schema = str(SOURCES.parents[1] / "schemas" / "business" / f"{FEEDBACK.schema}.1.avsc")
    with whole_way(fresh_kafka, tmp_path, POLICY, codec, [FEEDBACK.schema]) as way:
        for language in LANGUAGES:
            publish(language, samples[language], fresh_kafka, SCHEMA=schema)
        check_published(fresh_kafka, codec)
        way.pass_through()
        assert way.events() == {"feedback-given-java", "feedback-given-node"}
        assert way.letters() == []


def test_events_that_the_samples_publish_through_a_registry_are_recorded(
    fresh_kafka: KafkaCluster,
    schema_registry: RegistryServer,
    samples: Mapping[Language, Path],
    tmp_path: Path,
) -> None:
    """The messages are in the Confluent wire format, with the id that the registry gave."""
    registry = Registry(SchemaRegistryClient({"url": schema_registry.url}))
    codec = Codec(SCHEMAS, registry)
    for topic in (FEEDBACK, TAGGED, DEAD_LETTERS):
        schema_registration.register_schemas(topic, codec, registry)
    with whole_way(fresh_kafka, tmp_path, POLICY, codec, [FEEDBACK.schema]) as way:
        for language in LANGUAGES:
            publish(
                language, samples[language], fresh_kafka, SCHEMA_REGISTRY_URL=schema_registry.url
            )
        check_published(fresh_kafka, codec)
        way.pass_through()
        assert way.events() == {"feedback-given-java", "feedback-given-node"}
        assert way.letters() == []


@pytest.fixture(params=LANGUAGES)
def sample(request: pytest.FixtureRequest) -> Path:
    """Build one sample, so that it can be tested where the other's tools are missing."""
    path: Path = request.getfixturevalue(f"{request.param}_sample")
    return path


def test_a_sample_erases_as_a_hook(sample: Path, tmp_path: Path) -> None:
    """A verification finds it gone, other records stay, and an unsupported action fails."""
    store = tmp_path / "feedback"
    store.mkdir()
    for name in ("F1", "F2"):
        (store / f"{name}.json").write_text(json.dumps({"feedback_id": name, "text": TEXT}))
    orders = ("verify", "erase", "verify", "erase", "restrict")
    with EmbeddedBroker() as broker:
        controller = Controller(broker, "website", tmp_path)
        file = controller.file(sample, broker)
        with running(file, {"FEEDBACK": str(store), "PATH": os.environ["PATH"]}):
            controller.send(
                *(
                    fresh(
                        f"{n} {action}",
                        subject="visitor:V1",
                        action=action,
                        verifies="erase" if action == "verify" else None,
                        records=(RECORD,),
                        seq=n,
                    )
                    for n, action in enumerate(orders)
                )
            )
            answers = controller.answers(len(orders))
    assert [(answer["status"], answer["counts"].get("feedback")) for answer in answers] == [
        ("done", 1),
        ("done", 1),
        ("done", 0),
        ("nothing_held", 0),
        ("failed", None),
    ]
    assert [path.name for path in store.iterdir()] == ["F2.json"]


def hook_of(sample: Path, store: Path, **environment: str) -> HookAdapter:
    """The sample's hook for the feedback in a directory."""
    document = yaml.safe_load((sample / "agent.yaml").read_text("utf-8"))
    return HookAdapter(
        command=tuple(document["adapter"]["hook"]["command"]),
        directory=sample,
        timeout_seconds=30,
        environment={"FEEDBACK": str(store), "PATH": os.environ["PATH"], **environment},
    )


def task_of(command: Command) -> CommandTask:
    """The first run of a command."""
    return CommandTask(
        command=command,
        run=1,
        checkpoint=None,
        save_checkpoint=lambda _: None,
        now=datetime.now(UTC),
    )


def test_a_sample_discloses_as_a_hook(sample: Path, tmp_path: Path) -> None:
    """The disclosure is exact in whatever locale."""
    feedback = {"feedback_id": "F1", "text": TEXT}
    (tmp_path / "F1.json").write_text(json.dumps(feedback, ensure_ascii=False), "utf-8")
    hook = hook_of(sample, tmp_path, LANG="C")
    disclosure = fresh("d", subject="visitor:V1", action="disclose", records=(RECORD,))
    result = hook.execute(task_of(disclosure))
    assert (result.status, result.counts) == ("done", {"feedback": 1})
    assert [(record.type, record.id, record.data) for record in result.records] == [
        ("feedback", "feedback-given-F1", feedback)
    ]


def test_a_sample_distinguishes_records_by_source_and_id(sample: Path, tmp_path: Path) -> None:
    """Two sources' events with one id are two pieces of feedback."""
    for name in ("F1", "F2"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"feedback_id": name}), "utf-8")
    hook = hook_of(sample, tmp_path)
    other = replace(RECORD, source="urn:example:app", keys={"feedback_id": "F2"})
    erasure = fresh("e", subject="visitor:V1", records=(RECORD, other))
    assert hook.execute(task_of(erasure)).counts == {"feedback": 2}
    assert list(tmp_path.iterdir()) == []


def test_a_sample_gives_notice_and_hands_over(sample: Path, tmp_path: Path) -> None:
    """A repetition does nothing twice; the data stays, and is erased by a command of its own."""
    text = json.dumps({"feedback_id": "F1", "text": TEXT}, ensure_ascii=False)
    (tmp_path / "F1.json").write_text(text, "utf-8")
    hook = hook_of(sample, tmp_path)
    end = datetime(2032, 1, 1, tzinfo=UTC)
    fields = {"subject": "visitor:V1", "records": (RECORD,)}
    notice = fresh("n", action="notify", erase_by=end, **fields)
    transfer = fresh("t", action="transfer", **fields)
    for command in (notice, notice, transfer, transfer):
        result = hook.execute(task_of(command))
        assert (result.status, result.counts) == ("done", {"feedback": 1})
    [letter] = (tmp_path / "outbox").iterdir()
    assert json.loads(letter.read_text("utf-8")) == {
        "feedback": ["F1"],
        "ends": "2032-01-01T00:00:00Z",
    }
    [copy] = (tmp_path / "archive").iterdir()
    assert copy.read_text("utf-8") == text
    verify = fresh("v", action="verify", verifies="erase", **fields)
    assert hook.execute(task_of(verify)).counts == {"feedback": 1}
    erasure = fresh("e", action="erase", **fields)
    assert hook.execute(task_of(erasure)).status == "done"
    assert hook.execute(task_of(verify)).counts == {"feedback": 0}
    assert hook.execute(task_of(notice)).status == "nothing_held"


def test_a_sample_recalls_a_notice_until_it_is_mailed(sample: Path, tmp_path: Path) -> None:
    """A transfer is not undone, and an erasure that was not carried out yet is not."""
    (tmp_path / "F1.json").write_text(json.dumps({"feedback_id": "F1"}), "utf-8")
    hook = hook_of(sample, tmp_path)
    fields = {"subject": "visitor:V1", "records": (RECORD,)}
    end = datetime(2032, 1, 1, tzinfo=UTC)
    first, second = (fresh(n, action="notify", erase_by=end, **fields) for n in ("n1", "n2"))
    transfer = fresh("t", action="transfer", **fields)
    for command in (first, second, transfer):
        hook.execute(task_of(command))
    outbox = tmp_path / "outbox"
    (outbox / f"{second.command_id}.json").rename(outbox / f"{second.command_id}.sent")
    statuses = [
        hook.execute(
            task_of(fresh(f"recall {name}", action="recall", supersedes=name, **fields))
        ).status
        for name in ("n1", "n2", "t", "e")
    ]
    assert statuses == ["recalled", "already_done", "already_done", "recalled"]
    assert [path.suffix for path in outbox.iterdir()] == [".sent"]
