"""Strimzi's topics agree with the catalogue, and are valid by Strimzi's own CRD."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from confluent_kafka.cimpl import NewTopic
from jsonschema import Draft202012Validator

from schemas import topics as catalogue
from services.app.cli.main import termijn
from services.app.wiring.required_topics import required_topics
from services.operations.manifests import strimzi
from services.policy.loader import load
from tests.servers.kafka import KafkaCluster
from tests.unit.manifests.crds import validator_of

ROOT = Path(__file__).parents[3]
WRITTEN = (ROOT / "deploy" / strimzi.TOPICS).read_text("utf-8")
DOCUMENTS: list[dict[str, Any]] = list(yaml.safe_load_all(WRITTEN))


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    """Return a validator by Strimzi's CRD of a topic."""
    return validator_of("kafkatopic")


def test_a_topic_that_is_renamed_only_in_the_code_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The file of the new code differs."""
    renamed = replace(catalogue.TAGGED, name="retention.tagged.v2")
    monkeypatch.setattr(catalogue, "TAGGED", renamed)
    outcome = CliRunner().invoke(termijn, ["deploy", "write", str(tmp_path)], env={})
    assert outcome.exit_code == 0
    written = (tmp_path / strimzi.TOPICS).read_text("utf-8")
    assert "retention.tagged.v2" in written
    assert "retention.tagged.v2" not in WRITTEN


def test_strimzis_file_has_every_topic_that_a_role_needs() -> None:
    """40 business topics, three of Termijn, two for each system, and three of the watch."""
    named = [document["metadata"]["name"] for document in DOCUMENTS]
    assert len(named) == len(set(named)) == 40 + 3 + 2 * 16 + 3
    assert {topic.name for topic in required_topics(load()).all} < set(named)


def test_the_heads_of_the_evidence_are_kept_without_limit() -> None:
    """A deleted head proves nothing; tagged events are deleted after a week."""
    retentions = {
        document["metadata"]["name"]: document["spec"]["config"]["retention.ms"]
        for document in DOCUMENTS
    }
    assert retentions["retention.evidence-heads.v1"] == -1
    assert retentions["retention.tagged.v1"] == 604_800_000


def test_strimzis_crd_accepts_each_topic(validator: Draft202012Validator) -> None:
    """The schema that Strimzi 0.45.0 makes from its own model."""
    bare = [{**document, "metadata": {}} for document in DOCUMENTS]
    assert [error.message for document in bare for error in validator.iter_errors(document)] == []


@pytest.mark.parametrize(
    "wrong", [{"partitions": "six"}, {"partitions": 0}, {"replica": 3}], ids=str
)
def test_strimzis_crd_refuses_a_wrong_topic(
    validator: Draft202012Validator, wrong: dict[str, Any]
) -> None:
    """Proof that the validator does check."""
    document = {**DOCUMENTS[0], "metadata": {}}
    assert not validator.is_valid({**document, "spec": {**document["spec"], **wrong}})


def test_kafka_accepts_each_topic(fresh_kafka: KafkaCluster) -> None:
    """Names and settings, which the CRD leaves open; nothing is made, and one broker has one replica."""
    new = [
        NewTopic(
            document["metadata"]["name"],
            document["spec"]["partitions"],
            1,
            config={name: str(value) for name, value in document["spec"]["config"].items()},
        )
        for document in DOCUMENTS
    ]
    for judged in fresh_kafka.admin.create_topics(new, validate_only=True).values():
        assert judged.result(20) is None
    assert fresh_kafka.topics() == frozenset()
