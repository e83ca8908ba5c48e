"""Check the brokers' ACLs: each user has what it needs, and only the deleter may write commands.

As Kafka's own authorizer decides: a denial wins; `Read`, `Write`, `Delete` and `Alter` include `Describe`,
and `AlterConfigs` includes `DescribeConfigs`. The host of a rule is not checked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from services.kafka.access import AclEntry, KafkaAccess
from services.operations.doctor.findings import Finding, error, ok, skipped, warning

_ANY_PRINCIPAL: Final = "User:*"
_ANY: Final = "*"
_ALL: Final = "All"
_INCLUDED: Final = {
    "Describe": frozenset({"Read", "Write", "Delete", "Alter"}),
    "DescribeConfigs": frozenset({"AlterConfigs"}),
}
_FILE: Final = "deploy/kafka/users.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class AclRule:
    """One ACL of the brokers, in Kafka's words."""

    principal: str
    """Such as `User:termijn-tagger`."""
    kind: str
    name: str
    operation: str
    prefixed: bool = False
    """Whether `name` is a prefix of names."""
    allows: bool = True
    host: str = _ANY

    def matches(self, kind: str, name: str) -> bool:
        """Whether the rule applies to this resource."""
        if self.kind != kind:
            return False
        return name.startswith(self.name) if self.prefixed else self.name in (name, _ANY)


@dataclass(frozen=True, slots=True, kw_only=True)
class AclRules:
    """The ACLs of the brokers."""

    enforced: bool
    """Whether there is an authorizer at all."""
    rules: Sequence[AclRule] | None = None
    """None where this user may not read them."""
    superusers: Collection[str] = ()
    """Principals that may do everything."""
    open_by_default: bool = False
    """Whether every user may do everything with a resource that no rule names."""

    def allows(self, user: str, entry: AclEntry) -> bool:
        """Whether a user has this access."""
        principals = [
            principal for principal in self._principals() if _is_principal(principal, user)
        ] or [f"User:{user}"]
        if any(principal in self.superusers for principal in principals):
            return True
        matching = [rule for rule in self.rules or () if rule.matches(entry.kind, entry.name)]
        if not matching:
            return self.open_by_default
        own_rules = [rule for rule in matching if rule.principal in (*principals, _ANY_PRINCIPAL)]
        if any(
            not rule.allows and rule.host == _ANY and rule.operation in (entry.operation, _ALL)
            for rule in own_rules
        ):
            return False
        sufficient = {entry.operation, _ALL} | _INCLUDED.get(entry.operation, frozenset())
        return any(rule.allows and rule.operation in sufficient for rule in own_rules)

    def mentions(self, user: str) -> bool:
        """Whether any rule names a user."""
        return any(_is_principal(principal, user) for principal in self._principals())

    def other_command_writers(self, topic: str, deleter: str) -> list[str]:
        """Return the principals other than the deleter that may write to a command topic."""
        return sorted(
            {
                rule.principal
                for rule in self.rules or ()
                if rule.allows
                and rule.operation in ("Write", _ALL)
                and rule.matches("topic", topic)
                and not _is_principal(rule.principal, deleter)
                and rule.principal not in self.superusers
            }
        )

    def _principals(self) -> set[str]:
        return {rule.principal for rule in self.rules or ()} | set(self.superusers)


def check_acls(
    acls: AclRules, accesses: Sequence[KafkaAccess], optional: Collection[str], deleter: str
) -> Iterator[Finding]:
    """Check each user's access and who may write commands; `optional` users may not exist at all."""
    if not acls.enforced:
        yield warning(
            "acls",
            "the brokers have no authorizer: every client may read and write everything",
            f"set `authorizer.class.name` on the brokers, and apply the ACLs of {_FILE}",
        )
        return
    if acls.rules is None:
        yield skipped("acls", "this user may not list ACLs")
        return
    if not acls.rules and not acls.open_by_default:
        yield error(
            "acls",
            "the brokers have an authorizer but no ACLs: no role can do anything",
            f"apply the ACLs of {_FILE}",
        )
        return
    problems = 0
    for finding in (
        *_missing_acls(acls, accesses, optional),
        *_check_command_writers(acls, accesses, deleter),
    ):
        problems += 1
        yield finding
    if not problems:
        yield ok("acls", f"{len(acls.rules)} ACLs: {len(accesses)} users have what they need")


def check_own_acls(acls: AclRules, access: KafkaAccess) -> Iterator[Finding]:
    """Check the access of the user who runs the doctor, as far as it may see it."""
    missing_entries = [entry for entry in access.acl_entries if not acls.allows(access.user, entry)]
    for entry in missing_entries:
        yield _missing_acl(access.user, entry)
    if not missing_entries:
        yield ok("acls", f"{access.user} has what it needs; it may not see the ACLs of other users")


def _missing_acls(
    acls: AclRules, accesses: Sequence[KafkaAccess], optional: Collection[str]
) -> Iterator[Finding]:
    for access in accesses:
        missing_entries = [
            entry for entry in access.acl_entries if not acls.allows(access.user, entry)
        ]
        if missing_entries and not acls.mentions(access.user):
            make_finding = warning if access.user in optional else error
            counts = f"{len(missing_entries)} of {len(access.acl_entries)}"
            problem = f"no ACL names this user: {counts} are missing"
            yield make_finding("acls", problem, f"apply its ACLs of {_FILE}", f"user {access.user}")
            continue
        for entry in missing_entries:
            yield _missing_acl(access.user, entry)


def _check_command_writers(
    acls: AclRules, accesses: Sequence[KafkaAccess], deleter: str
) -> Iterator[Finding]:
    [commander] = [access for access in accesses if access.user == deleter]
    for topic in commander.writes:
        for principal in acls.other_command_writers(topic.name, deleter):
            yield warning(
                "acls",
                f"{principal} may write to it, but only {deleter} should",
                f"remove that ACL (`kafka-acls --remove`); {_FILE} lists who needs what",
                f"topic {topic.name}",
            )


def _missing_acl(user: str, entry: AclEntry) -> Finding:
    resource = "--cluster" if entry.kind == "cluster" else f"--{entry.kind} {entry.name}"
    fix = (
        f"`kafka-acls --add --allow-principal User:{user} --operation {entry.operation} {resource}`,"
        f" or apply {_FILE}"
    )
    problem = f"{user} may not {entry.operation}"
    return error("acls", problem, fix, f"{entry.kind} {entry.name}")


def _is_principal(principal: str, user: str) -> bool:
    """Whether a principal is this user, by its name or by the name in its certificate."""
    certificate = f"User:CN={user}"
    return principal in (f"User:{user}", certificate) or principal.startswith(f"{certificate},")
