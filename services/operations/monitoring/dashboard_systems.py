"""The dashboard of the systems: what they were told, and what they answer."""

from __future__ import annotations

from services.operations.monitoring.dashboards import Board, Panel, Query, number_panel

SYSTEMS = Board(
    uid="termijn-systems",
    title="Termijn: systems",
    panels=(
        Panel(
            title="Outstanding commands",
            description="Told, or about to be, and not settled.",
            queries=(
                Query(
                    expr="sum by (system) (termijn:commands_outstanding:max)", legend="{{system}}"
                ),
            ),
            width=12,
        ),
        Panel(
            title="Escalated commands",
            description="Unanswered for longer than the system may take, or refused.",
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
            title="Answers",
            description="By status; refusals and failures want a look.",
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
            description="Repetitions included, by action.",
            queries=(
                Query(
                    expr="sum by (action) (rate(termijn_commands_sent_total[5m]))",
                    legend="{{action}}",
                ),
            ),
            unit="ops",
        ),
        Panel(
            title="Suspicious answers",
            description="Nothing was held, where the ledger knows records.",
            queries=(
                Query(
                    expr="sum by (system) (termijn_acknowledgements_suspicious_total)",
                    legend="{{system}}",
                ),
            ),
        ),
        Panel(
            title="Unverifiable messages",
            description="Not proven to be the system's answers.",
            queries=(
                Query(
                    expr="sum by (system, reason) (termijn_unverifiable_total)",
                    legend="{{system}}, {{reason}}",
                ),
            ),
        ),
        Panel(
            title="Reopened erasures",
            description="Said to be erased, and found when it was read again.",
            queries=(
                Query(
                    expr="sum by (system) (termijn_erasures_reopened_total)", legend="{{system}}"
                ),
            ),
        ),
        Panel(
            title="Agents: commands",
            description="What became of those that reached an agent.",
            queries=(
                Query(
                    expr="sum by (judgement) (rate(termijn_agent_commands_total[5m]))",
                    legend="{{judgement}}",
                ),
            ),
            unit="ops",
        ),
        Panel(
            title="Agents: answers",
            description="Carried out, or not, by status; and tries at which the system could not be asked.",
            queries=(
                Query(
                    expr="sum by (status) (rate(termijn_agent_answers_total[5m]))",
                    legend="{{status}}",
                ),
                Query(
                    expr="sum by (action) (rate(termijn_agent_tries_failed_total[5m]))",
                    legend="{{action}}: not asked",
                ),
            ),
            unit="ops",
        ),
        Panel(
            title="Agents: time to answer",
            description="95 % are quicker, from the issue of the last attempt.",
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
            description="In the inboxes, and how long ago the oldest was issued.",
            queries=(
                Query(expr="sum by (state) (termijn_agent_commands_open)", legend="{{state}}"),
                Query(expr="max(termijn_agent_oldest_open_seconds)", legend="oldest, seconds"),
            ),
        ),
        Panel(
            title="Watch: outstanding",
            description="Live, from the bus alone; and those that failed so far.",
            queries=(
                Query(expr="sum by (system) (termijn_watch_outstanding)", legend="{{system}}"),
                Query(expr="sum by (system) (termijn_watch_failing)", legend="{{system}}: failing"),
            ),
        ),
        Panel(
            title="Watch: oldest outstanding",
            description="Since it left for the first time.",
            queries=(
                Query(
                    expr="max by (system) (termijn_watch_oldest_outstanding_seconds)",
                    legend="{{system}}",
                ),
            ),
            unit="s",
        ),
        Panel(
            title="Watch: commands and answers",
            description="Each counted once.",
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
            title="Watch: time to answer",
            description="95 % are quicker, from the first leaving.",
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
            title="Watch: left out",
            description="Not proven to be their sender's, or undecodable.",
            queries=(
                Query(
                    expr="sum by (system, reason) (termijn_watch_unreadable_total)",
                    legend="{{system}}, {{reason}}",
                ),
            ),
        ),
        number_panel("Watch: parts", "All that there are: 6.", "sum(termijn_watch_partitions)"),
        number_panel(
            "Systems without keys",
            "None of their answers counts.",
            "max(termijn_systems_without_keys)",
        ),
        number_panel("Unsigned", "1: neither signed nor verified.", "max(termijn_signing_off)"),
    ),
)
