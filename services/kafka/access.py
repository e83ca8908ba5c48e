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

AGENTS: Final = "termijn-agent"
"""The prefix of the agents' groups, as an agent's file has it unless it says otherwise."""
SAMPLES: Final = "sample-systems"
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
    looks: tuple[Topic, ...] = ()
    """Of these it only asks how far they go."""
    administers: tuple[Topic, ...] = ()
    """These it makes, and sets how long they keep what; their messages it neither reads nor writes."""
    groups: tuple[str, ...] = ()
    asks_cluster: bool = False
    """Whether it reads the brokers' settings and rules."""

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Every topic that it needs to be there, by name."""
        named = (*self.reads, *self.writes, *self.looks, *self.administers)
        found = {one.name: one for one in named}
        return tuple(found[name] for name in sorted(found))

    @property
    def rights(self) -> tuple[AclEntry, ...]:
        """The least that lets it do that, sorted."""
        return tuple(sorted(set(self._rights())))

    def _rights(self) -> Iterator[AclEntry]:
        operations: tuple[tuple[tuple[Topic, ...], tuple[Operation, ...]], ...] = (
            (self.reads, ("Read", "Describe")),
            (self.writes, ("Write", "Describe")),
            (self.looks, ("Describe",)),
            (self.administers, ("Create", "Describe", "DescribeConfigs", "AlterConfigs")),
        )
        for several, allowed in operations:
            for topic in several:
                for operation in allowed:
                    yield AclEntry(kind="topic", name=topic.name, operation=operation)
        for group in self.groups:
            yield AclEntry(kind="group", name=group, operation="Read")
            yield AclEntry(kind="group", name=group, operation="Describe")
        if self.asks_cluster:
            yield AclEntry(kind="cluster", name=CLUSTER, operation="Describe")
            yield AclEntry(kind="cluster", name=CLUSTER, operation="DescribeConfigs")


def access_table(policy: Policy, group: str) -> Mapping[str, KafkaAccess]:
    """What each role, the publishers and the operators do, by their names; `group` is their prefix.

    The sample systems are there too; nobody deploys those.
    """
    business = tuple(topics.business_topic(name) for name in sorted(policy.events))
    own = tuple(one for one in business if one.schema in topics.OWN_EVENTS)
    told = tuple(one for one in business if one not in own)
    asked = tuple(one for one in business if policy.events[one.schema].act == "request-received")
    commands = tuple(topics.command_topic(system) for system in policy.systems)
    answers = tuple(topics.acknowledgement_topic(system) for system in policy.systems)
    log = (*business, TAGGED, DEAD_LETTERS)
    tables = tuple(topics.watch_topics(f"{group}-watch"))
    found = (
        _use(group, "tagger", reads=business, writes=(TAGGED, DEAD_LETTERS)),
        _use(group, "recorder", reads=(TAGGED, DEAD_LETTERS)),
        _use(group, "deleter", writes=(*commands, EVIDENCE_HEADS), looks=log),
        _use(group, "acknowledgements", reads=answers),
        _use(group, "rights", reads=asked, writes=own, looks=log),
        _use(group, "watch", reads=(*commands, *answers, *tables), writes=tables),
        _use(group, PUBLISHER, writes=told),
        KafkaAccess(
            user=f"{group}-{OPERATOR}",
            # `termijn dead-letters replay` puts back what came from any of these
            writes=(*business, TAGGED, *answers),
            administers=(*log, EVIDENCE_HEADS, *commands, *answers, *tables),
            asks_cluster=True,
        ),
        _use(group, SAMPLES, reads=(*business, *commands), writes=answers),
    )
    return {one.user.removeprefix(f"{group}-"): one for one in found}


def agent_access(system: str, agents: str = AGENTS) -> KafkaAccess:
    """What the agent of one system does; `agents` is the prefix of its group."""
    reads, writes = (topics.command_topic(system),), (topics.acknowledgement_topic(system),)
    return _use(agents, system, reads=reads, writes=writes)


def deployment_access(policy: Policy, group: str) -> tuple[KafkaAccess, ...]:
    """Every user of a deployment, with each system's agent."""
    own = [one for name, one in access_table(policy, group).items() if name != SAMPLES]
    return (*own, *(agent_access(system) for system in policy.systems))


def _use(
    prefix: str,
    name: str,
    *,
    reads: tuple[Topic, ...] = (),
    writes: tuple[Topic, ...] = (),
    looks: tuple[Topic, ...] = (),
) -> KafkaAccess:
    user = f"{prefix}-{name}"
    groups = (user,) if reads else ()
    return KafkaAccess(user=user, reads=reads, writes=writes, looks=looks, groups=groups)
