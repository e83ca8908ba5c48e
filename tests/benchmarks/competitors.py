"""The tagger against other frameworks: events a CPU second, once the results are equal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median

from schemas.cloudevents import CloudEvent
from schemas.topics import TAGGED
from tests.benchmarks.engines import streams
from tests.benchmarks.engines.environments import PEERS, Peer, PeerMissing
from tests.benchmarks.engines.job import WAYS, Way
from tests.benchmarks.environment import Stage
from tests.benchmarks.figures import Figure, ResultsDiffer, lower
from tests.benchmarks.roles import Program
from tests.benchmarks.tagging import measure_tagger, wait_for
from tests.benchmarks.traffic import Traffic

_QUICK = 80
"""Companies; each makes about thirty events."""
_FULL = 1_000
_FEEDBACK = 60_000
_SETTLE_SECONDS = 1.0


def competitors(stage: Stage) -> Iterator[Figure]:
    """Measure events a CPU second of the tagger, and of each peer that can be installed, in both ways."""
    # A partition a topic: Bytewax opens a consumer for each, and is to be spared what it need not do.
    traffic = Traffic.made(stage, companies=stage.size(_QUICK, _FULL), partitions=1)
    peers = list(_install_peers())
    termijn_figures: list[float] = []
    theirs: dict[tuple[str, Way], list[float]] = {
        (peer.name, way): [] for peer in peers for way in WAYS
    }
    for run in range(stage.runs):
        traffic.begin()
        traffic.go_on()
        termijn_figures.append(
            traffic.events / measure_tagger(stage, traffic, run, group="rivals").cpu_seconds
        )
        expected = traffic.read(TAGGED.name)
        for peer in peers:
            for way in WAYS:
                sink = f"benchmark.{peer.name}.{way}.{run}"
                theirs[peer.name, way].append(_measure_peer(stage, traffic, peer, way, sink))
                check_same(expected, traffic.read(sink), f"{peer.name}, {way}")
    for peer in peers:
        yield Figure(
            name=f"tagger.{peer.name}",
            value=median(termijn_figures),
            unit=f"events a CPU second; against {peer.requirements[0]}, with the same function",
            baseline=median(theirs[peer.name, "shared"]),
            runs=stage.runs,
        )
        yield Figure(
            name=f"tagger.{peer.name}.plain",
            value=median(termijn_figures),
            unit=f"events a CPU second; against {peer.requirements[0]}, written plainly",
            baseline=median(theirs[peer.name, "plain"]),
            reach=lower(peer.bar),
            runs=stage.runs,
        )


def kafka_streams(stage: Stage) -> Iterator[Figure]:
    """Measure the tagger and Kafka Streams in Java, on events of one type; no target, no quick run."""
    if stage.quick:
        print(f"tagger.{streams.NAME} is left out: Java starts longer than that", file=sys.stderr)
        return
    try:
        streams.install()
    except PeerMissing as cause:
        print(f"tagger.{streams.NAME} is left out: {cause}", file=sys.stderr)
        return
    events = list(_make_feedback(_FEEDBACK))
    traffic = Traffic.of(stage, events[:30], events[30:], partitions=1)
    termijn_figures, theirs = [], []
    for run in range(stage.runs):
        traffic.begin()
        traffic.go_on()
        termijn_figures.append(
            traffic.events / measure_tagger(stage, traffic, run, group="streams").cpu_seconds
        )
        expected = traffic.read(TAGGED.name)
        sink = f"benchmark.{streams.NAME}.{run}"
        state = stage.directory / sink
        command = streams.command(stage.policy, state, traffic.broker.bootstrap, sink, sink)
        theirs.append(_measure_pass_rate(stage, traffic, command, {}, sink))
        check_same(expected, traffic.read(sink), streams.NAME)
    yield Figure(
        name=f"tagger.{streams.NAME}",
        value=median(termijn_figures),
        unit=f"events a CPU second; against Kafka Streams in Java, {streams.TYPE} only, its JIT included",
        baseline=median(theirs),
        runs=stage.runs,
    )


def check_same(
    termijn_messages: frozenset[tuple[bytes, bytes]],
    theirs: frozenset[tuple[bytes, bytes]],
    name: str,
) -> None:
    """Check that both published the same messages, keys and values.

    Raises:
        ResultsDiffer: they did not.
    """
    if termijn_messages != theirs:
        lost, added = len(termijn_messages - theirs), len(theirs - termijn_messages)
        raise ResultsDiffer(
            f"{name}: {lost} of {len(termijn_messages)} tagged events are missing, {added} are others"
        )


def _install_peers() -> Iterator[Peer]:
    for peer in PEERS:
        try:
            peer.install()
        except PeerMissing as cause:
            print(f"tagger.{peer.name} is left out: {cause}", file=sys.stderr)
        else:
            yield peer


def _measure_peer(stage: Stage, traffic: Traffic, peer: Peer, way: Way, sink: str) -> float:
    command = peer.command(way, traffic.broker.bootstrap, sink, sink)
    return _measure_pass_rate(stage, traffic, command, peer.settings, sink)


def _measure_pass_rate(
    stage: Stage, traffic: Traffic, command: Sequence[str], settings: Mapping[str, str], sink: str
) -> float:
    """Return how many events a CPU second a program publishes, once it has started."""
    traffic.begin()
    traffic.broker.create_topics({sink: TAGGED.partitions})
    with Program(command, settings, stage.directory / f"{sink}.log") as program:
        wait_for(traffic, program, sink, {}, len(traffic.first))
        time.sleep(_SETTLE_SECONDS)
        before = program.used()
        traffic.go_on()
        wait_for(traffic, program, sink, {}, traffic.events)
        spent = program.used().cpu_seconds - before.cpu_seconds
    return len(traffic.rest) / spent


def _make_feedback(events: int) -> Iterator[CloudEvent]:
    """Return events of the one type, a second apart, the last of them a minute ago."""
    last = datetime.now(UTC) - timedelta(minutes=1)
    for number in range(events):
        yield CloudEvent(
            id=f"feedback-{number}",
            source="urn:termijn:sample",
            type=streams.TYPE,
            time=last - timedelta(seconds=number),
            data={"feedback_id": f"W{number}", "visitor_id": f"SAMPLE-V{number}"},
        )
