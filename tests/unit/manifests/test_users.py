"""Strimzi's users: each may do what the table of accesses lists, in the form of Strimzi's CRD."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from schemas import topics
from services.app.cli.main import termijn
from services.operations.manifests import strimzi
from tests.unit.manifests.crds import validator_of

ROOT = Path(__file__).parents[3]
WRITTEN = (ROOT / "deploy" / strimzi.USERS).read_text("utf-8")
USERS: dict[str, dict[str, Any]] = {
    document["metadata"]["name"]: document for document in yaml.safe_load_all(WRITTEN)
}


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    """Return a validator by Strimzi's CRD of a user."""
    return validator_of("kafkauser")


def rules(user: str) -> dict[tuple[str, str], list[str]]:
    """Return what a user may do, by resource."""
    return {
        (acl["resource"]["type"], acl["resource"].get("name", "")): acl["operations"]
        for acl in USERS[user]["spec"]["authorization"]["acls"]
    }


def test_a_topic_that_is_renamed_only_in_the_code_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Otherwise its users would be refused in production."""
    renamed = replace(topics.SIGHTINGS, name="retention.sightings.v2")
    monkeypatch.setattr(topics, "SIGHTINGS", renamed)
    outcome = CliRunner().invoke(termijn, ["deploy", "write", str(tmp_path)], env={})
    assert outcome.exit_code == 0
    written = (tmp_path / strimzi.USERS).read_text("utf-8")
    assert "retention.sightings.v2" in written
    assert "retention.sightings.v2" not in WRITTEN


def test_there_is_a_user_for_each_role_and_each_system() -> None:
    """Six roles, publishers, operators, and the agents of sixteen systems; none for the samples."""
    agents = [name for name in USERS if name.startswith("termijn-agent-")]
    assert len(agents) == 16
    assert USERS.keys() - set(agents) == {
        "termijn-tagger",
        "termijn-recorder",
        "termijn-deleter",
        "termijn-acknowledgements",
        "termijn-rights",
        "termijn-watch",
        "termijn-publisher",
        "termijn-operator",
    }


def test_a_recorder_reads_two_topics_and_has_a_group() -> None:
    """It writes nothing to Kafka."""
    assert rules("termijn-recorder") == {
        ("group", "termijn-recorder"): ["Describe", "Read"],
        ("topic", "retention.dead-letters.v1"): ["Describe", "Read"],
        ("topic", "retention.tagged.v1"): ["Describe", "Read"],
    }


def test_an_agent_reads_its_own_commands_and_answers_them() -> None:
    """It has no access to the topics of other systems."""
    assert rules("termijn-agent-crm") == {
        ("group", "termijn-agent-crm"): ["Describe", "Read"],
        ("topic", "retention.acks.crm.v1"): ["Describe", "Write"],
        ("topic", "retention.commands.crm.v1"): ["Describe", "Read"],
    }


def test_strimzis_crd_accepts_each_user(validator: Draft202012Validator) -> None:
    """The schema that Strimzi 0.45.0 makes from its own model."""
    bare = [{**user, "metadata": {}} for user in USERS.values()]
    assert [error.message for document in bare for error in validator.iter_errors(document)] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"operations": ["Peek"]},
        {"resource": {"type": "table", "name": "x"}},
        {"resource": {"type": "topic", "name": "x", "patternType": "regex"}},
        {"operation_s": ["Read"]},
    ],
    ids=str,
)
def test_strimzis_crd_refuses_a_wrong_user(
    validator: Draft202012Validator, wrong: dict[str, Any]
) -> None:
    """Proof that the validator does check."""
    document = {**USERS["termijn-recorder"], "metadata": {}}
    rule = {**document["spec"]["authorization"]["acls"][0], **wrong}
    authorization = {"type": "simple", "acls": [rule]}
    assert not validator.is_valid(
        {**document, "spec": {**document["spec"], "authorization": authorization}}
    )
