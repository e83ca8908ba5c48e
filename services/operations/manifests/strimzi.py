"""Kafka topics as Strimzi's `KafkaTopic`, and users with their ACLs as its `KafkaUser`. Pure.

A test fails where a topic is renamed in the code and not in the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from schemas.topics import Topic
from services.kafka.access import AclEntry, KafkaAccess

REPLICAS = 3
IN_SYNC = 2
"""The minimum of replicas in sync: with fewer, a write is not acknowledged."""
CLUSTER = "kafka"
"""The name of the `Kafka` resource that the topics belong to."""
TOPICS = Path("kafka") / "topics.yaml"
USERS = Path("kafka") / "users.yaml"
_UNLIMITED = -1
_HEADER = "# Written by `termijn deploy write` from schemas/topics.py.\n"
_USERS_HEADER = (
    "# Written by `termijn deploy write` from services/kafka/access.py and schemas/topics.py.\n"
)


def files(topics: Iterable[Topic], users: Iterable[KafkaAccess]) -> Mapping[Path, str]:
    """Return the text of every file, by its path below the directory that they are written to."""
    topic_documents = [
        topic_document(topic) for topic in sorted(topics, key=lambda topic: topic.name)
    ]
    user_documents = [
        user_document(access) for access in sorted(users, key=lambda access: access.user)
    ]
    return {TOPICS: _HEADER + _text(topic_documents), USERS: _USERS_HEADER + _text(user_documents)}


def _text(documents: Iterable[Mapping[str, Any]]) -> str:
    return yaml.safe_dump_all(documents, sort_keys=False, explicit_start=True)


def topic_document(topic: Topic) -> dict[str, Any]:
    """Return a topic as Strimzi's topic operator reads it."""
    retention_ms = _UNLIMITED if topic.retention_ms is None else topic.retention_ms
    return {
        "apiVersion": "kafka.strimzi.io/v1beta2",
        "kind": "KafkaTopic",
        "metadata": {"name": topic.name, "labels": {"strimzi.io/cluster": CLUSTER}},
        "spec": {
            "partitions": topic.partitions,
            "replicas": REPLICAS,
            "config": {
                "cleanup.policy": topic.cleanup,
                "retention.ms": retention_ms,
                "retention.bytes": _UNLIMITED,
                "segment.ms": topic.segment_ms,
                "min.insync.replicas": IN_SYNC,
                **topic.timestamps,
            },
        },
    }


def user_document(access: KafkaAccess) -> dict[str, Any]:
    """Return a user as Strimzi's operator reads it; the operator creates the secret with its password."""
    by_resource = groupby(access.acl_entries, key=lambda entry: (entry.kind, entry.name))
    return {
        "apiVersion": "kafka.strimzi.io/v1beta2",
        "kind": "KafkaUser",
        "metadata": {"name": access.user, "labels": {"strimzi.io/cluster": CLUSTER}},
        "spec": {
            "authentication": {"type": "scram-sha-512"},
            "authorization": {
                "type": "simple",
                "acls": [_rule(list(rights)) for _, rights in by_resource],
            },
        },
    }


def _rule(entries: list[AclEntry]) -> dict[str, Any]:
    first_entry = entries[0]
    resource: dict[str, Any] = {"type": first_entry.kind}
    if first_entry.kind != "cluster":  # there is only one, which has no name
        resource |= {"name": first_entry.name, "patternType": "literal"}
    return {"resource": resource, "operations": [entry.operation for entry in entries]}
