"""The doctor checks ACLs as Kafka's own authorizer would, and names the command that adds a missing one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.kafka.access import AclEntry, KafkaAccess, deployment_access
from services.operations.doctor.acls import AclRule, AclRules, check_acls, check_own_acls
from services.operations.doctor.findings import Finding
from services.policy.loader import load

USERS = deployment_access(load(), "termijn")
RECORDER = next(user for user in USERS if user.user == "termijn-recorder")
DELETER = "termijn-deleter"
TAGGED = "retention.tagged.v1"
READS = AclEntry(kind="topic", name=TAGGED, operation="Read")
DESCRIBES = AclEntry(kind="topic", name=TAGGED, operation="Describe")
ALLOWED = AclRule(principal="User:termijn-recorder", kind="topic", name=TAGGED, operation="Read")


def all_rules(*users: KafkaAccess) -> list[AclRule]:
    """Return the ACLs that deploy/kafka/users.yaml gives to these users."""
    return [
        AclRule(
            principal=f"User:{use.user}",
            kind=acl_entry.kind,
            name=acl_entry.name,
            operation=acl_entry.operation,
        )
        for use in users
        for acl_entry in use.acl_entries
    ]


def check(rights: AclRules) -> list[Finding]:
    """Return the findings where agents and publishers may have other names."""
    optional = {user.user for user in USERS if "agent" in user.user or "publisher" in user.user}
    return list(check_acls(rights, USERS, optional, DELETER))


@pytest.mark.parametrize(
    ("rule", "may_read"),
    [
        (ALLOWED, True),
        (replace(ALLOWED, operation="All"), True),
        (replace(ALLOWED, name="*"), True),
        (replace(ALLOWED, name="retention.", prefixed=True), True),
        (replace(ALLOWED, principal="User:*"), True),
        (replace(ALLOWED, principal="User:CN=termijn-recorder,O=Company"), True),
        (replace(ALLOWED, operation="Write"), False),
        (replace(ALLOWED, operation="Describe"), False),
        (replace(ALLOWED, name="retention."), False),
        (replace(ALLOWED, name="orders.", prefixed=True), False),
        (replace(ALLOWED, kind="group"), False),
        (replace(ALLOWED, principal="User:termijn-record"), False),
        (replace(ALLOWED, principal="User:CN=termijn-recorder2"), False),
        (replace(ALLOWED, principal="Group:termijn-recorder"), False),
        (replace(ALLOWED, allows=False), False),
    ],
    ids=str,
)
def test_an_acl_allows_one_operation_of_one_user(rule: AclRule, may_read: bool) -> None:
    """Principal, resource and operation decide."""
    rights = AclRules(enforced=True, rules=[rule])
    assert rights.allows("termijn-recorder", READS) is may_read


@pytest.mark.parametrize(
    ("operation", "may_describe"),
    [("Read", True), ("Write", True), ("Alter", True), ("Delete", True), ("Create", False)],
)
def test_some_operations_include_describe(operation: str, may_describe: bool) -> None:
    """In Kafka a user who may read may describe, and one who may create may not."""
    rights = AclRules(enforced=True, rules=[replace(ALLOWED, operation=operation)])
    assert rights.allows("termijn-recorder", DESCRIBES) is may_describe


def test_altering_settings_includes_describing_them() -> None:
    """AlterConfigs includes DescribeConfigs, and not Describe."""
    rights = AclRules(enforced=True, rules=[replace(ALLOWED, operation="AlterConfigs")])
    assert rights.allows("termijn-recorder", replace(READS, operation="DescribeConfigs"))
    assert not rights.allows("termijn-recorder", DESCRIBES)


def test_a_denied_operation_is_denied() -> None:
    """It does not matter what else allows it; a rule for one host only is not judged."""
    denied = replace(ALLOWED, principal="User:*", operation="All", allows=False)
    assert not AclRules(enforced=True, rules=[ALLOWED, denied]).allows("termijn-recorder", READS)
    elsewhere = replace(denied, host="10.0.0.7")
    assert AclRules(enforced=True, rules=[ALLOWED, elsewhere]).allows("termijn-recorder", READS)


def test_denying_describe_does_not_deny_read() -> None:
    """Only denying read itself, or all operations, does."""
    denied = replace(ALLOWED, operation="Describe", allows=False)
    rights = AclRules(enforced=True, rules=[ALLOWED, denied])
    assert rights.allows("termijn-recorder", READS)
    assert not rights.allows("termijn-recorder", DESCRIBES)


def test_a_superuser_may_do_everything() -> None:
    """ACLs do not apply to it."""
    rights = AclRules(enforced=True, rules=[], superusers={"User:termijn-recorder"})
    assert rights.allows("termijn-recorder", READS)


def test_a_resource_without_acls_may_be_open() -> None:
    """Brokers may be configured so; one ACL closes it for all other users."""
    rights = AclRules(enforced=True, rules=[], open_by_default=True)
    assert rights.allows("termijn-recorder", READS)
    others = replace(ALLOWED, principal="User:other")
    assert not replace(rights, rules=[others]).allows("termijn-recorder", READS)


def test_the_acls_that_termijn_writes_are_ok() -> None:
    """No user lacks a right, and only the deleter may write commands."""
    [finding] = check(AclRules(enforced=True, rules=all_rules(*USERS)))
    assert finding.state == "ok"
    assert finding.problem.endswith("24 users have what they need")


def test_a_missing_acl_is_named_with_its_fix() -> None:
    """Resource, operation and role."""
    rules = [
        rule
        for rule in all_rules(*USERS)
        if (rule.principal, rule.name) != ("User:termijn-recorder", TAGGED)
    ]
    findings = check(AclRules(enforced=True, rules=rules))
    assert [(finding.state, finding.target, finding.problem) for finding in findings] == [
        ("error", "topic retention.tagged.v1", "termijn-recorder may not Describe"),
        ("error", "topic retention.tagged.v1", "termijn-recorder may not Read"),
    ]
    assert findings[1].fix == (
        "`kafka-acls --add --allow-principal User:termijn-recorder --operation Read"
        " --topic retention.tagged.v1`, or apply deploy/kafka/users.yaml"
    )


def test_a_missing_group_is_named() -> None:
    """Without it a role never gets a partition."""
    rules = [
        rule
        for rule in all_rules(*USERS)
        if (rule.kind, rule.name) != ("group", "termijn-recorder")
    ]
    findings = check(AclRules(enforced=True, rules=rules))
    assert {finding.target for finding in findings} == {"group termijn-recorder"}
    assert "--group termijn-recorder`" in findings[0].fix


def test_a_role_without_any_acl_is_reported_once() -> None:
    """It is not reported for each right; users that may have other names are a warning."""
    visible_users = [
        user for user in USERS if user.user not in ("termijn-recorder", "termijn-agent-crm")
    ]
    findings = check(AclRules(enforced=True, rules=all_rules(*visible_users)))
    assert [(finding.state, finding.target, finding.problem) for finding in findings] == [
        (
            "error",
            "user termijn-recorder",
            "no ACL names this user: 6 of 6 are missing",
        ),
        (
            "warning",
            "user termijn-agent-crm",
            "no ACL names this user: 6 of 6 are missing",
        ),
    ]


def test_other_users_who_may_write_commands_are_reported() -> None:
    """ACLs may name them, a prefix, or all users."""
    more = [
        AclRule(
            principal="User:eve", kind="topic", name="retention.commands.crm.v1", operation="Write"
        ),
    ]
    [finding] = check(AclRules(enforced=True, rules=[*all_rules(*USERS), *more]))
    assert (finding.state, finding.target) == ("warning", "topic retention.commands.crm.v1")
    assert finding.problem == "User:eve may write to it, but only termijn-deleter should"


def test_a_cluster_without_an_authorizer_is_a_warning() -> None:
    """Any user may command an erasure."""
    [finding] = check(AclRules(enforced=False))
    assert finding.state == "warning"
    assert "no authorizer" in finding.problem


def test_acls_that_are_not_visible_are_not_checked() -> None:
    """They are visible only to users who may describe the cluster."""
    [finding] = check(AclRules(enforced=True))
    assert finding.state == "skipped"


def test_a_cluster_without_acls_is_a_fault() -> None:
    """No role may do anything."""
    [finding] = check(AclRules(enforced=True, rules=[]))
    assert finding.state == "error"
    assert "no ACLs" in finding.problem


def test_a_user_is_shown_its_own_missing_acls() -> None:
    """The brokers show it its own rights."""
    [finding] = check_own_acls(AclRules(enforced=True, rules=all_rules(RECORDER)), RECORDER)
    assert finding.state == "ok"
    rules = [rule for rule in all_rules(RECORDER) if rule.kind != "group"]
    lacks = check_own_acls(AclRules(enforced=True, rules=rules), RECORDER)
    assert [lacking.problem for lacking in lacks] == [
        "termijn-recorder may not Describe",
        "termijn-recorder may not Read",
    ]
