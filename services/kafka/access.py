"""Who does what on the bus: one table, by which roles make their topics and brokers get rules. Pure.

A user of the brokers has the name of its consumer group, so `termijn-tagger` is the tagger. What stands
here is all that it may do: `deploy/kafka/users.yaml` and the doctor's judgement are made from it.
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
"""The prefix of the agents' groups, as an agent's file has it unless it says otherwise."""
SAMPLE_SYSTEMS: Final = "sample-systems"
CLUSTER: Final = "kafka-cluster"
"""What Kafka calls the cluster in its rules."""
PUBLISHER: Final = "publisher"
OPERATOR: Final = "operator"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class AclEntry:
    """One thing that a user may do with one thing."""

    kind: Kind
    name: str
    operation: Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaAccess:
    """What one user of the bus does there, and nothing else."""

    user: str
    reads: tuple[Topic, ...] = ()
    writes: tuple[Topic, ...] = ()
    describes: tuple[Topic, ...] = ()
    """Of these it only asks how far they go."""
    administers: tuple[Topic, ...] = ()
    """These it makes, and sets how long they keep what; their messages it neither reads nor writes."""
    groups: tuple[str, ...] = ()
    describes_cluster: bool = False
    """Whether it reads the brokers' settings and rules."""

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Every topic that it needs to be there, by name."""
        used = (*self.reads, *self.writes, *self.describes, *self.administers)
        by_name = {topic.name: topic for topic in used}
        return tuple(by_name[name] for name in sorted(by_name))

    @property
    def acl_entries(self) -> tuple[AclEntry, ...]:
        """The least that lets it do that, sorted."""
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
    """What each role, the publishers and the operators do, by their names; `group` is their prefix.

    The sample systems are there too; nobody deploys those.
    """
    business = tuple(topics.business_topic(name) for name in sorted(policy.events))
    own = tuple(topic for topic in business if topic.schema in topics.OWN_EVENTS)
    published = tuple(one for one in business if one not in own)
    request_topics = tuple(
        one for one in business if policy.events[one.schema].act == "request-received"
    )
    commands = tuple(topics.command_topic(system) for system in policy.systems)
    acknowledgements = tuple(topics.acknowledgement_topic(system) for system in policy.systems)
    log = (*business, TAGGED, DEAD_LETTERS)
    watch_tables = tuple(topics.watch_topics(f"{group}-watch"))
    users = (
        _access(group, "tagger", reads=business, writes=(TAGGED, DEAD_LETTERS)),
        _access(group, "recorder", reads=(TAGGED, DEAD_LETTERS)),
        _access(group, "deleter", writes=(*commands, EVIDENCE_HEADS), describes=log),
        _access(group, "acknowledgements", reads=acknowledgements),
        _access(group, "rights", reads=request_topics, writes=own, describes=log),
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
    return {one.user.removeprefix(f"{group}-"): one for one in users}


def agent_access(system: str, group_prefix: str = AGENT_GROUP_PREFIX) -> KafkaAccess:
    """What the agent of one system does; `agents` is the prefix of its group."""
    reads, writes = (topics.command_topic(system),), (topics.acknowledgement_topic(system),)
    return _access(group_prefix, system, reads=reads, writes=writes)


def deployment_access(policy: Policy, group: str) -> tuple[KafkaAccess, ...]:
    """Every user of a deployment, with each system's agent."""
    own = [access for name, access in access_table(policy, group).items() if name != SAMPLE_SYSTEMS]
    return (*own, *(agent_access(system) for system in policy.systems))


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
