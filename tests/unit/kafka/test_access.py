"""Which user does what on Kafka: none may do more than its part of the flow of data needs."""

from __future__ import annotations

import pytest

from services.kafka.access import (
    AclEntry,
    KafkaAccess,
    access_table,
    agent_access,
    deployment_access,
)
from services.policy.loader import load

POLICY = load()
USERS = {user.user: user for user in deployment_access(POLICY, "termijn")}


def users_who_may(operation: str, topic: str) -> set[str]:
    """The users that may do this with a topic."""
    right = ("topic", topic, operation)
    return {
        user
        for user, use in USERS.items()
        if right
        in {(acl_entry.kind, acl_entry.name, acl_entry.operation) for acl_entry in use.acl_entries}
    }


def test_only_the_deleter_may_write_commands() -> None:
    """Neither an operator nor a publisher does."""
    assert users_who_may("Write", "retention.commands.crm.v1") == {"termijn-deleter"}


def test_a_system_reads_only_its_own_commands() -> None:
    """Other systems do not see whose data a system must erase; the deleter sees what it has sent."""
    assert users_who_may("Read", "retention.commands.crm.v1") == {
        "termijn-agent-crm",
        "termijn-deleter",
        "termijn-watch",
    }


def test_a_system_writes_only_its_own_acknowledgements() -> None:
    """An operator may replay parked ones, which are signed."""
    users = users_who_may("Write", "retention.acks.crm.v1")
    assert users == {"termijn-agent-crm", "termijn-operator"}


def test_publishers_write_orders_and_the_tagger_reads_them() -> None:
    """Their bodies go no further."""
    assert users_who_may("Read", "orders.order-placed.v1") == {"termijn-tagger"}
    assert users_who_may("Write", "orders.order-placed.v1") == {
        "termijn-publisher",
        "termijn-operator",
    }


def test_no_publisher_may_write_termijns_own_events() -> None:
    """The ledger decides who is answered."""
    users = users_who_may("Write", "privacy.request-answered.v1")
    assert users == {"termijn-rights", "termijn-operator"}


def test_the_tagger_writes_what_the_recorder_reads() -> None:
    """Tagged events and dead letters; an operator replays what the recorder parked."""
    assert users_who_may("Write", "retention.tagged.v1") == {"termijn-tagger", "termijn-operator"}
    assert users_who_may("Write", "retention.dead-letters.v1") == {"termijn-tagger"}
    for topic in ("retention.tagged.v1", "retention.dead-letters.v1"):
        assert users_who_may("Read", topic) == {"termijn-recorder"}


def test_the_rights_role_reads_requests_too() -> None:
    """They contain corrections, which systems get and the ledger does not keep."""
    users = users_who_may("Read", "privacy.request-received.v1")
    assert users == {"termijn-tagger", "termijn-rights"}


def test_only_the_deleter_writes_the_heads_of_the_evidence() -> None:
    """A process that keeps them elsewhere is not part of Termijn, and gets a user of its own."""
    assert users_who_may("Write", "retention.evidence-heads.v1") == {"termijn-deleter"}
    assert users_who_may("Read", "retention.evidence-heads.v1") == set()


def test_operators_make_topics_and_roles_do_not() -> None:
    """A missing topic is a mistake that a role should report."""
    assert users_who_may("Create", "retention.tagged.v1") == {"termijn-operator"}
    assert users_who_may("AlterConfigs", "retention.tagged.v1") == {"termijn-operator"}


def test_operators_read_no_message() -> None:
    """They administer Kafka, and do not read it."""
    assert not [
        entry for entry in USERS["termijn-operator"].acl_entries if entry.operation == "Read"
    ]


def test_roles_that_check_catch_up_may_describe_and_not_read() -> None:
    """The deleter and the rights role check whether all events are recorded."""
    assert users_who_may("Describe", "orders.order-placed.v1") == {
        "termijn-tagger",
        "termijn-deleter",
        "termijn-rights",
        "termijn-publisher",
        "termijn-operator",
    }


@pytest.mark.parametrize("use", USERS.values(), ids=USERS)
def test_a_consumer_group_belongs_to_one_user(use: KafkaAccess) -> None:
    """No user can take over the partitions of another."""
    groups = {acl_entry.name for acl_entry in use.acl_entries if acl_entry.kind == "group"}
    assert groups <= {use.user}
    assert bool(groups) == bool(use.reads)


def test_a_prefix_separates_two_installations_on_one_cluster() -> None:
    """It is a prefix of consumer groups and of users."""
    night = access_table(POLICY, "night")["tagger"]
    assert (night.user, night.groups) == ("night-tagger", ("night-tagger",))
    assert agent_access("crm", "night-agent").user == "night-agent-crm"


def test_a_topic_that_is_read_and_written_is_listed_once() -> None:
    """The watch reads the sightings that it wrote."""
    entries = [
        entry
        for entry in USERS["termijn-watch"].acl_entries
        if entry.name == "retention.sightings.v1"
    ]
    assert entries == [
        AclEntry(kind="topic", name="retention.sightings.v1", operation="Describe"),
        AclEntry(kind="topic", name="retention.sightings.v1", operation="Read"),
        AclEntry(kind="topic", name="retention.sightings.v1", operation="Write"),
    ]
