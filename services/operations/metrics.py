"""Every metric, in one typed catalogue: base units, bounded labels, never a subject."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

HOST = "127.0.0.1"
"""Where metrics are served."""
PORTS: Mapping[str, int] = {
    "tagger": 9501,
    "recorder": 9502,
    "deleter": 9503,
    "acknowledgements": 9504,
    "rights": 9505,
    "watch": 9506,
    "agent": 9510,
}
"""The port of each role's `/metrics`, unless a setting says another."""

LATENESS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0)
"""The bounds of how late a command leaves, in seconds."""
_ANSWER = (1.0, 15.0, 60.0, 300.0, 3_600.0, 21_600.0, 86_400.0, 172_800.0, 259_200.0, 604_800.0)
_PROOF = (60.0, 900.0, 3_600.0, 21_600.0, 86_400.0, 172_800.0, 604_800.0, 1_209_600.0, 2_592_000.0)
_BATCH = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric. Counters end in `_total`, times are seconds."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


CATALOGUE: tuple[Metric, ...] = (
    Metric(
        name="termijn_requests_open",
        kind="gauge",
        help="Requests of data subjects that are not answered, by right and state.",
        labels=("right", "state"),
    ),
    Metric(
        name="termijn_request_left_seconds",
        kind="gauge",
        help="Time to the statutory limit of the open request that has least left, by right.",
        labels=("right",),
    ),
    Metric(
        name="termijn_requests_late",
        kind="gauge",
        help="Open requests past their statutory limit.",
    ),
    Metric(
        name="termijn_requests_concluded_total",
        kind="counter",
        help="Requests of data subjects that were answered or refused, by right and outcome.",
        labels=("right", "outcome"),
    ),
    Metric(
        name="termijn_holds_open",
        kind="gauge",
        help="Holds that keep data from being erased until they are released.",
    ),
    Metric(
        name="termijn_holdings",
        kind="gauge",
        help="Holdings by rule, system and state; estimated until all are counted.",
        labels=("rule", "system", "state"),
    ),
    Metric(
        name="termijn_holdings_counted_ratio",
        kind="gauge",
        help="How much of the ledger the count of holdings is based on; 1 once all is counted.",
    ),
    Metric(
        name="termijn_events_tagged_total",
        kind="counter",
        help="Business events tagged, by type.",
        labels=("type",),
    ),
    Metric(
        name="termijn_holdings_tagged_total",
        kind="counter",
        help="Holdings that tagging has made, by rule.",
        labels=("rule",),
    ),
    Metric(
        name="termijn_last_tagged_timestamp_seconds",
        kind="gauge",
        help="When business events were tagged last, or the tagger started.",
    ),
    Metric(
        name="termijn_dead_letters_total",
        kind="counter",
        help="Messages parked, by role and reason.",
        labels=("role", "reason"),
    ),
    Metric(
        name="termijn_events_recorded_total",
        kind="counter",
        help="Tagged events that became rows, and those that were there already.",
        labels=("outcome",),
    ),
    Metric(
        name="termijn_activity_after_end_total",
        kind="counter",
        help="Records dated after the end of what they hang on.",
    ),
    Metric(
        name="termijn_overdue_on_arrival_total",
        kind="counter",
        help="Records that were due before they were recorded.",
    ),
    Metric(
        name="termijn_batch_seconds",
        kind="histogram",
        help="Time from polling a batch to its last write, by role.",
        labels=("role",),
        buckets=_BATCH,
    ),
    Metric(
        name="termijn_batches_tried_again_total",
        kind="counter",
        help="Batches that were not applied and were read again, by role.",
        labels=("role",),
    ),
    Metric(
        name="termijn_lag_messages",
        kind="gauge",
        help="Messages of a partition that a role has not read yet.",
        labels=("role", "topic", "partition"),
    ),
    Metric(
        name="termijn_gaps",
        kind="gauge",
        help="Stretches of the log that were lost unread and wait to be accepted.",
    ),
    Metric(
        name="termijn_key_conflicts",
        kind="gauge",
        help="Identifying keys that several subjects claim: nothing about those leaves.",
    ),
    Metric(
        name="termijn_due_backlog",
        kind="gauge",
        help="Records and clocks that are due and not yet claimed.",
    ),
    Metric(
        name="termijn_oldest_due_seconds",
        kind="gauge",
        help="How long the oldest of those has been due.",
    ),
    Metric(
        name="termijn_oldest_overdue_seconds",
        kind="gauge",
        help="How far past its erase_by the oldest command is that is not carried out, by system.",
        labels=("system",),
    ),
    Metric(
        name="termijn_lateness_seconds",
        kind="histogram",
        help="Time from the due instant to the broker's word that the command is out.",
        labels=("system",),
        buckets=LATENESS,
    ),
    Metric(
        name="termijn_commands_sent_total",
        kind="counter",
        help="Commands sent, repetitions included, by system and action.",
        labels=("system", "action"),
    ),
    Metric(
        name="termijn_commands_outstanding",
        kind="gauge",
        help="Commands that are not settled, or refused, by system and state.",
        labels=("system", "state"),
    ),
    Metric(
        name="termijn_commands_escalated",
        kind="gauge",
        help="Commands whose system was silent too long, or refused, by system.",
        labels=("system",),
    ),
    Metric(
        name="termijn_commands_undeliverable",
        kind="gauge",
        help="Commands that the bus takes at no attempt, by system.",
        labels=("system",),
    ),
    Metric(
        name="termijn_acknowledgements_total",
        kind="counter",
        help="Answers of systems, by status.",
        labels=("system", "status"),
    ),
    Metric(
        name="termijn_acknowledgement_seconds",
        kind="histogram",
        help="Time from the first sending of a command to the answer that settled it, by system.",
        labels=("system",),
        buckets=_ANSWER,
    ),
    Metric(
        name="termijn_proof_seconds",
        kind="histogram",
        help="Time from the command to the proof that nothing is left, by system.",
        labels=("system",),
        buckets=_PROOF,
    ),
    Metric(
        name="termijn_acknowledgements_suspicious_total",
        kind="counter",
        help="Answers that nothing was held, where the ledger knows records.",
        labels=("system",),
    ),
    Metric(
        name="termijn_erasures_reopened_total",
        kind="counter",
        help="Checks that found what a system had said was erased; it is commanded again.",
        labels=("system",),
    ),
    Metric(
        name="termijn_unverifiable_total",
        kind="counter",
        help="Messages on a system's topic not proven to be its answers, by reason.",
        labels=("system", "reason"),
    ),
    Metric(
        name="termijn_signing_off",
        kind="gauge",
        help="1 where a role neither signs nor verifies, since a setting says so; else 0.",
    ),
    Metric(
        name="termijn_systems_without_keys",
        kind="gauge",
        help="Systems without a valid key: no answer of theirs counts.",
    ),
    Metric(
        name="termijn_dead_letters_parked",
        kind="gauge",
        help="Dead letters that wait to be replayed or discarded, by reason.",
        labels=("reason",),
    ),
    Metric(
        name="termijn_blind_spots",
        kind="gauge",
        help="Parked events that keep erasures back: everything, those on some clocks, or narrow ones.",
        labels=("reach",),
    ),
    Metric(
        name="termijn_history_held_back",
        kind="gauge",
        help="Records and clocks that live events with an old time brought, until released, by type.",
        labels=("type",),
    ),
    Metric(
        name="termijn_deleter_blind",
        kind="gauge",
        help="Partitions not recorded up to their end: above 0 nothing that destroys leaves.",
    ),
    Metric(
        name="termijn_stops",
        kind="gauge",
        help="Roles and systems that are paused or drained.",
    ),
    Metric(
        name="termijn_clocks_open_too_long",
        kind="gauge",
        help="Clocks that no event has stopped within their max_open, by kind.",
        labels=("clock",),
    ),
    Metric(
        name="termijn_clock_disagreement_seconds",
        kind="gauge",
        help="This machine's clock minus the database's.",
    ),
    Metric(
        name="termijn_evidence_broken",
        kind="gauge",
        help="1 where the chain of evidence does not hold: it was altered, cut, or lost.",
    ),
    Metric(
        name="termijn_evidence_sealed_timestamp_seconds",
        kind="gauge",
        help="When the log of evidence got its last signed head.",
    ),
    Metric(
        name="termijn_ledger_forgotten_total",
        kind="counter",
        help="What is gone from the ledger since its proof's term was over, by kind.",
        labels=("kind",),
    ),
    Metric(
        name="termijn_agent_commands_total",
        kind="counter",
        help="Commands that reached an agent, by what became of them.",
        labels=("judgement",),
    ),
    Metric(
        name="termijn_agent_answers_total",
        kind="counter",
        help="Commands that a system carried out, or did not, by action and status.",
        labels=("action", "status"),
    ),
    Metric(
        name="termijn_agent_answer_seconds",
        kind="histogram",
        help="Time from the issue of a command's last attempt to its answer.",
        labels=("action",),
        buckets=LATENESS,
    ),
    Metric(
        name="termijn_agent_tries_failed_total",
        kind="counter",
        help="Tries at which the system could not be asked, or gave no result, by action.",
        labels=("action",),
    ),
    Metric(
        name="termijn_agent_commands_open",
        kind="gauge",
        help="Commands in the inbox that wait to be carried out, or for the system to tell.",
        labels=("state",),
    ),
    Metric(
        name="termijn_agent_oldest_open_seconds",
        kind="gauge",
        help="How long ago the oldest of those was issued.",
    ),
    Metric(
        name="termijn_watch_outstanding",
        kind="gauge",
        help="Commands that the watch has seen leave, and no answer to, in this process's part.",
        labels=("system",),
    ),
    Metric(
        name="termijn_watch_failing",
        kind="gauge",
        help="Those of them of which the system has said that they failed so far.",
        labels=("system",),
    ),
    Metric(
        name="termijn_watch_oldest_outstanding_seconds",
        kind="gauge",
        help="How long ago the oldest of them left; 0 where there is none.",
        labels=("system",),
    ),
    Metric(
        name="termijn_watch_commands_total",
        kind="counter",
        help="Commands that the watch has seen leave, each once.",
        labels=("system",),
    ),
    Metric(
        name="termijn_watch_answers_total",
        kind="counter",
        help="Commands of which the watch has seen the answer, each once, by what it said.",
        labels=("system", "status"),
    ),
    Metric(
        name="termijn_watch_answer_seconds",
        kind="histogram",
        help="Time from a command's first leaving to its answer, as the watch sees it.",
        labels=("system",),
        buckets=_ANSWER,
    ),
    Metric(
        name="termijn_watch_unreadable_total",
        kind="counter",
        help="Messages that the watch left out: undecodable, or not proven to be their sender's.",
        labels=("system", "reason"),
    ),
    Metric(
        name="termijn_watch_partitions",
        kind="gauge",
        help="Parts of the watch that this process has; all processes together have all.",
    ),
    Metric(
        name="termijn_role_info",
        kind="gauge",
        help="Always 1; the labels tell which role runs under which policy version.",
        labels=("role", "policy", "version"),
    ),
    Metric(
        name="termijn_role_ready",
        kind="gauge",
        help="1 while the role does its work, as /readyz says; 0 while it cannot.",
        labels=("role",),
    ),
    Metric(
        name="termijn_build_info",
        kind="gauge",
        help="Always 1; the labels tell the version of Termijn and of Python.",
        labels=("version", "python"),
    ),
)


class Metrics:
    """The metrics of one process, on a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._known: dict[str, Any] = {one.name: self._made(one) for one in CATALOGUE}

    def init(self, name: str, **labels: str) -> None:
        """Show a counter or histogram at zero: of one that begins later the first step is not seen."""
        self._labelled(name, labels)

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Raise a counter."""
        self._labelled(name, labels).inc(amount)

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        self._labelled(name, labels).set(value)

    def set_function(self, name: str, value: Callable[[], float], **labels: str) -> None:
        """Have a gauge say what a function says at each scrape."""
        self._labelled(name, labels).set_function(value)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add to a histogram; a time below zero counts as zero."""
        self._labelled(name, labels).observe(max(0.0, value))

    def replace_labels(
        self,
        name: str,
        values: Mapping[tuple[str], float]
        | Mapping[tuple[str, str], float]
        | Mapping[tuple[str, str, str], float],
    ) -> None:
        """Set a labelled gauge to exactly these values; what is not among them is gone."""
        gauge = self._known[name]
        gauge.clear()
        for labels, value in values.items():
            gauge.labels(*labels).set(value)

    def text(self) -> str:
        """The metrics as Prometheus reads them."""
        return generate_latest(self.registry).decode()

    def _labelled(self, name: str, labels: Mapping[str, str]) -> Any:
        metric = self._known[name]
        return metric.labels(**labels) if labels else metric

    def _made(self, one: Metric) -> Any:
        name, labels = one.name, one.labels
        match one.kind:
            case "counter":
                return Counter(name, one.help, labels, registry=self.registry)
            case "gauge":
                return Gauge(name, one.help, labels, registry=self.registry)
            case "histogram":
                return Histogram(
                    name, one.help, labels, registry=self.registry, buckets=one.buckets
                )
