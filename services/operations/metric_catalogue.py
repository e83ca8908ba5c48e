"""Every metric that a role can show, in one typed table: base units, bounded labels, never a person.

A metric is one entry of `CATALOGUE`; an observer of `services/operations/observers/` sets it by its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LATENESS_BUCKETS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0)
"""Upper bounds, in seconds, of the lateness of a command."""
_HOUR, _DAY = 3_600.0, 86_400.0
_ACKNOWLEDGEMENT_BUCKETS = (
    *(1.0, 15.0, 60.0, 300.0, _HOUR, 6 * _HOUR),
    *(_DAY, 2 * _DAY, 3 * _DAY, 7 * _DAY),
)
_PROOF_BUCKETS = (
    *(60.0, 900.0, _HOUR, 6 * _HOUR),
    *(_DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY, 30 * _DAY),
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


def counter(name: str, help: str, labels: tuple[str, ...] = ()) -> Metric:
    """Declare a metric that only grows."""
    return Metric(name=name, kind="counter", help=help, labels=labels)


def gauge(name: str, help: str, labels: tuple[str, ...] = ()) -> Metric:
    """Declare a metric that goes up and down."""
    return Metric(name=name, kind="gauge", help=help, labels=labels)


def histogram(
    name: str, help: str, labels: tuple[str, ...] = (), *, buckets: tuple[float, ...]
) -> Metric:
    """Declare a distribution; `buckets` are its upper bounds, in seconds."""
    return Metric(name=name, kind="histogram", help=help, labels=labels, buckets=buckets)


CATALOGUE: tuple[Metric, ...] = (
    gauge(
        "termijn_requests_open",
        "Requests of data subjects that are not answered, by right and state.",
        ("right", "state"),
    ),
    gauge(
        "termijn_request_left_seconds",
        "Seconds until the nearest statutory limit of an open request, by right; below 0 past it.",
        ("right",),
    ),
    gauge("termijn_requests_late", "Open requests past their statutory limit."),
    counter(
        "termijn_requests_concluded_total",
        "Requests of data subjects that were answered or refused, by right and outcome.",
        ("right", "outcome"),
    ),
    gauge(
        "termijn_provenance_open",
        "Obtained data of which the person is not informed where it comes from, by what limits the time.",
        ("reason",),
    ),
    gauge("termijn_provenance_late", "Of those, the ones past the limit of GDPR 14(3)."),
    gauge(
        "termijn_provenance_left_seconds",
        "Seconds until the nearest of their limits, by what it follows from; below 0 past it.",
        ("reason",),
    ),
    gauge("termijn_holds_open", "Legal holds that are not released."),
    gauge(
        "termijn_holdings",
        "Holdings by rule, system and state; estimated until all are counted.",
        ("rule", "system", "state"),
    ),
    gauge(
        "termijn_holdings_counted_ratio",
        "How much of the ledger the count of holdings is based on; 1 once all is counted.",
    ),
    counter("termijn_events_tagged_total", "Business events tagged, by type.", ("type",)),
    counter("termijn_holdings_tagged_total", "Holdings that tagging has made, by rule.", ("rule",)),
    gauge(
        "termijn_last_tagged_timestamp_seconds",
        "When business events were tagged last, or the tagger started.",
    ),
    counter(
        "termijn_dead_letters_total",
        "Messages parked, by role and reason.",
        ("role", "reason"),
    ),
    counter(
        "termijn_events_recorded_total",
        "Tagged events that became rows, and those that were there already.",
        ("outcome",),
    ),
    counter(
        "termijn_activity_after_end_total",
        "Records dated after the end of the retention clock that they depend on.",
    ),
    counter("termijn_overdue_on_arrival_total", "Records that were due before they were recorded."),
    histogram(
        "termijn_batch_seconds",
        "Seconds from polling a batch to its last write, by role.",
        ("role",),
        buckets=_BATCH_BUCKETS,
    ),
    counter(
        "termijn_batches_tried_again_total",
        "Batches that failed and were retried, by role.",
        ("role",),
    ),
    gauge(
        "termijn_lag_messages",
        "Messages of a partition that a role has not read yet.",
        ("role", "topic", "partition"),
    ),
    gauge(
        "termijn_gaps",
        "Gaps in the log (messages deleted before they were read) that are not accepted yet.",
    ),
    gauge(
        "termijn_key_conflicts",
        "Identifying keys that several subjects claim; no command is sent about those.",
    ),
    gauge("termijn_due_backlog", "Records and clocks that are due and not yet claimed."),
    gauge(
        "termijn_oldest_due_seconds",
        "Seconds since the oldest unclaimed record or clock became due.",
    ),
    gauge(
        "termijn_oldest_overdue_seconds",
        "Seconds since the erase_by of the oldest command that is not carried out, by system.",
        ("system",),
    ),
    histogram(
        "termijn_lateness_seconds",
        "Seconds from the due instant to Kafka's acknowledgement of the command, by system.",
        ("system",),
        buckets=LATENESS_BUCKETS,
    ),
    counter(
        "termijn_commands_sent_total",
        "Commands sent, repetitions included, by system and action.",
        ("system", "action"),
    ),
    gauge(
        "termijn_commands_outstanding",
        "Commands that are open or refused, by system and state.",
        ("system", "state"),
    ),
    gauge(
        "termijn_commands_escalated",
        "Commands that a system has not acknowledged in time or has refused, by system.",
        ("system",),
    ),
    gauge(
        "termijn_commands_undeliverable",
        "Commands that Kafka rejects at every attempt, by system.",
        ("system",),
    ),
    counter(
        "termijn_commands_recovered_total",
        "Commands that a restored ledger did not know to be sent, and that were found on their topics.",
    ),
    counter(
        "termijn_acknowledgements_total",
        "Acknowledgements of systems, by status.",
        ("system", "status"),
    ),
    histogram(
        "termijn_acknowledgement_seconds",
        "Seconds from the first attempt of a command to its final acknowledgement, by system.",
        ("system",),
        buckets=_ACKNOWLEDGEMENT_BUCKETS,
    ),
    histogram(
        "termijn_proof_seconds",
        "Seconds from the command to the verification that the data is gone, by system.",
        ("system",),
        buckets=_PROOF_BUCKETS,
    ),
    counter(
        "termijn_acknowledgements_suspicious_total",
        "Acknowledgements that nothing was held although the ledger has records, by system.",
        ("system",),
    ),
    counter(
        "termijn_erasures_reopened_total",
        "Verifications that found data which a system had reported erased; it is commanded again.",
        ("system",),
    ),
    counter(
        "termijn_unverifiable_total",
        "Messages on a system's acknowledgement topic without a valid signature, by reason.",
        ("system", "reason"),
    ),
    gauge("termijn_signing_off", "1 if signing is switched off, else 0."),
    gauge(
        "termijn_systems_without_keys",
        "Systems without a valid key; their acknowledgements are rejected.",
    ),
    gauge("termijn_dead_letters_parked", "Parked dead letters, by reason.", ("reason",)),
    gauge(
        "termijn_blind_spots",
        "Parked events that hold erasures back, by reach: all, those on some clocks, or narrow ones.",
        ("reach",),
    ),
    gauge(
        "termijn_history_held_back",
        "Records and clocks of live events with an old time that wait for a release, by type.",
        ("type",),
    ),
    gauge(
        "termijn_deleter_blind",
        "Partitions that are not recorded up to their end; above 0 no erasure is sent.",
    ),
    gauge("termijn_stops", "Roles and systems that are paused or drained."),
    gauge(
        "termijn_surge_obligations",
        "Erasures that were about to be commanded in a day when the surge guard stopped the deleter.",
        ("rule", "system"),
    ),
    gauge(
        "termijn_forecast_timestamp_seconds",
        "The time of the deleter's last forecast of what becomes due; 0 if it never made one.",
    ),
    gauge(
        "termijn_clocks_open_too_long",
        "Retention clocks that are open longer than their max_open, by kind.",
        ("clock",),
    ),
    gauge(
        "termijn_clock_disagreement_seconds",
        "Seconds by which this machine's clock is ahead of the database's.",
    ),
    gauge(
        "termijn_scheduled_policy_late_seconds",
        "How long ago the scheduled policy should have become active; 0 if none is late.",
    ),
    gauge(
        "termijn_evidence_broken",
        "1 if the evidence log was altered, truncated or lost, else 0.",
    ),
    gauge(
        "termijn_evidence_sealed_timestamp_seconds",
        "The time of the last signed head of the evidence log.",
    ),
    counter(
        "termijn_ledger_forgotten_total",
        "Rows that were purged from the ledger after their proof term, by kind.",
        ("kind",),
    ),
    counter(
        "termijn_agent_commands_total",
        "Commands that reached an agent, by what became of them.",
        ("judgement",),
    ),
    counter(
        "termijn_agent_answers_total",
        "Commands that the agent acknowledged, by action and status.",
        ("action", "status"),
    ),
    histogram(
        "termijn_agent_answer_seconds",
        "Seconds from the issue of a command's last attempt to its acknowledgement, by action.",
        ("action",),
        buckets=LATENESS_BUCKETS,
    ),
    counter(
        "termijn_agent_tries_failed_total",
        "Attempts that failed or gave no result, by action.",
        ("action",),
    ),
    gauge(
        "termijn_agent_commands_open",
        "Commands in the inbox: waiting to be carried out, or pending at the system.",
        ("state",),
    ),
    gauge("termijn_agent_oldest_open_seconds", "Seconds since the oldest of those was issued."),
    gauge(
        "termijn_watch_outstanding",
        "Commands that were sent and not acknowledged, in the partitions of this process.",
        ("system",),
    ),
    gauge(
        "termijn_watch_failing",
        "Those of them that the system has reported as failed so far.",
        ("system",),
    ),
    gauge(
        "termijn_watch_oldest_outstanding_seconds",
        "Seconds since the oldest of them was sent; 0 if there is none.",
        ("system",),
    ),
    counter(
        "termijn_watch_commands_total",
        "Commands that the watch has seen sent, each once.",
        ("system",),
    ),
    counter(
        "termijn_watch_answers_total",
        "Commands that the watch has seen acknowledged, each once, by status.",
        ("system", "status"),
    ),
    histogram(
        "termijn_watch_answer_seconds",
        "Seconds from the first sending of a command to its acknowledgement, as the watch sees it.",
        ("system",),
        buckets=_ACKNOWLEDGEMENT_BUCKETS,
    ),
    counter(
        "termijn_watch_unreadable_total",
        "Messages that the watch skipped: undecodable, or without a valid signature.",
        ("system", "reason"),
    ),
    gauge("termijn_watch_partitions", "Partitions that this process watches."),
    gauge(
        "termijn_role_info",
        "Always 1; the labels are role, policy and its version.",
        ("role", "policy", "version"),
    ),
    gauge(
        "termijn_role_ready",
        "1 while the role is ready, as /readyz reports; else 0.",
        ("role",),
    ),
    gauge(
        "termijn_build_info",
        "Always 1; the labels are the versions of Termijn and Python.",
        ("version", "python"),
    ),
)
"""Every metric; the table on the page of this room is generated from it."""
