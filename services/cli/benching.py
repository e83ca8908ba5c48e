"""`termijn bench`: what Termijn costs, as ratios from one run on this machine."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import click

from services import bootstrap, settings
from services.benchmarks.figures import Figure
from services.benchmarks.stage import stage
from services.benchmarks.suite import SUITE
from services.cli.forms import show

_COLUMNS = ("name", "value", "unit", "baseline", "ratio", "reach", "met", "runs")
_QUICK = click.option("--quick", is_flag=True, help="Small sizes, one run each: under 3 minutes.")
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


@click.group()
def bench() -> None:
    """Measure what Termijn costs, each figure against a baseline of the same run.

    Broker and database are servers of their own on loopback (`make servers` installs them).
    """


@bench.command("all")
@_QUICK
@_JSON
def all_(quick: bool, as_json: bool) -> None:
    """Run every benchmark."""
    _show({one.name for one in SUITE}, quick=quick, as_json=as_json)


@bench.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@_QUICK
@_JSON
def only(names: tuple[str, ...], quick: bool, as_json: bool) -> None:
    """Run the named benchmarks; `termijn bench list` names them."""
    known = {one.name for one in SUITE}
    for name in names:
        if name not in known:
            raise click.BadParameter(f"there is no benchmark {name!r}; see `termijn bench list`")
    _show(set(names), quick=quick, as_json=as_json)


@bench.command("list")
@_JSON
def list_(as_json: bool) -> None:
    """Name every benchmark."""
    rows = ({"name": one.name, "title": one.title} for one in SUITE)
    show(rows, as_json=as_json, title="Benchmarks", columns=("name", "title"))


def _show(names: Collection[str], *, quick: bool, as_json: bool) -> None:
    rows = (one.as_row() for one in _figures(names, quick=quick))
    show(rows, as_json=as_json, title="Figures", columns=_COLUMNS)


def _figures(names: Collection[str], *, quick: bool) -> Iterator[Figure]:
    with (
        bootstrap.root(settings.load()) as opened,
        stage(opened.policy(), opened.codec(), quick=quick) as measured,
    ):
        for one in SUITE:
            if one.name in names:
                yield from one.measure(measured)
