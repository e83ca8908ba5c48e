"""A real Apache Kafka whose clients connect over TLS as users, with access rules for each user."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.admin._scram import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from services.kafka.access import AclEntry, Operation
from tests.servers.authority import Authority
from tests.servers.kafka import KafkaBroker
from tests.servers.processes import free_ports

_Rule = TypeVar("_Rule", AclBinding, AclBindingFilter)
_CALL_SECONDS = 60.0
_ITERATIONS = 4096
_OPERATIONS: dict[Operation, AclOperation] = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Create": AclOperation.CREATE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
    "AlterConfigs": AclOperation.ALTER_CONFIGS,
}
_RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "cluster": ResourceType.BROKER,
}
_CONFIGURATION = """\
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,CLIENTS:SASL_SSL,CERTIFIED:SSL
listener.name.clients.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.clients.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.clients.ssl.keystore.type=PEM
listener.name.clients.ssl.keystore.location={keystore}
listener.name.certified.ssl.keystore.type=PEM
listener.name.certified.ssl.keystore.location={keystore}
listener.name.certified.ssl.truststore.type=PEM
listener.name.certified.ssl.truststore.location={truststore}
listener.name.certified.ssl.client.auth=required
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""


class SecuredBroker(KafkaBroker):
    """A broker with TLS and users; the tests themselves use `bootstrap`, which has every right.

    Clients connect to `clients` with a password, or to `certified` with a certificate that `authority`
    signed.
    """

    def __init__(self, directory: Path, now: datetime) -> None:
        """Format the broker, with a certificate from an authority of its own; `now` is UTC."""
        self.clients, self.certified = (f"127.0.0.1:{port}" for port in free_ports(2))
        self.authority = Authority(now)
        self.ca_file = directory / "ca.pem"
        self.ca_file.write_text(self.authority.certificate, "ascii")
        keystore = directory / "broker.pem"
        issued = self.authority.issue("broker")
        keystore.touch(mode=0o600)
        keystore.write_text(issued.key + issued.certificate, "ascii")
        super().__init__(
            directory,
            listeners=(f"CLIENTS://{self.clients}", f"CERTIFIED://{self.certified}"),
            further=_CONFIGURATION.format(keystore=keystore, truststore=self.ca_file),
        )

    def has_user(self, user: str, password: str) -> None:
        """Create a user who logs in by SCRAM-SHA-512."""
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, _ITERATIONS)
        upsertion = UserScramCredentialUpsertion(user, info, password.encode())
        for future in self.admin.alter_user_scram_credentials([upsertion]).values():
            future.result(_CALL_SECONDS)

    def allows(self, user: str, rights: Iterable[AclEntry]) -> None:
        """Grant a user these rights."""
        creations = self.admin.create_acls([_rule(AclBinding, user, entry) for entry in rights])
        for future in creations.values():
            future.result(_CALL_SECONDS)

    def allows_no_more(self, user: str, rights: Iterable[AclEntry]) -> None:
        """Revoke these rights of a user."""
        deletions = self.admin.delete_acls(
            [_rule(AclBindingFilter, user, entry) for entry in rights]
        )
        for future in deletions.values():
            future.result(_CALL_SECONDS)


def _rule(kind: type[_Rule], user: str, right: AclEntry) -> _Rule:
    return kind(
        _RESOURCES[right.kind],
        right.name,
        ResourcePatternType.LITERAL,
        f"User:{user}",
        "*",
        _OPERATIONS[right.operation],
        AclPermissionType.ALLOW,
    )
