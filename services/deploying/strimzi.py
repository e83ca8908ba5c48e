"""Kafka topics as Strimzi's `KafkaTopic`, from the catalogue. Pure.

The names in the files are those of the brokers: whoever renames a topic in code only is told by a test.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from schemas.catalogue import Topic

REPLICAS = 3
IN_SYNC = 2
"""Producers wait for every replica in sync: with fewer than this nothing is taken for written."""
CLUSTER = "kafka"
"""The name of the `Kafka` resource that the topics belong to."""
TOPICS = Path("kafka") / "topics.yaml"
_FOR_EVER = -1
_HEADER = "# Written by `termijn deploy write` from schemas/catalogue.py.\n"


def files(topics: Iterable[Topic]) -> Mapping[Path, str]:
    """Every file, by its path below the directory that they are written to."""
    documents = [topic_document(one) for one in sorted(topics, key=lambda one: one.name)]
    return {TOPICS: _HEADER + yaml.safe_dump_all(documents, sort_keys=False, explicit_start=True)}


def topic_document(topic: Topic) -> dict[str, Any]:
    """One topic, as Strimzi's topic operator reads it."""
    kept = _FOR_EVER if topic.retention_ms is None else topic.retention_ms
    return {
        "apiVersion": "kafka.strimzi.io/v1beta2",
        "kind": "KafkaTopic",
        "metadata": {"name": topic.name, "labels": {"strimzi.io/cluster": CLUSTER}},
        "spec": {
            "partitions": topic.partitions,
            "replicas": REPLICAS,
            "config": {
                "cleanup.policy": topic.cleanup,
                "retention.ms": kept,
                "retention.bytes": _FOR_EVER,
                "segment.ms": topic.segment_ms,
                "min.insync.replicas": IN_SYNC,
            },
        },
    }
