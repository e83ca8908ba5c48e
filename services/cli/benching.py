"""`termijn bench`: what the parts cost, as ratios from one run on this machine."""

from __future__ import annotations

import click

from services import bootstrap, settings
from services.benchmarks import benchmarks
from services.cli.forms import show

_QUICK = (20, 1)
_FULL = (200, 3)


@click.command()
@click.option("--quick", is_flag=True, help="Fewer events, one run each.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def bench(quick: bool, as_json: bool) -> None:
    """Measure decoding with tagging, and recording, each against the least that it can cost."""
    companies, runs = _QUICK if quick else _FULL
    with bootstrap.root(settings.load()) as opened:
        figures = benchmarks(opened.policy(), opened.codec(), companies=companies, runs=runs)
        rows = (
            {
                "name": one.name,
                "value": round(one.value, 1),
                "unit": one.unit,
                "baseline": round(one.baseline, 1),
                "ratio": round(one.ratio, 2),
                "reach": one.reach,
                "runs": one.runs,
            }
            for one in figures
        )
        columns = ("name", "value", "unit", "baseline", "ratio", "reach", "runs")
        show(rows, as_json=as_json, title="Figures", columns=columns)
