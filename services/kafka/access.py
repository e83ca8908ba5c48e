"""Kafka access: the one table of which user reads, writes and creates which topics. Pure.

A Kafka user has the name of its consumer group, so `termijn-tagger` is the tagger. The table is complete:
`deploy/kafka/users.yaml` and the doctor's checks are generated from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from schemas import topics
from schemas.topics import DEAD_LETTERS, EVIDENCE_HEADS, TAGGED, Topic
from services.policy.model import Policy

Kind = Literal["topic", "group", "cluster"]
Operation = Literal["Read", "Write", "Create", "Describe", "DescribeConfigs", "AlterConfigs"]

AGENT_GROUP_PREFIX: Final = "termijn-agent"
"""The default prefix of the agents' consumer groups; an agent's file may set another."""
SAMPLE_SYSTEMS: Final = "sample-systems"
CLUSTER: Final = "kafka-cluster"
"""The cluster's name in Kafka's ACLs."""
PUBLISHER: Final = "publisher"
OPERATOR: Final = "operator"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class AclEntry:
    """One ACL: an operation that a user may do on a topic, a group or the cluster."""

    kind: Kind
    name: str
    operation: Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaAccess:
    """All that one Kafka user does."""

    user: str
    reads: tuple[Topic, ...] = ()
    writes: tuple[Topic, ...] = ()
    describes: tuple[Topic, ...] = ()
    """Topics of which it reads the end offsets only."""
    administers: tuple[Topic, ...] = ()
    """Topics that it creates and configures; it neither reads nor writes their messages."""
    groups: tuple[str, ...] = ()
    describes_cluster: bool = False
    """Whether it reads the brokers' settings and ACLs."""

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Every topic that it needs, sorted by name."""
        needed_topics = (*self.reads, *self.writes, *self.describes, *self.administers)
        by_name = {topic.name: topic for topic in needed_topics}
        return tuple(by_name[name] for name in sorted(by_name))

    @property
    def acl_entries(self) -> tuple[AclEntry, ...]:
        """The smallest set of ACLs that allows all of this, sorted."""
        return tuple(sorted(set(self._acl_entries())))

    def _acl_entries(self) -> Iterator[AclEntry]:
        operations: tuple[tuple[tuple[Topic, ...], tuple[Operation, ...]], ...] = (
            (self.reads, ("Read", "Describe")),
            (self.writes, ("Write", "Describe")),
            (self.describes, ("Describe",)),
            (self.administers, ("Create", "Describe", "DescribeConfigs", "AlterConfigs")),
        )
        for permitted, topic_operations in operations:
            for topic in permitted:
                for operation in topic_operations:
                    yield AclEntry(kind="topic", name=topic.name, operation=operation)
        for group in self.groups:
            yield AclEntry(kind="group", name=group, operation="Read")
            yield AclEntry(kind="group", name=group, operation="Describe")
        if self.describes_cluster:
            yield AclEntry(kind="cluster", name=CLUSTER, operation="Describe")
            yield AclEntry(kind="cluster", name=CLUSTER, operation="DescribeConfigs")


def access_table(policy: Policy, group: str) -> Mapping[str, KafkaAccess]:
    """Return the access of each role, the publishers and the operators, by name; `group` is their prefix.

    The sample systems are included; they are not deployed.
    """
    business = tuple(topics.business_topic(name) for name in sorted(policy.events))
    own_topics = tuple(topic for topic in business if topic.schema in topics.OWN_EVENTS)
    published = tuple(topic for topic in business if topic not in own_topics)
    request_topics = tuple(
        topic for topic in business if policy.events[topic.schema].act == "request-received"
    )
    commands = tuple(topics.command_topic(system) for system in policy.systems)
    acknowledgements = tuple(topics.acknowledgement_topic(system) for system in policy.systems)
    log = (*business, TAGGED, DEAD_LETTERS)
    watch_tables = tuple(topics.watch_topics(f"{group}-watch"))
    users = (
        _access(group, "tagger", reads=business, writes=(TAGGED, DEAD_LETTERS)),
        _access(group, "recorder", reads=(TAGGED, DEAD_LETTERS)),
        _access(
            group, "deleter", reads=commands, writes=(*commands, EVIDENCE_HEADS), describes=log
        ),
        _access(group, "acknowledgements", reads=acknowledgements),
        _access(group, "rights", reads=request_topics, writes=own_topics, describes=log),
        _access(
            group, "watch", reads=(*commands, *acknowledgements, *watch_tables), writes=watch_tables
        ),
        _access(group, PUBLISHER, writes=published),
        KafkaAccess(
            user=f"{group}-{OPERATOR}",
            # `termijn dead-letters replay` puts back what came from any of these
            writes=(*business, TAGGED, *acknowledgements),
            administers=(*log, EVIDENCE_HEADS, *commands, *acknowledgements, *watch_tables),
            describes_cluster=True,
        ),
        _access(group, SAMPLE_SYSTEMS, reads=(*business, *commands), writes=acknowledgements),
    )
    return {topic.user.removeprefix(f"{group}-"): topic for topic in users}


def agent_access(system: str, group_prefix: str = AGENT_GROUP_PREFIX) -> KafkaAccess:
    """Return the access of one system's agent; `group_prefix` is the prefix of its group."""
    reads, writes = (topics.command_topic(system),), (topics.acknowledgement_topic(system),)
    return _access(group_prefix, system, reads=reads, writes=writes)


def deployment_access(policy: Policy, group: str) -> tuple[KafkaAccess, ...]:
    """Return the access of every user of a deployment, including each system's agent."""
    role_access = [
        access for name, access in access_table(policy, group).items() if name != SAMPLE_SYSTEMS
    ]
    return (*role_access, *(agent_access(system) for system in policy.systems))


def _access(
    prefix: str,
    name: str,
    *,
    reads: tuple[Topic, ...] = (),
    writes: tuple[Topic, ...] = (),
    describes: tuple[Topic, ...] = (),
) -> KafkaAccess:
    user = f"{prefix}-{name}"
    groups = (user,) if reads else ()
    return KafkaAccess(user=user, reads=reads, writes=writes, describes=describes, groups=groups)
