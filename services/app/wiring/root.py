"""The composition root: the only place that opens connections and puts roles together.

Everything opens on one `ExitStack` and closes in reverse; importing opens nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from platform import python_version
from threading import Event
from time import sleep
from typing import Literal

from sqlalchemy import Connection

from consumers import corrections as rights
from consumers import recorder, tagger
from consumers.acknowledgements import AcknowledgementHandler
from consumers.batch_application import Work
from consumers.consumer_loop import ConsumerLoop
from consumers.recorder import RecorderHandler
from consumers.simulated_systems import SimulatedSystemsLoop
from consumers.tagger import TaggerHandler
from schemas import topics as catalogue
from schemas.cloudevents import CloudEvent
from schemas.codec import Codec
from schemas.codec import load as load_schemas
from schemas.registry import Registry
from schemas.registry_client import client
from schemas.schema_versions import Schema
from schemas.topics import Topic
from services.agent.simulated.systems import SHOWN, SimulatedSystems, SystemBehaviour
from services.app.settings import InvalidSetting, Settings, security
from services.app.wiring.signing import SigningConfig
from services.crypto import pseudonyms, tombstones
from services.crypto.data_keys import DataKeyStore, open_vault
from services.crypto.envelope import AeadCipher, load_or_create_key, read_key
from services.crypto.field_encryption import FieldEncryption
from services.crypto.field_encryption import check as check_fields
from services.crypto.key_directory import KeyDirectory
from services.crypto.master_keys import FileMasterKeys
from services.crypto.pseudonyms import Pseudonymizer
from services.crypto.shredding import Shredder
from services.crypto.tombstones import TombstoneCipher
from services.deleter import deleter as loop
from services.deleter.deleter import ClockSkew, Deleter, DeleterLimits
from services.deleter.dispatch import RetryPolicy
from services.deleter.publisher import KafkaCommandPublisher
from services.events.publisher import Publisher
from services.events.tagger import EventTagger
from services.evidence.purge.purger import Purger
from services.evidence.sealer import PATIENCE_SECONDS, EvidenceSealer, KafkaHeadPublisher
from services.evidence.self_check import ChainSelfCheck
from services.kafka.access import SAMPLES, KafkaAccess, access_table
from services.kafka.bulk_producer import BulkProducer
from services.kafka.client import KafkaClient
from services.kafka.errors import RETRYABLE_ERRORS
from services.kafka.spans import Tracer
from services.kafka.topic_retention import plaintext_fields
from services.kafka.tracer import open_tracer
from services.ledger import active_policy, migrate, tables
from services.ledger import tombstones as remembering
from services.ledger.catch_up import KafkaCatchUpCheck
from services.ledger.granting import may_write
from services.operations import logs
from services.operations.health import Address, Health, serve_http_on_free_port
from services.operations.holding_counts import HoldingCounter
from services.operations.metrics import PORTS, Metrics
from services.operations.observers.roles import Observer
from services.operations.status import read_status
from services.operations.throttle import Throttled
from services.policy.loader import load as load_policy
from services.policy.model import Policy
from services.policy.validation_encryption import key_systems
from services.requests.command_attachments import RequestAttachments
from services.requests.counts import count as count_rights
from services.requests.request_keys import RequestKeys
from services.requests.responder import RequestResponder
from services.storage.database import Database, database_now, describe_error, open_database
from services.storage.database_roles import Role as LedgerRole

ConsumerRole = Literal["tagger", "recorder", "acknowledgements"]

_POLL_SECONDS = 1.0
_CATCH_UP_TIMEOUT = timedelta(seconds=2)
_SEAL_SECONDS = 1.0
"""Between two looks at what is to be sealed, while there is erasing to do."""
_FORGET_SECONDS = 1.0
"""Between two looks at what may be forgotten."""


def utc_now() -> datetime:
    """This machine's clock, UTC: the one place that reads it."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequiredTopics:
    """The topics that a policy needs."""

    business: dict[str, Topic]
    commands: dict[str, Topic]
    acknowledgements: dict[str, Topic]

    @property
    def all(self) -> Sequence[Topic]:
        """Every topic."""
        mine = (catalogue.TAGGED, catalogue.DEAD_LETTERS, catalogue.EVIDENCE_HEADS)
        return [
            *self.business.values(),
            *mine,
            *self.commands.values(),
            *self.acknowledgements.values(),
        ]


def required_topics(policy: Policy) -> RequiredTopics:
    """The topics that the policy needs: business topics by name, the others by system."""
    business = [catalogue.business_topic(event_type) for event_type in policy.events]
    return RequiredTopics(
        business={topic.name: topic for topic in business},
        commands={system: catalogue.command_topic(system) for system in policy.systems},
        acknowledgements={
            system: catalogue.acknowledgement_topic(system) for system in policy.systems
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What every role and command needs, opened from the settings as it is asked for."""

    settings: Settings
    stack: ExitStack

    def policy(self) -> Policy:
        """The policy at hand."""
        return load_policy(self.settings.storage.policy)

    def codec(self) -> Codec:
        """The codec, with the registry if one is configured."""
        return Codec(load_schemas(*self.settings.storage.schemas), self.registry())

    def registry(self) -> Registry | None:
        """The schema registry, if one is configured."""
        kafka = self.settings.kafka
        if not kafka.schema_registry_url:
            return None
        login = kafka.schema_registry_login
        try:
            told = login.read_text("utf-8").strip() if login else None
            return Registry(client(kafka.schema_registry_url, told, kafka.schema_registry_ca))
        except (ValueError, OSError) as cause:
            raise InvalidSetting("schema registry", "SCHEMA_REGISTRY_URL", str(cause)) from cause

    def fields_in_clear(self, policy: Policy) -> dict[str, tuple[str, ...]]:
        """The fields of each event type that the log shows whole, the deciding ones left out."""
        schemas = load_schemas(*self.settings.storage.schemas)
        return {
            name: plaintext_fields(event, schemas.newest(name).definition)
            for name, event in policy.events.items()
            if name in schemas.names
        }

    def ledger(self, role: LedgerRole = "operators") -> Database:
        """The ledger, as the role reaches it; its schema is this version's."""
        ledger = self._ledger(role)
        migrate.check_schema_version(ledger, role)
        return ledger

    def owned_ledger(self) -> Database:
        """The ledger as its owner reaches it, who migrates it: nothing is looked at before."""
        return self._ledger(None)

    def _ledger(self, role: LedgerRole | None) -> Database:
        self.settings.storage.data.mkdir(parents=True, exist_ok=True)
        ledger = open_database(self.settings.ledger_url, role)
        self.stack.callback(ledger.close)
        return ledger

    def agreed(self, ledger: Database, stop: Event | None = None) -> Policy:
        """The policy at hand, once it is known to be the ledger's active one.

        A role that may not make it an empty ledger's first waits for one that does, or until `stop` is set.
        """
        policy = self.policy()

        def is_agreed(connection: Connection) -> bool:
            if not may_write(connection, tables.active_policy.name):
                return active_policy.is_active(connection, policy)
            active_policy.require_active(connection, policy, database_now(connection))
            return True

        while not ledger.write(is_agreed) and not (stop and stop.wait(_POLL_SECONDS)):
            pass
        return policy

    def bus(self) -> KafkaClient:
        """The cluster, reached as the settings say."""
        kafka = self.settings.kafka
        return KafkaClient(kafka.bootstrap_servers, kafka.cluster_id, security(kafka))

    @property
    def watch(self) -> str:
        """The group of the watch, which names the logs of its tables."""
        return f"{self.settings.kafka.group}-watch"

    def use(self, role: str, policy: Policy) -> KafkaAccess:
        """What a role does on the bus."""
        return access_table(policy, self.settings.kafka.group)[role]

    def seal(self) -> AeadCipher:
        """The seal of dead letters; on embedded defaults its key is made at first use."""
        if self.settings.storage.key_file:
            return read_key(self.settings.storage.key_file)
        return load_or_create_key(self.settings.key_file)

    def request_keys(self) -> RequestKeys:
        """The keys of requests; on embedded defaults what seals them is made at first use.

        Roles that share a key of dead letters get none of this machine's own: the others could not open
        what it seals.

        Raises:
            InvalidSetting: the other key is given, and this one is not.
            InvalidKeyFile: it cannot be used.
        """
        storage = self.settings.storage
        if storage.request_key_file:
            seal = read_key(storage.request_key_file)
        elif storage.key_file:
            why = (
                "is missing, while TERMIJN_KEY_FILE is given; make one file for all that share"
                " the ledger (`openssl rand -base64 32`, mode 0600)"
            )
            raise InvalidSetting("environment", "TERMIJN_REQUEST_KEY_FILE", why)
        else:
            seal = load_or_create_key(self.settings.request_key_file)
        return RequestKeys(seal=seal, older=lambda: read_key(self.settings.key_file))

    def masters(self) -> FileMasterKeys:
        """The master keys; on embedded defaults the first is made at first use.

        A vault that others share gets none of this machine's own: they could not open what it wraps.
        """
        encrypting = self.settings.encrypting
        makes = encrypting.master_keys is None and not encrypting.vault_url
        return FileMasterKeys(directory=self.settings.master_keys, makes=makes)

    def vault(self) -> DataKeyStore:
        """The keys of encrypted fields."""
        if not self.settings.encrypting.vault_url:
            self.settings.storage.data.mkdir(parents=True, exist_ok=True)
        vault = DataKeyStore(open_vault(self.settings.vault_url), self.masters())
        self.stack.callback(vault.database.close)
        vault.open()
        return vault

    def encryption(self, policy: Policy) -> FieldEncryption | None:
        """What encrypts fields on their way to the bus, if the policy names any."""
        if not any(event.encrypted for event in policy.events.values()):
            return None
        check_fields(policy, load_schemas(*self.settings.storage.schemas))
        return FieldEncryption(policy=policy, keys=self.vault(), now=utc_now)

    def references(self) -> Pseudonymizer:
        """The keyed hashes of the evidence; their key is made at first use."""
        return pseudonyms.read_or_make(self.settings.keys)

    def remains(self, ledger: Database, policy: Policy) -> TombstoneCipher:
        """What opens what remains of the forgotten; its key, made at first use, is the ledger's then."""
        found = tombstones.read_or_make(self.settings.keys)
        if policy.proof is not None:
            ledger.write(lambda connection: remembering.bind_key(connection, found))
        return found

    def spans(self, role: str) -> Tracer:
        """Where spans go, if anywhere."""
        return open_tracer(self.settings.operating.tracing, role, self.stack)

    def signatures(self) -> SigningConfig:
        """What signs and verifies; on embedded defaults the keys are made at first use."""
        signing = self.settings.signing
        return SigningConfig(
            keys=KeyDirectory(path=self.settings.keys),
            makes=signing.keys is None,
            required=signing.mode == "required",
        )


def required_schemas(opened: Resources, policy: Policy) -> Sequence[tuple[Topic, Sequence[Schema]]]:
    """The versions of the schema of each topic that the policy needs, the watch's own among them.

    Raises:
        InvalidSchema: a file cannot be used.
        UnknownSchema: a topic has no schema.
    """
    schemas = load_schemas(*opened.settings.storage.schemas)
    needed = [*required_topics(policy).all, catalogue.SIGHTINGS]
    return [(topic, schemas.versions(topic.schema)) for topic in needed]


@contextmanager
def open_resources(settings: Settings) -> Iterator[Resources]:
    """What the settings lead to; everything that was opened closes at the end, in reverse."""
    with ExitStack() as stack:
        yield Resources(settings=settings, stack=stack)


def run_consumer(settings: Settings, role: ConsumerRole, stop: Event) -> None:
    """Run the tagger, the recorder or the acknowledgements until `stop` is set."""
    with open_resources(settings) as opened:
        ledger = opened.ledger(role)
        policy = opened.agreed(ledger, stop)
        bus, codec, seal = opened.bus(), opened.codec(), opened.seal()
        observer, spans = _observer(opened, role, policy), opened.spans(role)
        needed = required_topics(policy)
        bus.ensure(opened.use(role, policy).topics)
        work: Work
        if role == tagger.ROLE:
            read = list(needed.business)
            work = TaggerHandler(
                tags=EventTagger(
                    policy=policy,
                    codec=codec,
                    topics=needed.business,
                    bound=settings.tagging.bound,
                ),
                codec=codec,
                forwarder=BulkProducer.on(bus),
                sender=bus.sender(),
                seal=seal,
                ledger=ledger,
                observer=observer,
                now=utc_now,
                read=lambda: _database_now(ledger),
                spans=spans,
            )
        elif role == recorder.ROLE:
            read = [topic.name for topic in recorder.TOPICS]
            work = RecorderHandler(
                policy=policy,
                codec=codec,
                ledger=ledger,
                seal=seal,
                remains=opened.remains(ledger, policy),
                observer=observer,
                now=utc_now,
                spans=spans,
            )
        else:
            answers = {t.name: (t, system) for system, t in needed.acknowledgements.items()}
            read = list(answers)
            signatures = opened.signatures()
            observer.unsigned(not signatures.required)
            observer.keyless(lambda: signatures.keyless(needed.acknowledgements, utc_now()))
            work = AcknowledgementHandler(
                policy=policy,
                codec=codec,
                topics=answers,
                verifiers=signatures.answers(needed.acknowledgements),
                ledger=ledger,
                seal=seal,
                observer=observer,
                now=utc_now,
                spans=spans,
            )
        ConsumerLoop(
            role=role,
            bus=bus,
            ledger=ledger,
            topics=read,
            group=f"{settings.kafka.group}-{role}",
            work=work,
            observer=observer,
            now=utc_now,
            batch=settings.kafka.batch,
            batch_seconds=settings.kafka.batch_seconds,
        ).run(stop)


def _database_now(ledger: Database) -> datetime:
    with ledger.transaction() as connection:
        return database_now(connection)


def run_deleter(settings: Settings, stop: Event) -> None:
    """Run the deleter until `stop` is set."""
    with open_resources(settings) as opened:
        ledger = opened.ledger("deleter")
        opened.stack.enter_context(ledger.sole_deleter())
        policy = opened.agreed(ledger)
        bus, codec = opened.bus(), opened.codec()
        observer = _observer(opened, loop.ROLE, policy)
        needed = required_topics(policy)
        bus.ensure(opened.use(loop.ROLE, policy).topics)
        deleting, signatures = settings.deleting, opened.signatures()
        observer.unsigned(not signatures.required)
        kept = opened.remains(ledger, policy)
        deleter = Deleter(
            ledger=ledger,
            outlet=KafkaCommandPublisher(
                sender=bus.sender(),
                codec=codec,
                topics=needed.commands,
                signer=signatures.signer(),
                spans=opened.spans(loop.ROLE),
            ),
            sight=catch_up_check(bus, ledger, needed, _CATCH_UP_TIMEOUT),
            policy=policy,
            observer=observer,
            now=utc_now,
            limits=DeleterLimits(
                claim=deleting.claim,
                relay=deleting.relay,
                commands_per_hour=deleting.commands_per_hour,
                clock_tolerance=timedelta(seconds=deleting.clock_tolerance_seconds),
            ),
            enclosures=RequestAttachments(
                keys=opened.request_keys(),
                key_of=lambda system: signatures.encrypts_to(system, utc_now()),
            ),
            remains=kept,
            patience=RetryPolicy(
                base=timedelta(seconds=deleting.retry_seconds),
                cap=timedelta(seconds=deleting.retry_cap_seconds),
                validity=timedelta(seconds=deleting.validity_seconds),
            ),
        )
        keeping = EvidenceSealer(
            ledger=ledger,
            references=opened.references(),
            ring=signatures.keys.private() if signatures.required else None,
            outlet=KafkaHeadPublisher(sender=bus.sender(PATIENCE_SECONDS), codec=codec),
            unpublished=observer.unpublished,
        )
        forgetting = Purger(
            ledger=ledger,
            policy=policy,
            remains=kept,
            sight=catch_up_check(bus, ledger, needed, _CATCH_UP_TIMEOUT),
            observer=observer,
        )
        census, recheck = HoldingCounter(policy=policy), ChainSelfCheck()

        def measure() -> None:
            with ledger.transaction() as connection:
                at = database_now(connection)
                observer.disagreed((utc_now() - at).total_seconds())
                observer.looked(read_status(connection, policy, at, history=False))
                observer.counted(census.step(connection, at))
                observer.rechecked(recheck.step(connection))

        measuring = Throttled(measure=measure, seconds=settings.operating.measure_seconds)
        sealing = Throttled(measure=keeping.round, seconds=_SEAL_SECONDS)
        forgetful = Throttled(measure=forgetting.round, seconds=_FORGET_SECONDS)
        handled = sealed = 0
        while not stop.is_set():
            try:
                measuring.now_and_then()
                if handled:
                    sealing.now_and_then()  # erasing comes first: what waits is in no hurry
                else:
                    sealed = keeping.round()
                    forgetful.now_and_then()
                handled = deleter.round()
            except ClockSkew as cause:
                observer.disagreed(cause.seconds)
                observer.tried_again(str(cause))
                stop.wait(_POLL_SECONDS)
            except RETRYABLE_ERRORS as cause:
                observer.tried_again(describe_error(cause))
                stop.wait(_POLL_SECONDS)
            else:
                observer.went_round()
                observer.able()
                if not handled and not sealed:
                    stop.wait(deleting.rest_seconds)


def run_rights(settings: Settings, stop: Event) -> None:
    """Run the rights role until `stop` is set."""
    with open_resources(settings) as opened:
        ledger = opened.ledger("rights")
        policy = opened.agreed(ledger)
        bus, codec = opened.bus(), opened.codec()
        seconds = settings.answering.round_seconds
        observer = _observer(opened, rights.ROLE, policy, rest_seconds=seconds)
        needed = required_topics(policy)
        bus.ensure(opened.use(rights.ROLE, policy).topics)
        publisher = Publisher(
            policy=policy, codec=codec, sender=bus.sender(), encryption=opened.encryption(policy)
        )

        def publish(events: Sequence[CloudEvent]) -> None:
            for _ in publisher.send(publisher.message(event) for event in events):
                pass

        answering = RequestResponder(
            ledger=ledger,
            policy=policy,
            sight=catch_up_check(bus, ledger, needed, _CATCH_UP_TIMEOUT),
            publish=publish,
            observer=observer,
            margin=timedelta(seconds=settings.answering.margin_seconds),
        )
        asked = {
            topic.name: topic
            for topic in needed.business.values()
            if policy.events[topic.schema].act == "request-received"
        }

        def measure() -> None:
            with ledger.transaction() as connection:
                observer.owed(count_rights(connection, policy, database_now(connection)))

        measuring = Throttled(measure=measure, seconds=settings.operating.measure_seconds)
        corrections = ConsumerLoop(
            role=rights.ROLE,
            bus=bus,
            ledger=ledger,
            topics=list(asked),
            group=f"{settings.kafka.group}-{rights.ROLE}",
            work=rights.CorrectionHandler(
                codec=codec,
                topics=asked,
                ledger=ledger,
                keys=opened.request_keys(),
                seal=opened.seal(),
                observer=observer,
                now=utc_now,
            ),
            observer=observer.beside("reading") if asked else observer,
            now=utc_now,
            batch=settings.kafka.batch,
            batch_seconds=settings.kafka.batch_seconds,
        )
        rights.run_side_by_side(
            lambda: rights.run_responder(
                answering, measuring.now_and_then, observer, stop, seconds
            ),
            lambda: corrections.run(stop) if asked else _wait(stop),
            stop,
        )


def _wait(stop: Event) -> None:
    stop.wait()


def run_sample_systems(settings: Settings, stop: Event, silent: Sequence[str] = ()) -> None:
    """Run the simulated systems until `stop` is set; their stores are in the data directory."""
    with open_resources(settings) as opened:
        logs.configure(settings.operating.log_form)
        policy, bus = opened.policy(), opened.bus()
        needed = required_topics(policy)
        bus.ensure(opened.use(SAMPLES, policy).topics)
        signatures = opened.signatures()
        signers = signatures.simulated(needed.acknowledgements)
        systems = sample_systems(settings, policy, silent)
        systems.reads = lambda system: signatures.simulated_reads(system, utc_now())
        if key_systems(policy):
            systems.shredder = Shredder(opened.vault().database)
        SimulatedSystemsLoop(
            bus=bus,
            codec=opened.codec(),
            business=needed.business,
            commands={topic.name: topic for topic in needed.commands.values()},
            acknowledgements=needed.acknowledgements,
            systems=systems,
            sender=bus.sender(),
            verifier=signatures.commands(),
            signers=signers,
            now=utc_now,
        ).run(stop)


def sample_systems(
    settings: Settings, policy: Policy, silent: Sequence[str] = ()
) -> SimulatedSystems:
    """The simulated systems with their stores; the `silent` ones never answer."""
    directory = settings.storage.data / "systems"
    behaviours = {**SHOWN, **{system: SystemBehaviour(manner="silent") for system in silent}}
    return SimulatedSystems(policy=policy, directory=directory, behaviours=behaviours)


def _observer(
    opened: Resources, role: str, policy: Policy, *, rest_seconds: float = 0.0
) -> Observer:
    settings = opened.settings.operating
    logs.configure(settings.log_form)
    metrics = Metrics()
    metrics.set("termijn_role_info", 1, role=role, policy=policy.policy, version=policy.version)
    metrics.set("termijn_build_info", 1, version=version("termijn"), python=python_version())
    if role == tagger.ROLE:  # it has been silent since now
        metrics.set("termijn_last_tagged_timestamp_seconds", utc_now().timestamp())
    if role == loop.ROLE:  # nothing was signed since it stood still: it has a day from now
        metrics.set("termijn_evidence_sealed_timestamp_seconds", utc_now().timestamp())
    health = Health(bound_seconds=settings.hang_seconds + rest_seconds)
    fares = health.loop(role)
    metrics.follow("termijn_role_ready", lambda: not health.ready(), role=role)
    where = Address(host=settings.metrics_host, port=settings.metrics_port)
    url = opened.stack.enter_context(
        serve_http_on_free_port(metrics.registry, health, where, PORTS[role])
    )
    log = logs.logger(role)
    log.info("started", metrics=url, policy=policy.version)
    opened.stack.callback(log.info, "stopped")
    observer = Observer(role=role, metrics=metrics, log=log, loop=fares)
    observer.began(policy.systems)
    return observer


def catch_up_check(
    bus: KafkaClient, ledger: Database, needed: RequiredTopics, patience: timedelta
) -> KafkaCatchUpCheck:
    """What tells whether the ledger has recorded all that is on the bus."""
    return KafkaCatchUpCheck(
        ledger=ledger,
        bus=bus,
        cluster_id=bus.cluster_id,
        business=list(needed.business),
        tagged=[topic.name for topic in recorder.TOPICS],
        sleep=sleep,
        patience=patience,
    )
