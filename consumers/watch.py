"""The watch: a Faust app that counts each system's open and acknowledged commands, live from Kafka.

No decision depends on its counts: the deleter is safe without it. A command is counted once, however often
Kafka delivers its messages. All observations of a command go through a topic of the watch to one partition,
since acknowledgements may be partitioned differently from commands; each worker watches some partitions.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Protocol, cast

from faust import App
from faust.tables.wrappers import WindowWrapper
from faust.types import EventT, StreamT

from consumers.watch_rereading import (
    StalledPartitions,
    acknowledged,
    read_again,
    unacknowledged,
)
from consumers.watched_topics import WatchedTopic, watched_topics
from schemas.codec import Codec
from schemas.errors import DecodingFailed, TermijnError
from schemas.topics import SIGHTINGS, Topic
from services.crypto.signing import SignatureInvalid, VerifierProtocol
from services.kafka.security import Security
from services.operations.watch.faust_credentials import credentials
from services.operations.watch.sightings import (
    COUNTED,
    CommandObservation,
    ObservationResult,
    observe,
)
from services.operations.watch.summary import (
    WINDOW,
    RecentCounts,
    WatchSummary,
    is_expired,
    summarize,
)
from services.operations.watch.table_rows import (
    TableRow,
    from_row,
    parse_observation,
    parse_place,
    to_row,
)

ROLE = "watch"
_TABLES = ("watched", "counted")
_WINDOW_STEP = timedelta(minutes=1)
_RETENTION = timedelta(hours=1)
_SUMMARY_SECONDS = 1.0
_STALLED_SECONDS = 15.0
"""Between two looks for partitions of which nothing is processed; Faust commits five times as often."""
_EXPIRY_PAGE = timedelta(minutes=10)


class WatchFailed(TermijnError):
    """The stream processor has failed; the role ended, and nothing else is affected.

    The operator reads its last log lines, and starts it again: its tables are restored from Kafka.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"watch: {reason}")


class WatchAppObserver(Protocol):
    """Receives the observations of the watch: metrics and logs."""

    def unreadable(self, system: str, reason: str) -> None:
        """A message that cannot be decoded, or that is not its sender's, was left out."""

    def observed(self, system: str, result: ObservationResult) -> None:
        """A command or an acknowledgement was observed for the first time."""

    def summarized(self, summary: WatchSummary) -> None:
        """This is the summary of the systems now."""

    def not_ready(self, reason: str) -> None:
        """The watch cannot count at the moment."""

    def ready(self) -> None:
        """The watch is counting."""


@dataclass(slots=True, kw_only=True)
class WatchApp:
    """The app of one process. `now` is this machine's clock, UTC."""

    group: str
    bootstrap: str
    security: Security
    """The security settings for connecting to the brokers."""
    data: Path
    """The directory of Faust's files."""
    commands: Mapping[str, Topic]
    acknowledgements: Mapping[str, Topic]
    commander: VerifierProtocol
    verifiers: Mapping[str, VerifierProtocol]
    codec: Codec
    observer: WatchAppObserver
    now: Callable[[], datetime]
    _expired_at: dict[int, datetime] = field(default_factory=dict)

    def app(self) -> App:
        """Return a new Faust app, for each start; nothing is created at import.

        Its topics are created before that, with the brokers' default replication factor. Its agents
        acknowledge events themselves: left to it, Faust does so too for an event in which it cancels them.
        """
        app = App(
            self.group,
            broker=[f"kafka://{address}" for address in self.bootstrap.split(",")],
            broker_credentials=credentials(self.security),
            store="memory://",
            datadir=self.data,
            web_enabled=False,
            consumer_auto_offset_reset="earliest",
            broker_session_timeout=10.0,
            broker_heartbeat_interval=3.0,
            topic_allow_declare=False,
            topic_disable_leader=True,
            topic_partitions=SIGHTINGS.partitions,
        )
        sources = watched_topics(
            self.commands, self.acknowledgements, self.commander, self.verifiers
        )
        source_topics = app.topic(*sources, key_serializer="raw", value_serializer="raw")
        observations = app.topic(SIGHTINGS.name, key_serializer="raw", value_serializer="raw")
        table = app.Table(_TABLES[0], partitions=SIGHTINGS.partitions)
        watched = cast(MutableMapping[str, TableRow], table)
        counts = app.Table(_TABLES[1], default=float, partitions=SIGHTINGS.partitions)
        counted = cast(WindowWrapper, counts.tumbling(_WINDOW_STEP, expires=_RETENTION))

        async def send(observation: CommandObservation) -> None:
            await observations.send(
                key=observation.command_id.encode(),
                value=self.codec.encode(SIGHTINGS, asdict(observation), trusted=True),
                timestamp=observation.at.timestamp(),
            )

        @app.agent(source_topics, name=f"{self.group}-see")
        async def read_topics(stream: StreamT[bytes]) -> None:
            async for event in unacknowledged(stream):
                with acknowledged(event):
                    for observation in self._observations_of(sources[event.message.topic], event):
                        await send(observation)

        @app.agent(observations, name=f"{self.group}-fold")
        async def count_observations(stream: StreamT[bytes]) -> None:
            async for event in unacknowledged(stream):
                with acknowledged(event):
                    observation = parse_observation(
                        self.codec.decode(SIGHTINGS, event.message.value)
                    )
                    partition = event.message.partition
                    self._expire(watched, partition)
                    row = watched.get(observation.command_id)
                    previous = from_row(row) if row else None
                    result = observe(previous, observation)
                    if result.watched != previous:
                        watched[observation.command_id] = to_row(result.watched, partition)
                    for counter in result.counted:
                        counted[f"{observation.system}|{counter}|{partition}"] += 1
                    if result.took_seconds is not None:
                        counted[f"{observation.system}|took|{partition}"] += result.took_seconds
                    if result.follow_up is not None:
                        await send(result.follow_up)
                    self.observer.observed(observation.system, result)

        stalled, is_settled = StalledPartitions(), False

        @app.timer(_STALLED_SECONDS)  # type: ignore[untyped-decorator]  # Faust's has no types
        async def read_missed_again() -> None:
            nonlocal is_settled
            if app.rebalancing or app.in_recovery:
                is_settled = False
                return
            ends, committed = app.monitor.tp_end_offsets, app.monitor.tp_committed_offsets
            if stalled.find(ends, committed) or not is_settled:
                is_settled = True
                await read_again(app, {*sources, SIGHTINGS.name})

        @app.timer(_SUMMARY_SECONDS)  # type: ignore[untyped-decorator]  # Faust's has no types
        async def summarize_now() -> None:
            if app.rebalancing or app.in_recovery:
                self.observer.not_ready("its tables are being recovered")
                return
            partitions = _own_partitions(app)
            self.observer.ready()
            self.observer.summarized(self._summary(watched, counted, partitions))

        return app

    async def run(self, stop: Event) -> None:
        """Run until `stop` is set.

        Raises:
            WatchFailed: the stream processor has given up.
        """
        app = self.app()
        app.finalize()
        await app.start()
        try:
            while not stop.is_set():
                if app.crashed:
                    raise WatchFailed(f"{type(app.crash_reason).__name__} in the stream processor")
                await asyncio.sleep(_SUMMARY_SECONDS / 5)
        finally:
            await app.stop()

    def _observations_of(
        self, source: WatchedTopic, event: EventT[bytes]
    ) -> list[CommandObservation]:
        message = event.message
        headers = message.headers or ()
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        at = min(self.now(), datetime.fromtimestamp(message.timestamp, UTC))
        try:
            source.verifier.verify(message.topic, message.key, message.value, pairs, at)
            value = self.codec.decode(source.topic, message.value)
        except SignatureInvalid as cause:
            self.observer.unreadable(source.system, cause.reason)
            return []
        except DecodingFailed:
            self.observer.unreadable(source.system, "undecodable")
            return []
        if value["system"] != source.system:
            self.observer.unreadable(source.system, "misaddressed")
            return []
        return source.parse(value)

    def _expire(self, watched: MutableMapping[str, TableRow], partition: int) -> None:
        """Delete expired commands, now and then; Faust changes a table only while it reads a stream."""
        now = self.now()
        if now - self._expired_at.setdefault(partition, now) < _EXPIRY_PAGE:
            return
        self._expired_at[partition] = now
        expired = [
            key
            for key, value in watched.items()
            if parse_place(value) == partition and is_expired(from_row(value), now)
        ]
        for key in expired:
            del watched[key]

    def _summary(
        self,
        watched: MutableMapping[str, TableRow],
        counted: WindowWrapper,
        partitions: Sequence[int],
    ) -> WatchSummary:
        now = self.now()
        own_commands = [from_row(row) for row in watched.values() if parse_place(row) in partitions]
        return WatchSummary(
            at=now,
            partitions=tuple(partitions),
            partition_count=SIGHTINGS.partitions,
            systems=summarize(
                self.commands,
                own_commands,
                {
                    system: _recent_counts(counted, system, partitions, now)
                    for system in self.commands
                },
                now,
            ),
        )


def _own_partitions(app: App) -> list[int]:
    """Return the partitions of the observations' topic that this process reads."""
    assigned = app.consumer.assignment()
    return sorted(
        partition.partition for partition in assigned if partition.topic == SIGHTINGS.name
    )


def _recent_counts(
    counted: WindowWrapper, system: str, partitions: Sequence[int], now: datetime
) -> RecentCounts:
    sums: defaultdict[str, float] = defaultdict(float)
    for step in range(WINDOW // _WINDOW_STEP):
        window = counted.relative_to((now - step * _WINDOW_STEP).timestamp())
        for counter in (*COUNTED, "took"):
            for partition in partitions:
                sums[counter] += window[f"{system}|{counter}|{partition}"].value()
    took_seconds = sums.pop("took")
    return RecentCounts(**sums, took_seconds=took_seconds)
