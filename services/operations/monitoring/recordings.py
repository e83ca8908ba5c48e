"""The recording rules: series that Prometheus computes in advance for dashboards and burn rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.operations.monitoring import slo
from services.operations.monitoring.rules import Recording
from services.operations.monitoring.time_scale import HOUR, MINUTE, TimeScale


def recording_groups(scale: TimeScale) -> Mapping[str, Sequence[Recording]]:
    """Return every recording rule by group."""
    hour, minutes = scale.range_window(HOUR), scale.range_window(5 * MINUTE)
    return {
        "punctuality": slo.recording_rules(scale),
        "systems": [
            Recording(
                record="termijn:acknowledgement_seconds:p95_1h",
                expr="histogram_quantile(0.95, sum by (system, le)"
                f" (rate(termijn_acknowledgement_seconds_bucket[{hour}])))",
            ),
            Recording(
                record="termijn:commands_outstanding:max",
                expr="max by (system, state) (termijn_commands_outstanding)",
            ),
        ],
        "flow": [
            Recording(
                record="termijn:events_tagged:rate5m",
                expr=f"sum by (type) (rate(termijn_events_tagged_total[{minutes}]))",
            ),
            Recording(
                record="termijn:lag_messages:sum",
                expr="sum by (role, topic) (termijn_lag_messages)",
            ),
        ],
    }
