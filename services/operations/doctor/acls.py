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

_EVERYBODY: Final = "User:*"
_EVERY: Final = "*"
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
    host: str = _EVERY

    def matches(self, kind: str, name: str) -> bool:
        """Whether the rule applies to this resource."""
        if self.kind != kind:
            return False
        return name.startswith(self.name) if self.prefixed else self.name in (name, _EVERY)


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

    def allows(self, user: str, right: AclEntry) -> bool:
        """Whether a user has this access."""
        principals = [one for one in self._principals() if _is_principal(one, user)] or [
            f"User:{user}"
        ]
        if any(one in self.superusers for one in principals):
            return True
        about = [one for one in self.rules or () if one.matches(right.kind, right.name)]
        if not about:
            return self.open_by_default
        mine = [one for one in about if one.principal in (*principals, _EVERYBODY)]
        if any(
            not one.allows and one.host == _EVERY and one.operation in (right.operation, _ALL)
            for one in mine
        ):
            return False
        enough = {right.operation, _ALL} | _INCLUDED.get(right.operation, frozenset())
        return any(one.allows and one.operation in enough for one in mine)

    def mentions(self, user: str) -> bool:
        """Whether any rule names a user."""
        return any(_is_principal(one, user) for one in self._principals())

    def other_command_writers(self, topic: str, deleter: str) -> list[str]:
        """Return the principals other than the deleter that may write to a command topic."""
        return sorted(
            {
                one.principal
                for one in self.rules or ()
                if one.allows
                and one.operation in ("Write", _ALL)
                and one.matches("topic", topic)
                and not _is_principal(one.principal, deleter)
                and one.principal not in self.superusers
            }
        )

    def _principals(self) -> set[str]:
        return {one.principal for one in self.rules or ()} | set(self.superusers)


def check_acls(
    found: AclRules, needed: Sequence[KafkaAccess], optional: Collection[str], deleter: str
) -> Iterator[Finding]:
    """Check each user's access and who may write commands; `optional` users may not exist at all."""
    if not found.enforced:
        yield warning(
            "acls",
            "the brokers have no authorizer: every client may read and write everything",
            f"set `authorizer.class.name` on the brokers, and apply the ACLs of {_FILE}",
        )
        return
    if found.rules is None:
        yield skipped("acls", "this user may not list ACLs")
        return
    if not found.rules and not found.open_by_default:
        yield error(
            "acls",
            "the brokers have an authorizer but no ACLs: no role can do anything",
            f"apply the ACLs of {_FILE}",
        )
        return
    wrong = 0
    for finding in (
        *_missing_acls(found, needed, optional),
        *_check_command_writers(found, needed, deleter),
    ):
        wrong += 1
        yield finding
    if not wrong:
        yield ok("acls", f"{len(found.rules)} ACLs: {len(needed)} users have what they need")


def check_own_acls(found: AclRules, use: KafkaAccess) -> Iterator[Finding]:
    """Check the access of the user who runs the doctor, as far as it may see it."""
    lacks = [one for one in use.rights if not found.allows(use.user, one)]
    for right in lacks:
        yield _missing_acl(use.user, right)
    if not lacks:
        yield ok("acls", f"{use.user} has what it needs; it may not see the ACLs of other users")


def _missing_acls(
    found: AclRules, needed: Sequence[KafkaAccess], optional: Collection[str]
) -> Iterator[Finding]:
    for use in needed:
        lacks = [one for one in use.rights if not found.allows(use.user, one)]
        if lacks and not found.mentions(use.user):
            say = warning if use.user in optional else error
            what = f"no ACL names this user: {len(lacks)} of {len(use.rights)} are missing"
            yield say("acls", what, f"apply its ACLs of {_FILE}", f"user {use.user}")
            continue
        for right in lacks:
            yield _missing_acl(use.user, right)


def _check_command_writers(
    found: AclRules, needed: Sequence[KafkaAccess], deleter: str
) -> Iterator[Finding]:
    [commander] = [one for one in needed if one.user == deleter]
    for topic in commander.writes:
        for principal in found.other_command_writers(topic.name, deleter):
            yield warning(
                "acls",
                f"{principal} may write to it, but only {deleter} should",
                f"remove that ACL (`kafka-acls --remove`); {_FILE} lists who needs what",
                f"topic {topic.name}",
            )


def _missing_acl(user: str, right: AclEntry) -> Finding:
    thing = "--cluster" if right.kind == "cluster" else f"--{right.kind} {right.name}"
    mend = (
        f"`kafka-acls --add --allow-principal User:{user} --operation {right.operation} {thing}`,"
        f" or apply {_FILE}"
    )
    what = f"{user} may not {right.operation}"
    return error("acls", what, mend, f"{right.kind} {right.name}")


def _is_principal(principal: str, user: str) -> bool:
    """Whether a principal is this user, by its name or by the name in its certificate."""
    certificate = f"User:CN={user}"
    return principal in (f"User:{user}", certificate) or principal.startswith(f"{certificate},")
