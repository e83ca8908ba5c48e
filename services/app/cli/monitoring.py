"""`termijn monitoring`: write the files for Prometheus and Grafana."""

from __future__ import annotations

import math
from pathlib import Path

import click

from services.operations.monitoring import alerts, files
from services.operations.monitoring.time_scale import TimeScale


def _require_finite(_: click.Context, __: click.Parameter, value: float) -> float:
    if not math.isfinite(value):  # `FloatRange` lets NaN and infinity through
        raise click.BadParameter(f"must be a finite number, got {value}")
    return value


@click.group()
def monitoring() -> None:
    """Rules, alerts and dashboards for Prometheus and Grafana."""


@monitoring.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--runbooks",
    default=files.RUNBOOKS,
    show_default=True,
    help="URL of the page with the runbooks, for the links of alerts.",
)
@click.option(
    "--lag",
    type=click.IntRange(0),
    default=alerts.LAG_MESSAGES,
    show_default=True,
    help="Alert on more unread messages than this.",
)
@click.option(
    "--hasten",
    type=click.FloatRange(min=1),
    default=1.0,
    show_default=True,
    callback=_require_finite,
    help="Divide every duration of the rules by this, to try them out.",
)
def write(directory: Path, runbooks: str, lag: int, hasten: float) -> None:
    """Write scrape configuration, rules and dashboards below a directory."""
    documents = files.files(TimeScale(divisor=hasten), lag=lag, runbooks=runbooks)
    files.write_files(directory, documents)
    click.echo(f"{directory}: {len(documents)} files")
