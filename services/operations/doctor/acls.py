"""The doctor at the brokers' rules: whether each user may do its part, and only the deleter commands.

As Kafka's own authorizer judges: what is denied is denied, `Read`, `Write`, `Delete` and `Alter` include
`Describe`, and `AlterConfigs` includes `DescribeConfigs`. From which host somebody comes is left open.
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
    """One rule of the brokers, in their words."""

    principal: str
    """Such as `User:termijn-tagger`."""
    kind: str
    name: str
    operation: str
    prefixed: bool = False
    """Whether `name` is the beginning of names."""
    allows: bool = True
    host: str = _EVERY

    def matches(self, kind: str, name: str) -> bool:
        """Whether it is about this thing."""
        if self.kind != kind:
            return False
        return name.startswith(self.name) if self.prefixed else self.name in (name, _EVERY)


@dataclass(frozen=True, slots=True, kw_only=True)
class AclRules:
    """Who may do what, as the brokers tell."""

    enforced: bool
    """Whether there is an authorizer at all."""
    rules: Sequence[AclRule] | None = None
    """None where we may not see them."""
    superusers: Collection[str] = ()
    """Principals that may do everything."""
    open_by_default: bool = False
    """Whether everybody may do everything with what no rule is about."""

    def allows(self, user: str, right: AclEntry) -> bool:
        """Whether a user may do this."""
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
        """Whether they speak of a user at all."""
        return any(_is_principal(one, user) for one in self._principals())

    def other_command_writers(self, topic: str, deleter: str) -> list[str]:
        """Who else than the deleter is let write to a topic of commands."""
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
    """Who lacks what, and who may do too much; `optional` users may be named otherwise, or not run."""
    if not found.enforced:
        yield warning(
            "acls",
            "the brokers have no authorizer: whoever reaches them may read and write everything",
            f"set `authorizer.class.name` on the brokers, and give each role its rights ({_FILE})",
        )
        return
    if found.rules is None:
        yield skipped("acls", "the brokers do not show their rules to this user")
        return
    if not found.rules and not found.open_by_default:
        yield error(
            "acls",
            "the brokers have an authorizer and not one rule: no role may do anything",
            f"give each role the rights it needs ({_FILE})",
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
        yield ok("acls", f"{len(found.rules)} rules: {len(needed)} users may do their part")


def check_own_acls(found: AclRules, use: KafkaAccess) -> Iterator[Finding]:
    """What the user who asks lacks, as far as it may know."""
    lacks = [one for one in use.rights if not found.allows(use.user, one)]
    for right in lacks:
        yield _missing_acl(use.user, right)
    if not lacks:
        yield ok("acls", f"{use.user} may do its part; the rules of others it does not see")


def _missing_acls(
    found: AclRules, needed: Sequence[KafkaAccess], optional: Collection[str]
) -> Iterator[Finding]:
    for use in needed:
        lacks = [one for one in use.rights if not found.allows(use.user, one)]
        if lacks and not found.mentions(use.user):
            say = warning if use.user in optional else error
            what = f"there is no rule for it: of {len(use.rights)} rights it lacks {len(lacks)}"
            yield say("acls", what, f"give it what {_FILE} says", f"user {use.user}")
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
                f"{principal} may write there, and only {deleter} should",
                f"take that rule away (`kafka-acls --remove`): {_FILE} has who needs what",
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
    """Whether a principal is this user, by its name or by its certificate's."""
    certificate = f"User:CN={user}"
    return principal in (f"User:{user}", certificate) or principal.startswith(f"{certificate},")
