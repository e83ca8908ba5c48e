"""The dashboard of the flow of events, and of the roles."""

from __future__ import annotations

from services.operations.monitoring.dashboards import Board, Panel, Query, number_panel

FLOW = Board(
    uid="termijn-flow",
    title="Termijn: flow and roles",
    panels=(
        Panel(
            title="Roles that respond",
            description="Processes, by role.",
            queries=(Query(expr='sum by (job) (up{job=~"termijn-.+"})', legend="{{job}}"),),
        ),
        Panel(
            title="Roles that are ready",
            description="Ready processes, by role.",
            queries=(Query(expr="sum by (role) (termijn_role_ready)", legend="{{role}}"),),
        ),
        Panel(
            title="Events tagged",
            description="Events a second, by type.",
            queries=(Query(expr="termijn:events_tagged:rate5m", legend="{{type}}"),),
            unit="ops",
        ),
        Panel(
            title="Holdings tagged",
            description="Holdings a second, by rule.",
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
            description="After a long silence, check whether publishers use another topic.",
            queries=(
                Query(expr="time() - max(termijn_last_tagged_timestamp_seconds)", legend="silence"),
            ),
            unit="s",
        ),
        Panel(
            title="Events recorded",
            description="Events a second: new ones and duplicates.",
            queries=(
                Query(
                    expr="sum by (outcome) (rate(termijn_events_recorded_total[5m]))",
                    legend="{{outcome}}",
                ),
            ),
            unit="ops",
        ),
        Panel(
            title="Late and misplaced events",
            description="Overdue when they arrived, or dated after the end of their clock.",
            queries=(
                Query(expr="sum(termijn_overdue_on_arrival_total)", legend="overdue on arrival"),
                Query(expr="sum(termijn_activity_after_end_total)", legend="after an end"),
            ),
        ),
        Panel(
            title="Lag",
            description="Unread messages, by role.",
            queries=(Query(expr="sum by (role) (termijn:lag_messages:sum)", legend="{{role}}"),),
        ),
        Panel(
            title="Batches",
            description="Seconds within which 95 % of the batches are applied.",
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
            title="Retries",
            description="Batches that failed and were retried, in five minutes.",
            queries=(
                Query(
                    expr="sum by (role) (increase(termijn_batches_tried_again_total[5m]))",
                    legend="{{role}}",
                ),
            ),
        ),
        Panel(
            title="Dead letters parked",
            description="Messages, by reason.",
            queries=(
                Query(expr="max by (reason) (termijn_dead_letters_parked)", legend="{{reason}}"),
            ),
        ),
        Panel(
            title="All dead letters",
            description="Since the roles started.",
            queries=(
                Query(
                    expr="sum by (role, reason) (termijn_dead_letters_total)",
                    legend="{{role}}: {{reason}}",
                ),
            ),
        ),
        Panel(
            title="Parked events that hold erasures back",
            description="By reach: all erasures, those of a kind of clock, or of one subject or clock.",
            queries=(Query(expr="max by (reach) (termijn_blind_spots)", legend="{{reach}}"),),
        ),
        number_panel(
            "Gaps", "Messages deleted before they were read, not accepted yet.", "max(termijn_gaps)"
        ),
        number_panel(
            "Waiting",
            "Partitions that are not fully recorded; the deleter waits for them.",
            "max(termijn_deleter_blind)",
        ),
        number_panel(
            "Pauses", "Roles and systems that are paused or drained.", "max(termijn_stops)"
        ),
        number_panel(
            "Clock",
            "Difference from the database's clock.",
            "max(abs(termijn_clock_disagreement_seconds))",
            "s",
        ),
        Panel(
            title="Policy",
            description="Processes by policy; there must be one line.",
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
            description="Processes by the versions of Termijn and Python.",
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
