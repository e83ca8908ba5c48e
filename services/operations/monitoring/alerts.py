"""The alerts: the condition, how long it must last, and its consequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.operations.monitoring import slo
from services.operations.monitoring.rules import Alert
from services.operations.monitoring.time_scale import DAY, HOUR, MINUTE, TimeScale

LAG_MESSAGES = 10_000
"""A role that stays further behind than this does not keep up."""


def alert_groups(scale: TimeScale, lag: int = LAG_MESSAGES) -> Mapping[str, Sequence[Alert]]:
    """Return every alert by group; a role lags with more than `lag` unread messages."""
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
            summary="Data has been due for {{ $value | humanizeDuration }} and no command was sent",
            description="The deleter claims nothing, or cannot keep up; within a day erase_by is past.",
        ),
        Alert(
            name="TermijnSurge",
            expr="max by (rule, system) (termijn_surge_obligations) > 0",
            for_="0s",
            severity="critical",
            summary="Far more is due of rule {{ $labels.rule }} in {{ $labels.system }} than was forecast",
            description="The deleter has stopped, and commands nothing until a named person resumes it.",
        ),
        Alert(
            name="TermijnForecastMissing",
            expr="time() - max(termijn_forecast_timestamp_seconds)"
            f" > {scale.promql_seconds(7 * DAY)}",
            for_=scale.for_duration(15 * MINUTE),
            severity="warning",
            summary="The deleter has made no forecast for {{ $value | humanizeDuration }}",
            description="A surge of erasures is compared with an old forecast, or not stopped at all.",
        ),
        Alert(
            name="TermijnKeyConflict",
            expr="max(termijn_key_conflicts) > 0",
            for_="0s",
            severity="warning",
            summary="{{ $value }} keys are claimed by several subjects",
            description="No command is sent about these subjects until an operator decides.",
        ),
        Alert(
            name="TermijnClockOpenTooLong",
            expr="max by (clock) (termijn_clocks_open_too_long) > 0",
            for_=scale.for_duration(HOUR),
            severity="warning",
            summary="{{ $value }} clocks of the kind {{ $labels.clock }} are open past their max_open",
            description="No event has ended them: data that depends on them is never erased.",
        ),
        Alert(
            name="TermijnHistoryWaits",
            expr="max by (type) (termijn_history_held_back) > 0",
            for_=scale.for_duration(5 * MINUTE),
            severity="warning",
            summary="Live events of {{ $labels.type }} with an old time are held back",
            description="They cause no erasure until a named operator releases them.",
        ),
        Alert(
            name="TermijnNothingTagged",
            expr="time() - max(termijn_last_tagged_timestamp_seconds)"
            f" > {scale.promql_seconds(6 * HOUR)}",
            for_=scale.for_duration(15 * MINUTE),
            severity="warning",
            summary="No business event was tagged for {{ $value | humanizeDuration }}",
            description="Publishers send nothing, or to a topic that is not read: such data gets no term.",
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
            description="GDPR 12(3) allows a month. Access and portability need a person to deliver.",
        ),
        Alert(
            name="TermijnRequestLate",
            expr="max(termijn_requests_late) > 0",
            for_=scale.for_duration(5 * MINUTE),
            severity="critical",
            summary="{{ $value }} requests are past their statutory limit",
            description="GDPR 12(3) is violated.",
        ),
        Alert(
            name="TermijnProvenanceNearLimit",
            expr=f'min(termijn_provenance_left_seconds{{reason="month"}}) < {7 * DAY:g}',
            for_=scale.for_duration(15 * MINUTE),
            severity="warning",
            summary="A person must be informed within {{ $value | humanizeDuration }} where their data"
            " comes from",
            description="GDPR 14(3) allows a month, and no contact or disclosure before.",
        ),
        Alert(
            name="TermijnProvenanceLate",
            expr="max(termijn_provenance_late) > 0",
            for_=scale.for_duration(5 * MINUTE),
            severity="critical",
            summary="{{ $value }} people were not informed in time where their data comes from",
            description="GDPR 14(3) is violated.",
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
            summary="{{ $labels.system }} has not acknowledged {{ $value }} commands, or has refused them",
            description="Its acknowledge_within has passed; its data stays until it is erased there.",
        ),
        Alert(
            name="TermijnUndeliverable",
            expr="max by (system) (termijn_commands_undeliverable) > 0",
            for_="0s",
            severity="critical",
            summary="Kafka rejects {{ $value }} commands for {{ $labels.system }} at every attempt",
            description="The system never received them, so nothing is erased.",
        ),
        Alert(
            name="TermijnLedgerRestored",
            expr=f"sum(increase(termijn_commands_recovered_total[{scale.range_window(HOUR)}])) > 0",
            for_="0s",
            severity="warning",
            summary="The ledger did not know that {{ $value }} commands were sent",
            description="It was restored from a backup; what people decided since is lost.",
        ),
        Alert(
            name="TermijnSuspiciousAnswer",
            expr=grown("termijn_acknowledgements_suspicious_total"),
            for_="0s",
            severity="warning",
            summary="{{ $labels.system }} reported that it held nothing, but the ledger has records",
            description="It may have searched under another key; then the data is still there.",
        ),
        Alert(
            name="TermijnErasureReopened",
            expr=grown("termijn_erasures_reopened_total"),
            for_="0s",
            severity="critical",
            summary="{{ $labels.system }} still has data that it reported erased",
            description="The erasure is commanded again; its acknowledgements cannot be trusted.",
        ),
        Alert(
            name="TermijnUnverifiable",
            expr=grown("termijn_unverifiable_total"),
            for_="0s",
            severity="critical",
            summary="Messages on {{ $labels.system }}'s acknowledgement topic have no valid signature",
            description="It signs with a key that is not trusted, or another client writes to its topic.",
        ),
        Alert(
            name="TermijnSystemsWithoutKeys",
            expr="max(termijn_systems_without_keys) > 0",
            for_="0s",
            severity="critical",
            summary="{{ $value }} systems have no valid key",
            description="Their acknowledgements are rejected, so that every command is repeated.",
        ),
        Alert(
            name="TermijnUnsigned",
            expr="max(termijn_signing_off) > 0",
            for_="0s",
            severity="critical",
            summary="Commands and acknowledgements are neither signed nor verified",
            description="Anyone who can write to Kafka can command an erasure, or deny one.",
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
            description="They are not recorded, while the terms of their data go on.",
        ),
        Alert(
            name="TermijnIdentityConflict",
            expr='max(termijn_dead_letters_parked{reason="identity-conflict"}) > 0',
            for_="0s",
            severity="warning",
            summary="{{ $value }} events have the id of another event and different content",
            description="A publisher uses ids twice: only the first event with an id is recorded.",
        ),
        Alert(
            name="TermijnBlindSpot",
            expr="max by (reach) (termijn_blind_spots) > 0",
            for_="0s",
            severity="critical",
            summary="{{ $value }} parked events hold erasures back: {{ $labels.reach }}",
            description="One may be a legal hold or a clock change: erasures that it could forbid wait.",
        ),
        Alert(
            name="TermijnGap",
            expr="max(termijn_gaps) > 0",
            for_="0s",
            severity="critical",
            summary="Kafka deleted messages before they were read: {{ $value }} gaps",
            description="A legal hold may be among them. The role is stopped, and no erasure is sent.",
        ),
        Alert(
            name="TermijnLag",
            expr=f"sum by (role, topic) (termijn_lag_messages) > {lag}",
            for_=scale.for_duration(15 * MINUTE),
            severity="warning",
            summary="The {{ $labels.role }} is {{ $value }} messages behind on {{ $labels.topic }}",
            description="The deleter claims nothing until they are read.",
        ),
        Alert(
            name="TermijnDeleterBlind",
            expr="max(termijn_deleter_blind) > 0",
            for_=scale.for_duration(15 * MINUTE),
            severity="critical",
            summary="The deleter claims nothing: {{ $value }} partitions are not fully recorded",
            description="Due data waits, and is overdue after the system's lead time.",
        ),
    ]


def _roles(scale: TimeScale) -> list[Alert]:
    return [
        Alert(
            name="TermijnRoleDown",
            expr='max by (job) (up{job=~"termijn-.+"}) == 0',
            for_=scale.for_duration(2 * MINUTE),
            severity="critical",
            summary="No process of {{ $labels.job }} responds",
            description="Its work is not done, and its metrics are missing.",
        ),
        Alert(
            name="TermijnRoleNotReady",
            expr="max by (role) (termijn_role_ready) == 0",
            for_=scale.for_duration(5 * MINUTE),
            severity="critical",
            summary="The {{ $labels.role }} runs but is not ready",
            description="Kafka or the database is not reachable, or rejects its login.",
        ),
        Alert(
            name="TermijnClockDisagreement",
            expr="max by (job) (abs(termijn_clock_disagreement_seconds)) > 1",
            for_=scale.for_duration(MINUTE),
            severity="critical",
            summary="{{ $labels.job }}'s clock is {{ $value | humanizeDuration }} off the database's",
            description="It sends no command until the clock is right.",
        ),
        Alert(
            name="TermijnPoliciesDiffer",
            expr="count(count by (policy, version) (termijn_role_info)) > 1",
            for_=scale.for_duration(10 * MINUTE),
            severity="critical",
            summary="The roles run under {{ $value }} policies",
            description="Roles change over to the active policy within seconds; the watch needs its file.",
        ),
        Alert(
            name="TermijnPolicyNotActivated",
            expr="max(termijn_scheduled_policy_late_seconds) > 0",
            for_=scale.for_duration(10 * MINUTE),
            severity="critical",
            summary="The scheduled policy should be active since {{ $value | humanizeDuration }}",
            description="It could not be activated; the roles run with the former policy.",
        ),
        Alert(
            name="TermijnStopped",
            expr="max(termijn_stops) > 0",
            for_=scale.for_duration(HOUR),
            severity="warning",
            summary="{{ $value }} roles or systems are paused or drained",
            description="An operator, the hourly cap or the surge guard paused them: their work waits.",
        ),
    ]


def _evidence(scale: TimeScale) -> list[Alert]:
    return [
        Alert(
            name="TermijnEvidenceBroken",
            expr="max(termijn_evidence_broken) > 0",
            for_="0s",
            severity="critical",
            summary="The evidence log is broken",
            description="Entries were changed or lost, so that proofs of erasure can be disputed.",
        ),
        Alert(
            name="TermijnEvidenceUnsealed",
            expr="time() - max(termijn_evidence_sealed_timestamp_seconds)"
            f" > {scale.promql_seconds(26 * HOUR)}",
            for_=scale.for_duration(15 * MINUTE),
            severity="warning",
            summary="The evidence log has no signed head for {{ $value | humanizeDuration }}",
            description="Entries after the last signed head can be changed without a trace.",
        ),
    ]
