"""Read ACLs and topics from the brokers, and check the topics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._config import ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from services.kafka.access import KafkaAccess
from services.kafka.topic_checks import TopicState, check_topic
from services.kafka.topic_retention import RetentionRequirement
from services.operations.doctor.acls import AclRule, AclRules
from services.operations.doctor.findings import Finding, error, ok, warning

_CALL_SECONDS = 15.0
_AUTHORIZER = "authorizer.class.name"
_SUPERUSERS = "super.users"
_HIDDEN = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
)
_OPEN = "allow.everyone.if.no.acl.found"
_APPLY = "`termijn topics apply`"


def describe_acls(admin: AdminClient) -> AclRules:
    """Read the ACLs from the brokers.

    Raises:
        KafkaException: the brokers did not respond.
    """
    # Brokers without an authorizer respond as if they had no ACLs; their setting shows which it is.
    listed = admin.list_topics(timeout=_CALL_SECONDS)
    broker = ConfigResource(ResourceType.BROKER, str(min(listed.brokers)))
    config = admin.describe_configs([broker], request_timeout=_CALL_SECONDS)[broker]
    try:
        settings = config.result(_CALL_SECONDS)
        if not _value(settings, _AUTHORIZER):
            return AclRules(enforced=False)
        any_acl = AclBindingFilter(
            ResourceType.ANY,
            None,  # type: ignore[arg-type]  # None means any, as its documentation states
            ResourcePatternType.ANY,
            None,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        rules = admin.describe_acls(any_acl, request_timeout=_CALL_SECONDS).result(_CALL_SECONDS)
    except KafkaException as cause:
        if cause.args[0].code() == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
            return AclRules(enforced=True)
        raise
    return AclRules(
        enforced=True,
        rules=[_rule(binding) for binding in rules],
        superusers=frozenset(filter(None, _value(settings, _SUPERUSERS).split(";"))),
        open_by_default=_value(settings, _OPEN) == "true",
    )


def describe_own_access(admin: AdminClient, access: KafkaAccess) -> AclRules:
    """Read what the current user may do with the topics and groups it needs, where ACLs are hidden.

    Raises:
        KafkaException: the brokers did not respond.
    """
    topics, groups = [topic.name for topic in access.topics], list(access.groups)
    described = admin.describe_topics(
        TopicCollection(topics), include_authorized_operations=True, request_timeout=_CALL_SECONDS
    )
    allowed = [("topic", name, _operations(description)) for name, description in described.items()]
    if groups:
        group_descriptions = admin.describe_consumer_groups(
            groups, include_authorized_operations=True, request_timeout=_CALL_SECONDS
        )
        allowed += [
            ("group", name, _operations(description))
            for name, description in group_descriptions.items()
        ]
    rules = [
        AclRule(principal=f"User:{access.user}", kind=kind, name=name, operation=operation)
        for kind, name, operations in allowed
        for operation in operations
    ]
    return AclRules(enforced=True, rules=rules)


def _operations(description: Future[Any]) -> list[str]:
    try:
        operations = description.result(_CALL_SECONDS).authorized_operations
    except KafkaException as cause:
        if cause.args[0].code() in _HIDDEN:
            return []
        raise
    return [_operation_name(operation) for operation in operations or ()]


def _operation_name(operation: AclOperation) -> str:
    return operation.name.title().replace("_", "")


def _value(settings: Mapping[str, ConfigEntry], name: str) -> str:
    return str(settings[name].value or "") if name in settings else ""


def _rule(binding: AclBinding) -> AclRule:
    kind, operation = ResourceType(binding.restype), AclOperation(binding.operation)
    return AclRule(
        principal=binding.principal,
        kind="cluster" if kind is ResourceType.BROKER else kind.name.lower(),
        name=binding.name,
        operation=_operation_name(operation),
        prefixed=binding.resource_pattern_type is ResourcePatternType.PREFIXED,
        allows=binding.permission_type is AclPermissionType.ALLOW,
        host=binding.host,
    )


def check_topics(
    requirements: Sequence[RetentionRequirement], states: Mapping[str, TopicState]
) -> Iterator[Finding]:
    """Check each topic against the catalogue and the policy."""
    problems = 0
    for requirement in requirements:
        topic, state = requirement.topic, states.get(requirement.topic.name)
        topic_check = check_topic(requirement, state)
        for violation in topic_check.problems:
            problems += 1
            yield error("topics", violation, _APPLY, topic.name)
        if state is not None and state.partitions != topic.partitions:
            problems += 1
            yield warning(
                "topics",
                f"has {state.partitions} partitions, but the catalogue has {topic.partitions}",
                "keep it while it has data, since its keys would move to other partitions;"
                f" delete it only when empty, and create it again with {_APPLY}",
                topic.name,
            )
    if not problems:
        yield ok("topics", f"{len(requirements)} exist as in the catalogue")
