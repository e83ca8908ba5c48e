"""The doctor at the bus: brokers, topics and rights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
)
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from services.doctor.findings import Finding, fault, sound, unchecked, warning
from services.topics.judging import Found, judge
from services.topics.promises import Promise

_CALL_SECONDS = 15.0
_AUTHORIZER = "authorizer.class.name"
_APPLY = "`termijn topics apply`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """Who may do what, as the broker tells."""

    enforced: bool
    """Whether there is an authorizer at all."""
    bindings: int | None
    """How many there are; None where we may not see them."""


def rights(admin: AdminClient) -> Rights:
    """Ask the brokers for their access rules.

    Raises:
        KafkaException: they did not answer.
    """
    # Brokers without an authorizer answer as if they had one without rules: their setting tells.
    listed = admin.list_topics(timeout=_CALL_SECONDS)
    broker = ConfigResource(ResourceType.BROKER, str(min(listed.brokers)))
    asked = admin.describe_configs([broker], request_timeout=_CALL_SECONDS)[broker]
    try:
        authorizer = asked.result(_CALL_SECONDS).get(_AUTHORIZER)
        if authorizer is None or not authorizer.value:
            return Rights(enforced=False, bindings=None)
        every = AclBindingFilter(
            ResourceType.ANY,
            None,  # type: ignore[arg-type]  # any, says its documentation
            ResourcePatternType.ANY,
            None,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        rules = admin.describe_acls(every, request_timeout=_CALL_SECONDS)
        return Rights(enforced=True, bindings=len(rules.result(_CALL_SECONDS)))
    except KafkaException as cause:
        if cause.args[0].code() == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
            return Rights(enforced=True, bindings=None)
        raise


def check_rights(found: Rights) -> Finding:
    """Whether somebody decides who may write a command."""
    if not found.enforced:
        return warning(
            "acls",
            "the brokers have no authorizer: whoever reaches them may read and write everything",
            "set `authorizer.class.name` on the brokers, and give each role the rights it needs",
        )
    if found.bindings is None:
        return unchecked("acls", "the brokers do not show their rules to this user")
    if not found.bindings:
        return fault(
            "acls",
            "the brokers have an authorizer and not one rule: no role may do anything",
            "give each role the rights it needs (`kafka-acls --add`)",
        )
    return sound("acls", f"{found.bindings} rules")


def check_topics(promised: Sequence[Promise], found: Mapping[str, Found]) -> Iterator[Finding]:
    """Each topic against the catalogue and the policy."""
    wrong = 0
    for promise in promised:
        topic, there = promise.topic, found.get(promise.topic.name)
        judged = judge(promise, there)
        for what in judged.findings:
            wrong += 1
            yield fault("topics", what, _APPLY, topic.name)
        if there is not None and there.partitions != topic.partitions:
            wrong += 1
            yield warning(
                "topics",
                f"has {there.partitions} partitions, the catalogue says {topic.partitions}",
                "leave it while it carries data: other partitions would get the same keys;"
                f" else delete it and make it anew with {_APPLY}",
                topic.name,
            )
    if not wrong:
        yield sound("topics", f"{len(promised)} are there, as the catalogue has them")
