"""`python -m tests.benchmarks`: what Termijn costs, as ratios from one run on this machine."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from time import monotonic

import click

from schemas.errors import TermijnError
from services.app import settings_loader
from services.app.cli.options import show
from services.app.wiring import resources
from tests.benchmarks import comparing, plots
from tests.benchmarks.environment import Sizes, environment
from tests.benchmarks.figures import Figure
from tests.benchmarks.suite import SUITE

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_COLUMNS = ("name", "value", "unit", "baseline", "ratio", "reach", "met", "runs")
_QUICK = click.option("--quick", is_flag=True, help="Small sizes, one run each: under 3 minutes.")
_WHOLE = click.option(
    "--whole", is_flag=True, help="The largest sizes, one run each: an hour and more."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


@click.group()
def bench() -> None:
    """Measure what Termijn costs, each figure against a baseline of the same run.

    Broker and database are servers of their own on loopback (`make servers` installs them).
    """


@bench.command("all")
@_QUICK
@_WHOLE
@_JSON
def all_(quick: bool, whole: bool, as_json: bool) -> None:
    """Run every benchmark."""
    _show({benchmark.name for benchmark in SUITE}, sizes=_sizes(quick, whole), as_json=as_json)


@bench.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@_QUICK
@_WHOLE
@_JSON
def only(names: tuple[str, ...], quick: bool, whole: bool, as_json: bool) -> None:
    """Run the named benchmarks; `python -m tests.benchmarks list` names them."""
    valid_names = {benchmark.name for benchmark in SUITE}
    for name in names:
        if name not in valid_names:
            raise click.BadParameter(
                f"there is no benchmark {name!r}; see `python -m tests.benchmarks list`"
            )
    _show(set(names), sizes=_sizes(quick, whole), as_json=as_json)


@bench.command("list")
@_JSON
def list_(as_json: bool) -> None:
    """Name every benchmark."""
    rows = ({"name": benchmark.name, "title": benchmark.title} for benchmark in SUITE)
    show(rows, as_json=as_json, title="Benchmarks", columns=("name", "title"))


@bench.command()
@click.argument("old", type=_FILE)
@click.argument("new", type=_FILE)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=0.15,
    show_default=True,
    help="By which part a figure may be worse before it counts: noise.",
)
@_JSON
def compare(old: Path, new: Path, tolerance: float, as_json: bool) -> None:
    """Compare two runs, files of `all --json`; exit code 1 where any figure is worse."""
    comparisons = list(comparing.compare(comparing.read(old), comparing.read(new), tolerance))
    rows = (
        {
            "name": comparison.name,
            "old": comparison.old,
            "new": comparison.new,
            "change": None if comparison.change is None else round(comparison.change, 3),
            "verdict": comparison.verdict,
        }
        for comparison in comparisons
    )
    columns = ("name", "old", "new", "change", "verdict")
    show(rows, as_json=as_json, title="Compared", columns=columns)
    if any(comparison.verdict in ("worse", "gone") for comparison in comparisons):
        sys.exit(1)


@bench.command()
@click.argument("figures", type=_FILE)
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    show_default="the working directory",
    help="Where the plots go.",
)
def plot(figures: Path, directory: Path) -> None:
    """Draw a run, a file of `python -m tests.benchmarks all --json`, as SVG."""
    for path in plots.plot(comparing.read(figures), directory):
        click.echo(path)


def main() -> None:
    """The command line, where a failure is one line on stderr."""
    try:
        bench(prog_name="python -m tests.benchmarks")
    except TermijnError as cause:
        sys.exit(f"benchmarks: {cause}")


def _sizes(quick: bool, whole: bool) -> Sizes:
    if quick and whole:
        raise click.UsageError("--quick or --whole, not both")
    return "quick" if quick else "whole" if whole else "usual"


def _show(names: Collection[str], *, sizes: Sizes, as_json: bool) -> None:
    rows = (figure.as_row() for figure in _figures(names, sizes=sizes))
    show(rows, as_json=as_json, title="Figures", columns=_COLUMNS)


def _figures(names: Collection[str], *, sizes: Sizes) -> Iterator[Figure]:
    with (
        resources.open_resources(settings_loader.load()) as opened,
        environment(opened.policy(), opened.codec(), sizes=sizes) as measured,
    ):
        for benchmark in SUITE:
            if benchmark.name in names:
                started = monotonic()
                yield from benchmark.measure(measured)
                click.echo(f"{benchmark.name}: {monotonic() - started:.0f} s", err=True)
