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

LATENESS_BUCKETS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0)
"""The bounds of how late a command leaves, in seconds."""
_ACKNOWLEDGEMENT_BUCKETS = (
    1.0,
    15.0,
    60.0,
    300.0,
    3_600.0,
    21_600.0,
    86_400.0,
    172_800.0,
    259_200.0,
    604_800.0,
)
_PROOF_BUCKETS = (
    60.0,
    900.0,
    3_600.0,
    21_600.0,
    86_400.0,
    172_800.0,
    604_800.0,
    1_209_600.0,
    2_592_000.0,
)
_BATCH_BUCKETS = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0)


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
        help="Seconds until the nearest statutory limit of an open request, by right; below 0 past it.",
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
        help="Legal holds that are not released.",
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
        help="Records dated after the end of the retention clock that they depend on.",
    ),
    Metric(
        name="termijn_overdue_on_arrival_total",
        kind="counter",
        help="Records that were due before they were recorded.",
    ),
    Metric(
        name="termijn_batch_seconds",
        kind="histogram",
        help="Seconds from polling a batch to its last write, by role.",
        labels=("role",),
        buckets=_BATCH_BUCKETS,
    ),
    Metric(
        name="termijn_batches_tried_again_total",
        kind="counter",
        help="Batches that failed and were retried, by role.",
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
        help="Gaps in the log (messages deleted before they were read) that are not accepted yet.",
    ),
    Metric(
        name="termijn_key_conflicts",
        kind="gauge",
        help="Identifying keys that several subjects claim; no command is sent about those.",
    ),
    Metric(
        name="termijn_due_backlog",
        kind="gauge",
        help="Records and clocks that are due and not yet claimed.",
    ),
    Metric(
        name="termijn_oldest_due_seconds",
        kind="gauge",
        help="Seconds since the oldest unclaimed record or clock became due.",
    ),
    Metric(
        name="termijn_oldest_overdue_seconds",
        kind="gauge",
        help="Seconds since the erase_by of the oldest command that is not carried out, by system.",
        labels=("system",),
    ),
    Metric(
        name="termijn_lateness_seconds",
        kind="histogram",
        help="Seconds from the due instant to Kafka's acknowledgement of the command, by system.",
        labels=("system",),
        buckets=LATENESS_BUCKETS,
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
        help="Commands that are open or refused, by system and state.",
        labels=("system", "state"),
    ),
    Metric(
        name="termijn_commands_escalated",
        kind="gauge",
        help="Commands that a system has not acknowledged in time or has refused, by system.",
        labels=("system",),
    ),
    Metric(
        name="termijn_commands_undeliverable",
        kind="gauge",
        help="Commands that Kafka rejects at every attempt, by system.",
        labels=("system",),
    ),
    Metric(
        name="termijn_acknowledgements_total",
        kind="counter",
        help="Acknowledgements of systems, by status.",
        labels=("system", "status"),
    ),
    Metric(
        name="termijn_acknowledgement_seconds",
        kind="histogram",
        help="Seconds from the first attempt of a command to its final acknowledgement, by system.",
        labels=("system",),
        buckets=_ACKNOWLEDGEMENT_BUCKETS,
    ),
    Metric(
        name="termijn_proof_seconds",
        kind="histogram",
        help="Seconds from the command to the verification that the data is gone, by system.",
        labels=("system",),
        buckets=_PROOF_BUCKETS,
    ),
    Metric(
        name="termijn_acknowledgements_suspicious_total",
        kind="counter",
        help="Acknowledgements that nothing was held although the ledger has records, by system.",
        labels=("system",),
    ),
    Metric(
        name="termijn_erasures_reopened_total",
        kind="counter",
        help="Verifications that found data which a system had reported erased; it is commanded again.",
        labels=("system",),
    ),
    Metric(
        name="termijn_unverifiable_total",
        kind="counter",
        help="Messages on a system's acknowledgement topic without a valid signature, by reason.",
        labels=("system", "reason"),
    ),
    Metric(
        name="termijn_signing_off",
        kind="gauge",
        help="1 if signing is switched off, else 0.",
    ),
    Metric(
        name="termijn_systems_without_keys",
        kind="gauge",
        help="Systems without a valid key; their acknowledgements are rejected.",
    ),
    Metric(
        name="termijn_dead_letters_parked",
        kind="gauge",
        help="Parked dead letters, by reason.",
        labels=("reason",),
    ),
    Metric(
        name="termijn_blind_spots",
        kind="gauge",
        help="Parked events that hold erasures back, by reach: all, those on some clocks, or narrow ones.",
        labels=("reach",),
    ),
    Metric(
        name="termijn_history_held_back",
        kind="gauge",
        help="Records and clocks of live events with an old time that wait for a release, by type.",
        labels=("type",),
    ),
    Metric(
        name="termijn_deleter_blind",
        kind="gauge",
        help="Partitions that are not recorded up to their end; above 0 no erasure is sent.",
    ),
    Metric(
        name="termijn_stops",
        kind="gauge",
        help="Roles and systems that are paused or drained.",
    ),
    Metric(
        name="termijn_clocks_open_too_long",
        kind="gauge",
        help="Retention clocks that are open longer than their max_open, by kind.",
        labels=("clock",),
    ),
    Metric(
        name="termijn_clock_disagreement_seconds",
        kind="gauge",
        help="Seconds by which this machine's clock is ahead of the database's.",
    ),
    Metric(
        name="termijn_evidence_broken",
        kind="gauge",
        help="1 if the evidence log was altered, truncated or lost, else 0.",
    ),
    Metric(
        name="termijn_evidence_sealed_timestamp_seconds",
        kind="gauge",
        help="The time of the last signed head of the evidence log.",
    ),
    Metric(
        name="termijn_ledger_forgotten_total",
        kind="counter",
        help="Rows that were purged from the ledger after their proof term, by kind.",
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
        help="Commands that the agent acknowledged, by action and status.",
        labels=("action", "status"),
    ),
    Metric(
        name="termijn_agent_answer_seconds",
        kind="histogram",
        help="Seconds from the issue of a command's last attempt to its acknowledgement, by action.",
        labels=("action",),
        buckets=LATENESS_BUCKETS,
    ),
    Metric(
        name="termijn_agent_tries_failed_total",
        kind="counter",
        help="Attempts that failed or gave no result, by action.",
        labels=("action",),
    ),
    Metric(
        name="termijn_agent_commands_open",
        kind="gauge",
        help="Commands in the inbox: waiting to be carried out, or pending at the system.",
        labels=("state",),
    ),
    Metric(
        name="termijn_agent_oldest_open_seconds",
        kind="gauge",
        help="Seconds since the oldest of those was issued.",
    ),
    Metric(
        name="termijn_watch_outstanding",
        kind="gauge",
        help="Commands that were sent and not acknowledged, in the partitions of this process.",
        labels=("system",),
    ),
    Metric(
        name="termijn_watch_failing",
        kind="gauge",
        help="Those of them that the system has reported as failed so far.",
        labels=("system",),
    ),
    Metric(
        name="termijn_watch_oldest_outstanding_seconds",
        kind="gauge",
        help="Seconds since the oldest of them was sent; 0 if there is none.",
        labels=("system",),
    ),
    Metric(
        name="termijn_watch_commands_total",
        kind="counter",
        help="Commands that the watch has seen sent, each once.",
        labels=("system",),
    ),
    Metric(
        name="termijn_watch_answers_total",
        kind="counter",
        help="Commands that the watch has seen acknowledged, each once, by status.",
        labels=("system", "status"),
    ),
    Metric(
        name="termijn_watch_answer_seconds",
        kind="histogram",
        help="Seconds from the first sending of a command to its acknowledgement, as the watch sees it.",
        labels=("system",),
        buckets=_ACKNOWLEDGEMENT_BUCKETS,
    ),
    Metric(
        name="termijn_watch_unreadable_total",
        kind="counter",
        help="Messages that the watch skipped: undecodable, or without a valid signature.",
        labels=("system", "reason"),
    ),
    Metric(
        name="termijn_watch_partitions",
        kind="gauge",
        help="Partitions that this process watches.",
    ),
    Metric(
        name="termijn_role_info",
        kind="gauge",
        help="Always 1; the labels are role, policy and its version.",
        labels=("role", "policy", "version"),
    ),
    Metric(
        name="termijn_role_ready",
        kind="gauge",
        help="1 while the role is ready, as /readyz reports; else 0.",
        labels=("role",),
    ),
    Metric(
        name="termijn_build_info",
        kind="gauge",
        help="Always 1; the labels are the versions of Termijn and Python.",
        labels=("version", "python"),
    ),
)


class Metrics:
    """The metrics of one process, on a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._collectors: dict[str, Any] = {
            metric.name: self._make_collector(metric) for metric in CATALOGUE
        }

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
        gauge = self._collectors[name]
        gauge.clear()
        for labels, value in values.items():
            gauge.labels(*labels).set(value)

    def text(self) -> str:
        """The metrics as Prometheus reads them."""
        return generate_latest(self.registry).decode()

    def _labelled(self, name: str, labels: Mapping[str, str]) -> Any:
        metric = self._collectors[name]
        return metric.labels(**labels) if labels else metric

    def _make_collector(self, metric: Metric) -> Any:
        name, labels = metric.name, metric.labels
        match metric.kind:
            case "counter":
                return Counter(name, metric.help, labels, registry=self.registry)
            case "gauge":
                return Gauge(name, metric.help, labels, registry=self.registry)
            case "histogram":
                return Histogram(
                    name, metric.help, labels, registry=self.registry, buckets=metric.buckets
                )
