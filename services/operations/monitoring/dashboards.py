"""The dashboards: which panels there are, what each asks of Prometheus, and how Grafana has it written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

_SCHEMA_VERSION = 38
"""The schema version of Grafana 10; later versions read it."""
_WIDTH = 24
_HEIGHT = 8
_SOURCE = {"type": "prometheus", "uid": "${source}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query to Prometheus; `legend` names its series by their labels."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A panel: one number, or lines over time."""

    title: str
    description: str
    """What the panel shows, or what to do about it."""
    queries: tuple[Query, ...]
    kind: Literal["timeseries", "stat"] = "timeseries"
    unit: Literal["short", "s", "percentunit", "ops"] = "short"
    width: int = 8
    """The width, of 24."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A dashboard."""

    uid: str
    title: str
    panels: tuple[Panel, ...]


def number_panel(
    title: str, description: str, expr: str, unit: Literal["short", "s"] = "short"
) -> Panel:
    """Return a panel that shows one number."""
    return Panel(
        title=title,
        description=description,
        queries=(Query(expr=expr),),
        kind="stat",
        unit=unit,
        width=6,
    )


def dashboard_json(board: Board) -> str:
    """Return a dashboard as JSON for Grafana, which asks for the data source at the import."""
    body = {
        "uid": board.uid,
        "title": board.title,
        "schemaVersion": _SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "tags": ["termijn"],
        "timezone": "utc",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "source",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                }
            ]
        },
        "panels": list(_panels(board)),
    }
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def _panels(board: Board) -> Iterator[dict[str, Any]]:
    """Return the panels, placed in rows from left to right."""
    x = y = 0
    for number, panel in enumerate(board.panels, 1):
        if x + panel.width > _WIDTH:
            x, y = 0, y + _HEIGHT
        yield {
            "id": number,
            "type": panel.kind,
            "title": panel.title,
            "description": panel.description,
            "datasource": _SOURCE,
            "gridPos": {"x": x, "y": y, "w": panel.width, "h": _HEIGHT},
            "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
            "targets": [
                {
                    "refId": chr(ord("A") + index),
                    "datasource": _SOURCE,
                    "expr": query.expr,
                    "legendFormat": query.legend,
                }
                for index, query in enumerate(panel.queries)
            ],
        }
        x += panel.width
