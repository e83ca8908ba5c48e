"""The dashboard of the promises: terms, requests, holdings."""

from __future__ import annotations

from services.operations.monitoring.dashboards import Board, Panel, Query, number_panel

PROMISES = Board(
    uid="termijn-promises",
    title="Termijn: promises",
    panels=(
        number_panel(
            "Overdue",
            "How far the oldest data is past its erase_by. Anything but 0 is a broken promise.",
            "max(termijn_oldest_overdue_seconds) or vector(0)",
            "s",
        ),
        number_panel(
            "Oldest due",
            "How long the oldest data has been due without a command.",
            "max(termijn_oldest_due_seconds)",
            "s",
        ),
        number_panel(
            "Late requests",
            "Open requests past their statutory limit.",
            "max(termijn_requests_late)",
        ),
        number_panel(
            "Legal holds", "Legal holds that are not released.", "max(termijn_holds_open)"
        ),
        Panel(
            title="Overdue by system",
            description="How far the oldest data is past its erase_by, by system.",
            queries=(
                Query(expr="max by (system) (termijn_oldest_overdue_seconds)", legend="{{system}}"),
            ),
            unit="s",
        ),
        Panel(
            title="Due and not claimed",
            description="Due records and clocks without a command.",
            queries=(Query(expr="max(termijn_due_backlog)", legend="due"),),
        ),
        Panel(
            title="Late commands",
            description="Share sent more than five minutes after they were due; the objective is 0.1 %.",
            queries=(
                Query(expr="termijn:commands_late:ratio_rate1h", legend="1 hour"),
                Query(expr="termijn:commands_late:ratio_rate6h", legend="6 hours"),
                Query(expr="termijn:commands_late:ratio_rate3d", legend="3 days"),
            ),
            unit="percentunit",
        ),
        Panel(
            title="Lateness",
            description="Seconds from the due instant to Kafka's acknowledgement of the command.",
            queries=(
                Query(
                    expr="histogram_quantile(0.5, sum by (le)"
                    " (rate(termijn_lateness_seconds_bucket[5m])))",
                    legend="median",
                ),
                Query(
                    expr="histogram_quantile(0.99, sum by (le)"
                    " (rate(termijn_lateness_seconds_bucket[5m])))",
                    legend="99 %",
                ),
            ),
            unit="s",
        ),
        Panel(
            title="Time to proof",
            description="95 % are quicker: from the command to the verification that the data is gone.",
            queries=(
                Query(
                    expr="histogram_quantile(0.95, sum by (system, le)"
                    " (rate(termijn_proof_seconds_bucket[1h])))",
                    legend="{{system}}",
                ),
            ),
            unit="s",
        ),
        Panel(
            title="Key conflicts",
            description="Keys that several subjects claim; their commands wait for an operator's decision.",
            queries=(Query(expr="max(termijn_key_conflicts)", legend="keys"),),
        ),
        Panel(
            title="Clocks open too long",
            description="By kind; data that depends on them is kept until their end is published.",
            queries=(
                Query(expr="max by (clock) (termijn_clocks_open_too_long)", legend="{{clock}}"),
            ),
        ),
        Panel(
            title="Open requests",
            description="By right and state; access and portability need a person to deliver the package.",
            queries=(
                Query(
                    expr="max by (right, state) (termijn_requests_open)",
                    legend="{{right}}, {{state}}",
                ),
            ),
        ),
        Panel(
            title="Time left for requests",
            description="Until the nearest statutory limit, by right.",
            queries=(
                Query(expr="min by (right) (termijn_request_left_seconds)", legend="{{right}}"),
            ),
            unit="s",
        ),
        Panel(
            title="People to be informed",
            description="Of data that others gave, by what limits the time (GDPR 14(3)).",
            queries=(Query(expr="max by (reason) (termijn_provenance_open)", legend="{{reason}}"),),
        ),
        Panel(
            title="Decided requests",
            description="Requests that were answered or refused in the last day.",
            queries=(
                Query(
                    expr="sum by (right, outcome) (increase(termijn_requests_concluded_total[1d]))",
                    legend="{{right}}, {{outcome}}",
                ),
            ),
        ),
        Panel(
            title="Holdings by rule and state",
            description="Over all systems; an estimate until 100 % are counted.",
            queries=(
                Query(
                    expr="sum by (rule, state) (max by (rule, system, state) (termijn_holdings))",
                    legend="{{rule}}, {{state}}",
                ),
            ),
            width=12,
        ),
        Panel(
            title="Purged from the ledger",
            description="Rows purged after their proof term in the last day, by kind.",
            queries=(
                Query(
                    expr="sum by (kind) (increase(termijn_ledger_forgotten_total[1d]))",
                    legend="{{kind}}",
                ),
            ),
        ),
        Panel(
            title="Share of the holdings that is counted",
            description="Since the deleter started.",
            queries=(Query(expr="max(termijn_holdings_counted_ratio)", legend="counted"),),
            unit="percentunit",
            width=12,
        ),
    ),
)
