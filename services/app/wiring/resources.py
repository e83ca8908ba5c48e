"""The resources of roles and commands, such as the ledger, Kafka and keys, opened on first use.

Everything opens on the `ExitStack` of `open_resources` and closes in reverse; importing opens nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event
from time import sleep
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect

from consumers import recorder
from schemas import topics as catalogue
from schemas.codec import Codec
from schemas.open_registry import open_registry
from schemas.schema_files import load as load_schemas
from schemas.schema_versions import Schema, SchemaSet
from schemas.topics import Topic
from services.app.kafka_settings import kafka_security
from services.app.setting_field import InvalidSetting
from services.app.settings import Settings
from services.app.wiring.required_topics import RequiredTopics, required_topics
from services.app.wiring.signing import SigningConfig
from services.crypto import pseudonyms
from services.crypto import tombstones as tombstone_keys
from services.crypto.data_keys import DataKeyStore, open_vault
from services.crypto.envelope import AeadCipher, load_or_create_key, read_key
from services.crypto.field_encryption import FieldEncryptor, check_encrypted_fields
from services.crypto.key_directory import KeyDirectory
from services.crypto.master_keys import FileMasterKeys
from services.crypto.pseudonyms import Pseudonymizer
from services.crypto.tombstones import TombstoneCipher
from services.events.derived_schemas import derive_schemas
from services.kafka.access import KafkaAccess, access_table
from services.kafka.client import KafkaClient
from services.kafka.spans import Tracer
from services.kafka.topic_retention import plaintext_fields
from services.kafka.tracer import open_tracer
from services.ledger import active_policy, policy_versions, schema_version, tables, tombstones
from services.ledger.catch_up import KafkaCatchUpCheck
from services.ledger.granting import can_insert
from services.ledger.policy_versions import PolicyVersion
from services.policy.loader import hash_policy
from services.policy.loader import load as load_policy
from services.policy.model import Policy
from services.requests.request_keys import RequestKeys
from services.storage.database import Database, database_now, open_database
from services.storage.database_roles import Role as LedgerRole

if TYPE_CHECKING:
    from schemas.registry import Registry

_POLL_SECONDS = 1.0


def utc_now() -> datetime:
    """Return the time of this machine's clock, UTC; no other code reads it."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What roles and commands need, opened from the settings on first use."""

    settings: Settings
    stack: ExitStack

    def policy(self) -> Policy:
        """Load the configured policy: with a ledger it counts only if that is empty, or to activate it."""
        return load_policy(self.settings.storage.policy)

    def policy_in_force(self) -> Policy:
        """Return the active policy of the ledger where this process has one; else the configured one.

        The ledger is only read: it is not created, and its schema may be of another version.
        """
        file = self.settings.storage.data / "ledger.sqlite"
        if not self.settings.storage.ledger_url and not file.exists():
            return self.policy()
        ledger = self._ledger(None)
        with ledger.transaction() as connection:
            has_policies = inspect(connection).has_table(tables.active_policy.name)
        return self.active_policy(ledger) if has_policies else self.policy()

    def active_policy(self, ledger: Database) -> Policy:
        """Return the ledger's active policy; in an empty ledger the configured one.

        Raises:
            PolicyTextMissing: an older version activated it, and another one is configured.
            PolicyTextUnreadable: this version of Termijn cannot read it.
        """
        with ledger.transaction() as connection:
            version = policy_versions.active_version(connection)
        return self._load_version(version) if version else self.policy()

    def lock_active_policy(self, connection: Connection) -> Policy:
        """Return the same, and keep it active until the transaction ends.

        Raises:
            PolicyTextMissing, PolicyTextUnreadable: as `active_policy`.
        """
        active_policy.share_lock(connection)
        version = policy_versions.active_version(connection)
        return self._load_version(version) if version else self.policy()

    def _load_version(self, version: PolicyVersion) -> Policy:
        if version.text is None and hash_policy(self.policy()) == version.digest:
            return self.policy()
        return version.load()

    def codec(self, policy: Policy | None = None) -> Codec:
        """Make the codec, with the schema registry if one is configured; see `schemas`."""
        return Codec(self.schemas(policy), self.registry())

    def schemas(self, policy: Policy | None = None) -> SchemaSet:
        """Load the schema files; of a policy's event types without a file the schema is derived."""
        derived = derive_schemas(policy) if policy else {}
        return load_schemas(*self.settings.storage.schemas, derived=derived)

    def registry(self) -> Registry | None:
        """Make the client of the schema registry, if one is configured."""
        kafka = self.settings.kafka
        if not kafka.schema_registry_url:
            return None
        login = kafka.schema_registry_login
        try:
            login_text = login.read_text("utf-8").strip() if login else None
            return open_registry(kafka.schema_registry_url, login_text, kafka.schema_registry_ca)
        except (ValueError, OSError) as cause:
            raise InvalidSetting("schema registry", "SCHEMA_REGISTRY_URL", str(cause)) from cause

    def plaintext_fields(self, policy: Policy) -> dict[str, tuple[str, ...]]:
        """Return the fields of each event type that are not encrypted in Kafka, without decision fields."""
        schemas = self.schemas(policy)
        return {
            name: plaintext_fields(event, schemas.newest(name).definition)
            for name, event in policy.events.items()
            if name in schemas.names
        }

    def ledger(self, role: LedgerRole = "operators") -> Database:
        """Open the ledger as a role of the database, and check that its schema is this version's."""
        ledger = self._ledger(role)
        schema_version.check_schema_version(ledger, role)
        return ledger

    def owned_ledger(self) -> Database:
        """Open the ledger as its owner, to migrate it; its schema is not checked."""
        return self._ledger(None)

    def _ledger(self, role: LedgerRole | None) -> Database:
        self.settings.storage.data.mkdir(parents=True, exist_ok=True)
        ledger = open_database(self.settings.ledger_url, role)
        self.stack.callback(ledger.close)
        return ledger

    def wait_for_active_policy(self, ledger: Database, stop: Event | None = None) -> Policy:
        """Return the ledger's active policy; the configured one becomes it in an empty ledger.

        A role that may not activate one waits for one that may, or for `stop`.

        Raises:
            PolicyTextMissing: an older version activated it, and another one is configured.
            PolicyTextUnreadable: this version of Termijn cannot read it.
        """

        def find(connection: Connection) -> PolicyVersion | None:
            version = policy_versions.active_version(connection)
            if version is None and can_insert(connection, tables.active_policy.name):
                # Another process may activate its own meanwhile: then that one counts.
                with suppress(active_policy.PolicyMismatch):
                    active_policy.require_active(
                        connection, self.policy(), database_now(connection)
                    )
                return policy_versions.active_version(connection)
            return version

        while (version := ledger.run_in_transaction(find)) is None:
            if stop and stop.wait(_POLL_SECONDS):
                return self.policy()
        return self._load_version(version)

    def kafka_client(self) -> KafkaClient:
        """Make the client of the Kafka cluster."""
        kafka = self.settings.kafka
        return KafkaClient(kafka.bootstrap_servers, kafka.cluster_id, kafka_security(kafka))

    @property
    def watch_group(self) -> str:
        """The consumer group of the watch, a prefix of the topics of its tables."""
        return f"{self.settings.kafka.group}-watch"

    def kafka_access(self, role: str, policy: Policy) -> KafkaAccess:
        """Return what a role does on Kafka: topics, groups and ACLs."""
        return access_table(policy, self.settings.kafka.group)[role]

    def dead_letter_cipher(self) -> AeadCipher:
        """Load the key that encrypts dead letters; on embedded defaults it is created on first use."""
        if self.settings.storage.key_file:
            return read_key(self.settings.storage.key_file)
        return load_or_create_key(self.settings.key_file)

    def request_keys(self) -> RequestKeys:
        """Load the keys of requests; on embedded defaults their encryption key is created on first use.

        Where TERMIJN_KEY_FILE is set none is created: other machines could not decrypt with it.

        Raises:
            InvalidSetting: TERMIJN_KEY_FILE is set, and TERMIJN_REQUEST_KEY_FILE is not.
            InvalidKeyFile: the file cannot be used.
        """
        storage = self.settings.storage
        if storage.request_key_file:
            cipher = read_key(storage.request_key_file)
        elif storage.key_file:
            problem = (
                "is not set, but TERMIJN_KEY_FILE is; create one file for all roles that share"
                " the ledger (`openssl rand -base64 32`, mode 0600)"
            )
            raise InvalidSetting("environment", "TERMIJN_REQUEST_KEY_FILE", problem)
        else:
            cipher = load_or_create_key(self.settings.request_key_file)
        return RequestKeys(cipher=cipher, former_cipher=lambda: read_key(self.settings.key_file))

    def master_keys(self) -> FileMasterKeys:
        """Load the master keys; for the embedded vault the first is created on first use.

        For a shared vault none is created: other machines could not unwrap with it.
        """
        encrypting = self.settings.encrypting
        makes = encrypting.master_keys is None and not encrypting.vault_url
        return FileMasterKeys(directory=self.settings.master_keys, creates=makes)

    def vault(self) -> DataKeyStore:
        """Open the vault with the keys of encrypted fields."""
        if not self.settings.encrypting.vault_url:
            self.settings.storage.data.mkdir(parents=True, exist_ok=True)
        vault = DataKeyStore(open_vault(self.settings.vault_url), self.master_keys())
        self.stack.callback(vault.database.close)
        vault.create_tables()
        return vault

    def field_encryption(self, policy: Policy) -> FieldEncryptor | None:
        """Make the field encryption for publishers, if the policy encrypts any field."""
        if not any(event.encrypted for event in policy.events.values()):
            return None
        check_encrypted_fields(policy, self.schemas(policy))
        return FieldEncryptor(policy=policy, keys=self.vault(), now=utc_now)

    def pseudonymizer(self) -> Pseudonymizer:
        """Load the key that pseudonymises the evidence log; it is created on first use."""
        return pseudonyms.load_or_create_pseudonymizer(self.settings.keys)

    def tombstone_cipher(self, ledger: Database, policy: Policy) -> TombstoneCipher:
        """Load the key of tombstones, created on first use, and bind it to the ledger."""
        cipher = tombstone_keys.load_or_create_tombstone_cipher(self.settings.keys)
        if policy.proof is not None:
            ledger.run_in_transaction(lambda connection: tombstones.bind_key(connection, cipher))
        return cipher

    def tracer(self, role: str) -> Tracer:
        """Open the tracer, which does nothing unless TERMIJN_TRACING is set."""
        return open_tracer(self.settings.operating.tracing, role, self.stack)

    def signing(self) -> SigningConfig:
        """Return the configured signing keys; on embedded defaults they are created on first use."""
        signing = self.settings.signing
        return SigningConfig(
            keys=KeyDirectory(path=self.settings.keys),
            creates_keys=signing.keys is None,
            required=signing.mode == "required",
        )


def required_schemas(opened: Resources, policy: Policy) -> Sequence[tuple[Topic, Sequence[Schema]]]:
    """Return the schema versions of each topic that the policy and the watch need.

    Raises:
        InvalidSchema: a file cannot be used.
        UnknownSchema: a topic has no schema.
    """
    schemas = opened.schemas(policy)
    topics = [*required_topics(policy).all, catalogue.SIGHTINGS]
    return [(topic, schemas.versions(topic.schema)) for topic in topics]


@contextmanager
def open_resources(settings: Settings) -> Iterator[Resources]:
    """Yield the resources of these settings; those that were opened close at the end, in reverse."""
    with ExitStack() as stack:
        yield Resources(settings=settings, stack=stack)


def catch_up_check(
    bus: KafkaClient, ledger: Database, topics: RequiredTopics, timeout: timedelta
) -> KafkaCatchUpCheck:
    """Make the check whether the ledger has recorded every message that is on Kafka."""
    return KafkaCatchUpCheck(
        ledger=ledger,
        bus=bus,
        cluster_id=bus.cluster_id,
        business=list(topics.business),
        tagged=[topic.name for topic in recorder.TOPICS],
        sleep=sleep,
        timeout=timeout,
    )
