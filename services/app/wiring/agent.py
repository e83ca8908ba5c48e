"""Build and run the agent: a program of its own, without Termijn's ledger, policy or settings.

Everything opens on one `ExitStack` and closes in reverse.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from consumers.agent import ROLE, CommandIntake
from consumers.consumer_loop import ConsumerLoop
from schemas import topics
from schemas.codec import Codec
from schemas.open_registry import open_registry
from schemas.schema_files import load as load_schemas
from services.agent.acknowledgement import AcknowledgementBuilder
from services.agent.acknowledgement_sender import AcknowledgementSender
from services.agent.adapters.base import Adapter
from services.agent.adapters.factory import AdapterContext, build_adapter
from services.agent.callback_server import serve_callbacks
from services.agent.config import LoadedConfig
from services.agent.executor import CommandExecutor
from services.agent.inbox import Inbox
from services.agent.publisher import KafkaAcknowledgementPublisher
from services.agent.rate_limit import LimitedRetries, TokenBucket
from services.app.threads import run_threads
from services.crypto.envelope import AeadCipher, load_or_create_key
from services.crypto.key_directory import DELETER, KeyDirectory, KeyringFile
from services.kafka.access import agent_access
from services.kafka.client import KafkaClient
from services.kafka.tracer import open_tracer
from services.operations import logs
from services.operations.health import Address, Health, serve_http_on_free_port
from services.operations.metrics import Metrics
from services.operations.observers.agent import AgentObserver
from services.operations.ports import PORTS
from services.storage.database import Database, open_database
from services.storage.single_instance import inbox_lock

if TYPE_CHECKING:
    from schemas.registry import Registry

_MEASURE_INTERVAL = 5.0
_HEARTBEAT_TIMEOUT = timedelta(minutes=2)
"""A loop without a heartbeat for longer is stalled."""
_BATCH = 200
_BATCH_SECONDS = 0.2
_MAX_RUNNING = 30_000
"""Commands that run at once: one query of the inbox names them all, and databases limit that."""

Now = Callable[[], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentResources:
    """The resources that an agent's file names, opened on first use."""

    loaded: LoadedConfig
    stack: ExitStack

    def codec(self) -> Codec:
        """Make the codec, with the schema registry if the file names one."""
        return Codec(load_schemas(), self.registry())

    def registry(self) -> Registry | None:
        """Make the client of the schema registry, if the file names one."""
        bus = self.loaded.configuration.bus
        if not bus.schema_registry_url:
            return None
        login_reference = bus.schema_registry_login
        login = (
            self.loaded.text(login_reference, "bus", "schema_registry_login")
            if login_reference
            else None
        )
        ca = self.loaded.path(bus.schema_registry_ca) if bus.schema_registry_ca else None
        try:
            return open_registry(bus.schema_registry_url, login, ca)
        except (ValueError, OSError) as cause:
            path = ("bus", "schema_registry_url")
            raise self.loaded.invalid([(path, f"cannot be used: {cause}")]) from cause

    def inbox_cipher(self) -> AeadCipher:
        """Load the key that encrypts what the inbox stores; it is created on first use."""
        return load_or_create_key(self.loaded.path(self.loaded.configuration.inbox.key_file))

    def database(self) -> Database:
        """Open the inbox's database; SQLite overwrites what is deleted."""
        url = self.loaded.database_url(self.loaded.configuration.inbox.url, "inbox", "url")
        database = open_database(url.render_as_string(hide_password=False), secure_delete=True)
        self.stack.callback(database.close)
        return database

    def inbox(self, database: Database, codec: Codec, cipher: AeadCipher) -> Inbox:
        """Open the inbox, and create its tables."""
        configuration = self.loaded.configuration
        answers = AcknowledgementBuilder(
            system=configuration.system, codec=codec, max_bytes=configuration.limits.answer_bytes
        )
        opened = Inbox(database, cipher, answers)
        opened.create_tables()
        return opened

    def keys(self) -> KeyDirectory:
        """Return the directory of the system's own keys and the controller's public keys."""
        return KeyDirectory(path=self.loaded.path(self.loaded.configuration.keys))

    def adapter(self, inbox: Inbox) -> Adapter:
        """Build the adapter through which commands reach the system."""
        return build_adapter(
            AdapterContext(
                loaded=self.loaded,
                callback_token=_callback_tokens(inbox),
                signer=self.keys().signer(self.loaded.configuration.system),
                stack=self.stack,
            )
        )


@contextmanager
def agent(loaded: LoadedConfig) -> Iterator[AgentResources]:
    """Yield the resources of an agent's file; those that were opened close at the end, in reverse."""
    with ExitStack() as stack:
        yield AgentResources(loaded=loaded, stack=stack)


def run_agent(loaded: LoadedConfig, stop: Event, *, log_format: str, now: Now) -> None:
    """Run the agent until `stop` is set; `now` is this machine's clock, UTC."""
    configuration = loaded.configuration
    limits, system = configuration.limits, configuration.system
    with agent(loaded) as opened:
        database = opened.database()
        assert_locked = opened.stack.enter_context(inbox_lock(database))
        codec, cipher, keys = opened.codec(), opened.inbox_cipher(), opened.keys()
        inbox = opened.inbox(database, codec, cipher)
        signer, verifier = keys.signer(system), keys.verifier(DELETER)
        adapter = opened.adapter(inbox)
        observer = _observer(opened, log_format)
        kafka = configuration.bus
        bus = KafkaClient(kafka.bootstrap_servers, kafka.cluster_id, loaded.security())
        topic = topics.command_topic(system)
        bus.ensure_topics(agent_access(system, kafka.group).topics)
        executor_observer = observer.for_loop("obeying")
        publisher = KafkaAcknowledgementPublisher(
            answers=inbox.answers, sender=bus.open_producer(), signer=signer, now=now
        )
        sender = AcknowledgementSender(
            inbox=inbox, publisher=publisher, observer=executor_observer, now=now
        )
        executor = CommandExecutor(
            inbox=inbox,
            adapter=adapter,
            sender=sender,
            observer=executor_observer,
            bucket=TokenBucket(per_second=limits.per_second, burst=limits.burst),
            retries=LimitedRetries(
                max_attempts=limits.tries,
                base=timedelta(seconds=limits.retry_seconds),
                cap=timedelta(seconds=limits.retry_cap_seconds),
            ),
            decryption_keys=_decryption_keys(keys.private(system)),
            now=now,
            concurrency=limits.at_once,
            batch_size=max(1, min(limits.batch, _MAX_RUNNING // limits.at_once)),
            spans=open_tracer(configuration.tracing, ROLE, opened.stack),
        )
        webhook = configuration.adapter.webhook
        if webhook and webhook.callback:
            callback = webhook.callback
            opened.stack.enter_context(
                serve_callbacks(
                    callback.host,
                    callback.port,
                    _callback_tokens(inbox),
                    executor.complete_from_json,
                )
            )
        pipeline = ConsumerLoop(
            role=ROLE,
            bus=bus,
            ledger=database,
            topics=[topic.name],
            group=f"{configuration.bus.group}-{system}",
            handler=CommandIntake(
                inbox=inbox,
                codec=codec,
                verifier=verifier,
                cipher=cipher,
                observer=observer,
                now=now,
            ),
            observer=observer,
            now=now,
            batch_size=_BATCH,
            batch_seconds=_BATCH_SECONDS,
        )
        keep = timedelta(days=configuration.inbox.keep_days)

        def measure(stopped: Event) -> None:
            while not stopped.is_set():
                assert_locked()
                _measure(inbox, observer, keep, now())
                stopped.wait(_MEASURE_INTERVAL)

        run_threads(stop, reading=pipeline.run, executing=executor.run, measuring=measure)


def _measure(inbox: Inbox, observer: AgentObserver, keep: timedelta, now: datetime) -> None:
    try:
        observer.inbox_measured(
            inbox.count_by_state(), inbox.oldest_open(), inbox.parked(), len(inbox.gaps()), now
        )
        observer.purged(inbox.purge(now, keep))
    except DBAPIError as cause:
        observer.batch_retried(f"{type(cause).__name__} in the inbox")


def _callback_tokens(inbox: Inbox) -> Callable[[str], str]:
    return lambda command_id: inbox.keyed_hash("callback", command_id.encode())


def _decryption_keys(file: KeyringFile) -> Callable[[datetime], Sequence[str]]:
    """Return the private keys that decrypt corrections; controllers may still use a replaced one."""
    return lambda at: [json.dumps(key.as_jwk()) for key in file() if key.use == "enc"]


def _observer(opened: AgentResources, log_format: str) -> AgentObserver:
    logs.configure(log_format)
    metrics = Metrics()
    health = Health(timeout_seconds=_HEARTBEAT_TIMEOUT.total_seconds())
    loop = health.add_loop(ROLE)
    configuration = opened.loaded.configuration
    address = Address(host=configuration.metrics_host, port=configuration.metrics_port)
    url = opened.stack.enter_context(
        serve_http_on_free_port(metrics.registry, health, address, PORTS[ROLE])
    )
    log = logs.logger(ROLE)
    log.info(
        "started",
        metrics=url,
        system=configuration.system,
    )
    opened.stack.callback(log.info, "stopped")
    return AgentObserver(role=ROLE, metrics=metrics, log=log, loop=loop)
