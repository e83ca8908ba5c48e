"""The dashboard of the flow of events, and of the roles."""

from __future__ import annotations

from services.operations.monitoring.dashboards import Board, Panel, Query, number_panel

FLOW = Board(
    uid="termijn-flow",
    title="Termijn: flow and roles",
    panels=(
        Panel(
            title="Roles that answer",
            description="Processes, by role.",
            queries=(Query(expr='sum by (job) (up{job=~"termijn-.+"})', legend="{{job}}"),),
        ),
        Panel(
            title="Roles that do their work",
            description="Processes that are ready, by role.",
            queries=(Query(expr="sum by (role) (termijn_role_ready)", legend="{{role}}"),),
        ),
        Panel(
            title="Events tagged",
            description="A second, by type.",
            queries=(Query(expr="termijn:events_tagged:rate5m", legend="{{type}}"),),
            unit="ops",
        ),
        Panel(
            title="Holdings tagged",
            description="A second, by the rule that ends them.",
            queries=(
                Query(
                    expr="sum by (rule) (rate(termijn_holdings_tagged_total[5m]))",
                    legend="{{rule}}",
                ),
            ),
            unit="ops",
        ),
        Panel(
            title="Since the last event",
            description="Long silence is a publisher that publishes elsewhere.",
            queries=(
                Query(expr="time() - max(termijn_last_tagged_timestamp_seconds)", legend="silence"),
            ),
            unit="s",
        ),
        Panel(
            title="Events recorded",
            description="New ones, and duplicates.",
            queries=(
                Query(
                    expr="sum by (outcome) (rate(termijn_events_recorded_total[5m]))",
                    legend="{{outcome}}",
                ),
            ),
            unit="ops",
        ),
        Panel(
            title="Strange events",
            description="Overdue when they arrived, or dated after an end.",
            queries=(
                Query(expr="sum(termijn_overdue_on_arrival_total)", legend="overdue on arrival"),
                Query(expr="sum(termijn_activity_after_end_total)", legend="after an end"),
            ),
        ),
        Panel(
            title="Lag",
            description="Messages not read yet.",
            queries=(Query(expr="sum by (role) (termijn:lag_messages:sum)", legend="{{role}}"),),
        ),
        Panel(
            title="Batches",
            description="95 % are applied within.",
            queries=(
                Query(
                    expr="histogram_quantile(0.95, sum by (role, le)"
                    " (rate(termijn_batch_seconds_bucket[5m])))",
                    legend="{{role}}",
                ),
            ),
            unit="s",
        ),
        Panel(
            title="Tried again",
            description="Batches and rounds that were not applied.",
            queries=(
                Query(
                    expr="sum by (role) (increase(termijn_batches_tried_again_total[5m]))",
                    legend="{{role}}",
                ),
            ),
        ),
        Panel(
            title="Dead letters parked",
            description="By reason.",
            queries=(
                Query(expr="max by (reason) (termijn_dead_letters_parked)", legend="{{reason}}"),
            ),
        ),
        Panel(
            title="Dead letters in all",
            description="Since the roles started.",
            queries=(
                Query(
                    expr="sum by (role, reason) (termijn_dead_letters_total)",
                    legend="{{role}}: {{reason}}",
                ),
            ),
        ),
        Panel(
            title="Parked events that keep erasures back",
            description="By how much: everything, what hangs on some clocks, or one subject or clock each.",
            queries=(Query(expr="max by (reach) (termijn_blind_spots)", legend="{{reach}}"),),
        ),
        number_panel("Gaps", "Lost unread, and not accepted.", "max(termijn_gaps)"),
        number_panel(
            "Blind", "Partitions that keep the deleter waiting.", "max(termijn_deleter_blind)"
        ),
        number_panel("Stops", "Paused or drained.", "max(termijn_stops)"),
        number_panel(
            "Clock",
            "Off the database's.",
            "max(abs(termijn_clock_disagreement_seconds))",
            "s",
        ),
        Panel(
            title="Policy",
            description="Under which policy how many roles run: one line.",
            queries=(
                Query(
                    expr="count by (policy, version) (termijn_role_info)",
                    legend="{{policy}} {{version}}",
                ),
            ),
            width=12,
        ),
        Panel(
            title="Version",
            description="Of Termijn and of Python.",
            queries=(
                Query(
                    expr="count by (version, python) (termijn_build_info)",
                    legend="{{version}}, Python {{python}}",
                ),
            ),
            width=12,
        ),
    ),
)
