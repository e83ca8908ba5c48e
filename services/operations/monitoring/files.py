"""Write the files for Prometheus and Grafana from the typed rules, alerts and dashboards."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import yaml

from services.operations.monitoring import alerts, recordings
from services.operations.monitoring.dashboard_flow import FLOW
from services.operations.monitoring.dashboard_promises import PROMISES
from services.operations.monitoring.dashboard_systems import SYSTEMS
from services.operations.monitoring.dashboards import dashboard_json
from services.operations.monitoring.rules import alert_file, recording_file
from services.operations.monitoring.time_scale import PRODUCTION, TimeScale
from services.operations.ports import HOST, PORTS

BOARDS = (PROMISES, SYSTEMS, FLOW)
RUNBOOKS = "runbooks.md"
CONTAINED = tuple(role for role in PORTS if role != "agent")
"""The roles that run as containers of the same name; an agent runs beside its system."""
_SCRAPE_SECONDS = 15


def files(
    scale: TimeScale = PRODUCTION, *, lag: int = alerts.LAG_MESSAGES, runbooks: str = RUNBOOKS
) -> Mapping[Path, str]:
    """Return the text of every file, by its path below the directory that they are written to."""
    prometheus = Path("prometheus")
    return {
        prometheus / "prometheus.yml": _configuration(lambda _: HOST),
        Path("compose") / "prometheus.yml": _configuration(lambda role: role, CONTAINED),
        prometheus / "recordings.yml": recording_file(recordings.recording_groups(scale)),
        prometheus / "alerts.yml": alert_file(alerts.alert_groups(scale, lag), runbooks),
        **{Path("grafana") / f"{board.uid}.json": dashboard_json(board) for board in BOARDS},
    }


def write_files(directory: Path, documents: Mapping[Path, str]) -> None:
    """Write the files below a directory; existing ones are overwritten."""
    for path, text in documents.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")


def _configuration(host: Callable[[str], str], roles: Collection[str] = tuple(PORTS)) -> str:
    document = {
        "global": {
            "scrape_interval": f"{_SCRAPE_SECONDS}s",
            "evaluation_interval": f"{_SCRAPE_SECONDS}s",
        },
        "rule_files": ["recordings.yml", "alerts.yml"],
        "scrape_configs": [
            {
                "job_name": f"termijn-{role}",
                "static_configs": [{"targets": [f"{host(role)}:{PORTS[role]}"]}],
            }
            for role in roles
        ],
    }
    return (
        "# Written by `termijn monitoring write`. One job a role: alerts go by these names.\n"
        + str(yaml.safe_dump(document, sort_keys=False))
    )
