"""The dashboard of the systems: their commands and acknowledgements."""

from __future__ import annotations

from services.operations.monitoring.dashboards import Board, Panel, Query, number_panel

SYSTEMS = Board(
    uid="termijn-systems",
    title="Termijn: systems",
    panels=(
        Panel(
            title="Outstanding commands",
            description="Commands that are not sent yet or have no final acknowledgement.",
            queries=(
                Query(
                    expr="sum by (system) (termijn:commands_outstanding:max)", legend="{{system}}"
                ),
            ),
            width=12,
        ),
        Panel(
            title="Escalated commands",
            description="Commands that a system has not acknowledged in time, or has refused.",
            queries=(
                Query(expr="max by (system) (termijn_commands_escalated)", legend="{{system}}"),
            ),
            width=12,
        ),
        Panel(
            title="Time to acknowledge",
            description="95 % are quicker, from the first sending.",
            queries=(Query(expr="termijn:acknowledgement_seconds:p95_1h", legend="{{system}}"),),
            unit="s",
            width=12,
        ),
        Panel(
            title="Acknowledgements",
            description="A second, by status; look into refusals and failures.",
            queries=(
                Query(
                    expr="sum by (status) (rate(termijn_acknowledgements_total[5m]))",
                    legend="{{status}}",
                ),
            ),
            unit="ops",
            width=12,
        ),
        Panel(
            title="Commands sent",
            description="A second, repetitions included, by action.",
            queries=(
                Query(
                    expr="sum by (action) (rate(termijn_commands_sent_total[5m]))",
                    legend="{{action}}",
                ),
            ),
            unit="ops",
        ),
        Panel(
            title="Suspicious acknowledgements",
            description="The system held nothing, although the ledger has records.",
            queries=(
                Query(
                    expr="sum by (system) (termijn_acknowledgements_suspicious_total)",
                    legend="{{system}}",
                ),
            ),
        ),
        Panel(
            title="Unverifiable messages",
            description="Messages without a valid signature of the system, by reason.",
            queries=(
                Query(
                    expr="sum by (system, reason) (termijn_unverifiable_total)",
                    legend="{{system}}, {{reason}}",
                ),
            ),
        ),
        Panel(
            title="Reopened erasures",
            description="Data that was reported erased and found by the verification.",
            queries=(
                Query(
                    expr="sum by (system) (termijn_erasures_reopened_total)", legend="{{system}}"
                ),
            ),
        ),
        Panel(
            title="Agents: commands",
            description="Commands that reached an agent, by what became of them.",
            queries=(
                Query(
                    expr="sum by (judgement) (rate(termijn_agent_commands_total[5m]))",
                    legend="{{judgement}}",
                ),
            ),
            unit="ops",
        ),
        Panel(
            title="Agents: acknowledgements",
            description="By status; and failed attempts, by action.",
            queries=(
                Query(
                    expr="sum by (status) (rate(termijn_agent_answers_total[5m]))",
                    legend="{{status}}",
                ),
                Query(
                    expr="sum by (action) (rate(termijn_agent_tries_failed_total[5m]))",
                    legend="{{action}}: failed attempts",
                ),
            ),
            unit="ops",
        ),
        Panel(
            title="Agents: time to acknowledge",
            description="95 % are quicker, from the issue of the last attempt to the acknowledgement.",
            queries=(
                Query(
                    expr="histogram_quantile(0.95,"
                    " sum by (le) (rate(termijn_agent_answer_seconds_bucket[1h])))",
                    legend="95 %",
                ),
            ),
            unit="s",
        ),
        Panel(
            title="Agents: open commands",
            description="Commands in the inboxes, and the age of the oldest.",
            queries=(
                Query(expr="sum by (state) (termijn_agent_commands_open)", legend="{{state}}"),
                Query(expr="max(termijn_agent_oldest_open_seconds)", legend="oldest, seconds"),
            ),
        ),
        Panel(
            title="Watch: outstanding",
            description="Live, from Kafka only; and those that have failed so far.",
            queries=(
                Query(expr="sum by (system) (termijn_watch_outstanding)", legend="{{system}}"),
                Query(expr="sum by (system) (termijn_watch_failing)", legend="{{system}}: failing"),
            ),
        ),
        Panel(
            title="Watch: oldest outstanding",
            description="Seconds since its first attempt was sent.",
            queries=(
                Query(
                    expr="max by (system) (termijn_watch_oldest_outstanding_seconds)",
                    legend="{{system}}",
                ),
            ),
            unit="s",
        ),
        Panel(
            title="Watch: commands and acknowledgements",
            description="A second, each counted once.",
            queries=(
                Query(
                    expr="sum by (system) (rate(termijn_watch_commands_total[5m]))",
                    legend="{{system}}",
                ),
                Query(
                    expr="sum by (status) (rate(termijn_watch_answers_total[5m]))",
                    legend="{{status}}",
                ),
            ),
            unit="ops",
        ),
        Panel(
            title="Watch: time to acknowledge",
            description="95 % are quicker, from the first attempt.",
            queries=(
                Query(
                    expr="histogram_quantile(0.95,"
                    " sum by (le, system) (rate(termijn_watch_answer_seconds_bucket[1h])))",
                    legend="{{system}}",
                ),
            ),
            unit="s",
        ),
        Panel(
            title="Watch: skipped messages",
            description="Messages without a valid signature, or undecodable, by reason.",
            queries=(
                Query(
                    expr="sum by (system, reason) (termijn_watch_unreadable_total)",
                    legend="{{system}}, {{reason}}",
                ),
            ),
        ),
        number_panel(
            "Watch: partitions", "Watched partitions; all are 6.", "sum(termijn_watch_partitions)"
        ),
        number_panel(
            "Systems without keys",
            "Their acknowledgements are rejected.",
            "max(termijn_systems_without_keys)",
        ),
        number_panel(
            "Unsigned", "1: messages are neither signed nor verified.", "max(termijn_signing_off)"
        ),
    ),
)
