"""The alerts: what somebody has to look at, for how long it must last, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.operations.monitoring import slo
from services.operations.monitoring.rules import Alert
from services.operations.monitoring.time_scale import DAY, HOUR, MINUTE, TimeScale

LAG_MESSAGES = 10_000
"""A role that is further behind, and stays so, does not keep up."""


def alert_groups(scale: TimeScale, lag: int = LAG_MESSAGES) -> Mapping[str, Sequence[Alert]]:
    """Every alert, by what it is about; a role lags with more than `lag` messages unread."""
    return {
        "promises": [*_promises(scale), *slo.alerts(scale)],
        "requests": _requests(scale),
        "systems": _systems(scale),
        "bus": _bus(scale, lag),
        "roles": _roles(scale),
        "evidence": _evidence(scale),
    }


def _promises(scale: TimeScale) -> list[Alert]:
    return [
        Alert(
            name="TermijnOverdue",
            expr="max by (system) (termijn_oldest_overdue_seconds) > 0",
            for_=scale.for_duration(5 * MINUTE),
            severity="critical",
            summary="{{ $labels.system }} still holds data whose term has ended",
            description="The oldest is {{ $value | humanizeDuration }} past its erase_by.",
        ),
        Alert(
            name="TermijnDueUnclaimed",
            expr=f"max(termijn_oldest_due_seconds) > {scale.promql_seconds(HOUR)}",
            for_=scale.for_duration(5 * MINUTE),
            severity="critical",
            summary="Data has been due for {{ $value | humanizeDuration }} and nobody was told",
            description="The deleter claims nothing, or cannot keep up; in a day erase_by is past.",
        ),
        Alert(
            name="TermijnKeyConflict",
            expr="max(termijn_key_conflicts) > 0",
            for_="0s",
            severity="warning",
            summary="{{ $value }} keys are claimed by several subjects",
            description="Nothing about any of them leaves until somebody says whose each key is.",
        ),
        Alert(
            name="TermijnClockOpenTooLong",
            expr="max by (clock) (termijn_clocks_open_too_long) > 0",
            for_=scale.for_duration(HOUR),
            severity="warning",
            summary="{{ $value }} clocks of the kind {{ $labels.clock }} are open past their max_open",
            description="No event has ended them: what hangs on them is kept for ever.",
        ),
        Alert(
            name="TermijnHistoryWaits",
            expr="max by (type) (termijn_history_held_back) > 0",
            for_=scale.for_duration(5 * MINUTE),
            severity="warning",
            summary="Live events of {{ $labels.type }} with an old time are held back",
            description="Nothing of them is erased until a named operator has looked and releases them.",
        ),
        Alert(
            name="TermijnNothingTagged",
            expr="time() - max(termijn_last_tagged_timestamp_seconds)"
            f" > {scale.promql_seconds(6 * HOUR)}",
            for_=scale.for_duration(15 * MINUTE),
            severity="warning",
            summary="No business event was tagged for {{ $value | humanizeDuration }}",
            description="Publishers are silent, or publish where nobody reads: that gets no term.",
        ),
    ]


def _requests(scale: TimeScale) -> list[Alert]:
    return [
        Alert(
            name="TermijnRequestNearLimit",
            expr=f"min by (right) (termijn_request_left_seconds) < {7 * DAY:g}",
            for_=scale.for_duration(15 * MINUTE),
            severity="warning",
            summary="A request ({{ $labels.right }}) must be answered within"
            " {{ $value | humanizeDuration }}",
            description="GDPR 12(3) gives a month. Access and portability wait for a person.",
        ),
        Alert(
            name="TermijnRequestLate",
            expr="max(termijn_requests_late) > 0",
            for_=scale.for_duration(5 * MINUTE),
            severity="critical",
            summary="{{ $value }} requests are past their statutory limit",
            description="GDPR 12(3) is broken, and each further day makes it worse.",
        ),
    ]


def _systems(scale: TimeScale) -> list[Alert]:
    def grown(metric: str) -> str:
        # `increase` does not see a counter's first step, since the series begins with it.
        window = scale.range_window(HOUR)
        return (
            f"sum by (system) (increase({metric}[{window}])) > 0"
            f" or sum by (system) ({metric} unless {metric} offset {window}) > 0"
        )

    return [
        Alert(
            name="TermijnSystemSilent",
            expr="max by (system) (termijn_commands_escalated) > 0",
            for_=scale.for_duration(5 * MINUTE),
            severity="critical",
            summary="{{ $labels.system }} leaves {{ $value }} commands unanswered, or refuses them",
            description="Its acknowledge_within has passed: its data stays until it answers.",
        ),
        Alert(
            name="TermijnUndeliverable",
            expr="max by (system) (termijn_commands_undeliverable) > 0",
            for_="0s",
            severity="critical",
            summary="the bus takes {{ $value }} commands for {{ $labels.system }} at no attempt",
            description="What they ask for is not done: the system does not know of it.",
        ),
        Alert(
            name="TermijnSuspiciousAnswer",
            expr=grown("termijn_acknowledgements_suspicious_total"),
            for_="0s",
            severity="warning",
            summary="{{ $labels.system }} says that it held nothing where the ledger knows records",
            description="It may look under another key, and then the data stays.",
        ),
        Alert(
            name="TermijnErasureReopened",
            expr=grown("termijn_erasures_reopened_total"),
            for_="0s",
            severity="critical",
            summary="{{ $labels.system }} still had what it said it had erased",
            description="It is told again; what it says is not what it does.",
        ),
        Alert(
            name="TermijnUnverifiable",
            expr=grown("termijn_unverifiable_total"),
            for_="0s",
            severity="critical",
            summary="Messages on {{ $labels.system }}'s topic are not proven to be its answers",
            description="Its keys are not those on record, or somebody else writes there.",
        ),
        Alert(
            name="TermijnSystemsWithoutKeys",
            expr="max(termijn_systems_without_keys) > 0",
            for_="0s",
            severity="critical",
            summary="{{ $value }} systems have no valid key",
            description="None of their answers counts, so that they are told again and again.",
        ),
        Alert(
            name="TermijnUnsigned",
            expr="max(termijn_signing_off) > 0",
            for_="0s",
            severity="critical",
            summary="Commands and answers are neither signed nor verified",
            description="Whoever reaches the bus can command an erasure, or deny one.",
        ),
    ]


def _bus(scale: TimeScale, lag: int) -> list[Alert]:
    return [
        Alert(
            name="TermijnDeadLetters",
            expr='max by (reason) (termijn_dead_letters_parked{reason!="identity-conflict"}) > 0',
            for_=scale.for_duration(15 * MINUTE),
            severity="warning",
            summary="{{ $value }} messages could not be processed: {{ $labels.reason }}",
            description="What they say does not count, and their own term runs.",
        ),
        Alert(
            name="TermijnIdentityConflict",
            expr='max(termijn_dead_letters_parked{reason="identity-conflict"}) > 0',
            for_="0s",
            severity="warning",
            summary="{{ $value }} events have the identity of another and say something else",
            description="A publisher gives ids twice: only the first of each counts.",
        ),
        Alert(
            name="TermijnBlindSpot",
            expr="max by (reach) (termijn_blind_spots) > 0",
            for_="0s",
            severity="critical",
            summary="{{ $value }} parked events keep erasures back: {{ $labels.reach }}",
            description="A hold, or the move of a clock, may be among them: what they could forbid waits.",
        ),
        Alert(
            name="TermijnGap",
            expr="max(termijn_gaps) > 0",
            for_="0s",
            severity="critical",
            summary="{{ $value }} stretches of the log were lost unread",
            description="A hold or an end may be among them. The role stands still; no erasure leaves.",
        ),
        Alert(
            name="TermijnLag",
            expr=f"sum by (role, topic) (termijn_lag_messages) > {lag}",
            for_=scale.for_duration(15 * MINUTE),
            severity="warning",
            summary="The {{ $labels.role }} is {{ $value }} messages behind on {{ $labels.topic }}",
            description="Until it has read them, the deleter claims nothing.",
        ),
        Alert(
            name="TermijnDeleterBlind",
            expr="max(termijn_deleter_blind) > 0",
            for_=scale.for_duration(15 * MINUTE),
            severity="critical",
            summary="The deleter claims nothing: {{ $value }} partitions are not recorded to their end",
            description="What is due waits; after a lead time it is overdue.",
        ),
    ]


def _roles(scale: TimeScale) -> list[Alert]:
    return [
        Alert(
            name="TermijnRoleDown",
            expr='max by (job) (up{job=~"termijn-.+"}) == 0',
            for_=scale.for_duration(2 * MINUTE),
            severity="critical",
            summary="No process of {{ $labels.job }} answers",
            description="Its part of the work stands still, and what it measures is not seen.",
        ),
        Alert(
            name="TermijnRoleNotReady",
            expr="max by (role) (termijn_role_ready) == 0",
            for_=scale.for_duration(5 * MINUTE),
            severity="critical",
            summary="The {{ $labels.role }} runs and does nothing",
            description="The bus or the database is away, or refuses it.",
        ),
        Alert(
            name="TermijnClockDisagreement",
            expr="max by (job) (abs(termijn_clock_disagreement_seconds)) > 1",
            for_=scale.for_duration(MINUTE),
            severity="critical",
            summary="{{ $labels.job }}'s clock is {{ $value | humanizeDuration }} off the database's",
            description="It commands nothing until the clock is right.",
        ),
        Alert(
            name="TermijnPoliciesDiffer",
            expr="count(count by (policy, version) (termijn_role_info)) > 1",
            for_=scale.for_duration(10 * MINUTE),
            severity="critical",
            summary="The roles run under {{ $value }} policies",
            description="Those that are not under the active one end as soon as they look.",
        ),
        Alert(
            name="TermijnStopped",
            expr="max(termijn_stops) > 0",
            for_=scale.for_duration(HOUR),
            severity="warning",
            summary="{{ $value }} roles or systems are paused or drained",
            description="An operator or the hourly cap stopped them: what they owe waits.",
        ),
    ]


def _evidence(scale: TimeScale) -> list[Alert]:
    return [
        Alert(
            name="TermijnEvidenceBroken",
            expr="max(termijn_evidence_broken) > 0",
            for_="0s",
            severity="critical",
            summary="The chain of evidence does not hold",
            description="What was proven can be doubted: somebody changed it, or lost some of it.",
        ),
        Alert(
            name="TermijnEvidenceUnsealed",
            expr="time() - max(termijn_evidence_sealed_timestamp_seconds)"
            f" > {scale.promql_seconds(26 * HOUR)}",
            for_=scale.for_duration(15 * MINUTE),
            severity="warning",
            summary="No evidence was sealed for {{ $value | humanizeDuration }}",
            description="What is not sealed can still be changed without a trace.",
        ),
    ]
