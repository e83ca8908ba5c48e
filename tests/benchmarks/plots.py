"""Plots of measured figures, SVG: how far each is from its target, and growth over the ledger's size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pygal
from pygal.style import LightColorizedStyle

_SIZES = {"10k": 1e4, "100k": 1e5, "1M": 1e6, "3M": 3e6, "10M": 1e7}


def plot(figures: Mapping[str, Mapping[str, Any]], directory: Path) -> Iterator[Path]:
    """Draw the plots for which there are figures, and return each file's name."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, chart in (("reaches", _draw_reaches(figures)), ("growth", _draw_growth(figures))):
        if chart is not None:
            path = directory / f"{name}.svg"
            chart.add_xml_filter(_without_scripts)
            chart.render_to_file(str(path))
            yield path


def _draw_reaches(figures: Mapping[str, Mapping[str, Any]]) -> Any:
    """Draw how far each figure is from its target: 1 is just met, more is better; logarithmic."""
    chart = pygal.HorizontalBar(
        **_CONFIGURATION, logarithmic=True, show_legend=False, title="How well each reach is met"
    )
    margins = {name: _margin(row) for name, row in figures.items()}
    drawn = {name: margin for name, margin in margins.items() if margin}
    if not drawn:
        return None
    chart.x_labels = list(drawn)
    chart.add("margin", [round(margin, 3) for margin in drawn.values()])
    return chart


def _draw_growth(figures: Mapping[str, Mapping[str, Any]]) -> Any:
    """Draw the cost over the number of rows that exist already."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for name, row in figures.items():
        theme, _, size = name.rpartition(".")
        if theme.startswith("growth") and size in _SIZES:
            lines.setdefault(theme, []).append((_SIZES[size], float(row["value"])))
    if not lines:
        return None
    chart = pygal.XY(**_CONFIGURATION, title="Cost over rows in the ledger", x_title="rows")
    for theme, points in lines.items():
        unit = next(row["unit"] for name, row in figures.items() if name.startswith(f"{theme}."))
        chart.add(f"{theme}: {unit}", sorted(points))
    return chart


def _margin(row: Mapping[str, Any]) -> float | None:
    if not row["reach"]:
        return None
    of, side, bound = str(row["reach"]).split()
    measured = row["value"] if of == "value" else row["ratio"]
    if not measured:
        return None
    return float(measured) / float(bound) if side == ">=" else float(bound) / float(measured)


def _without_scripts(root: Any) -> Any:
    """Return the picture without scripts, so that a page with it fetches nothing."""
    for parent in list(root.iter()):
        for child in list(parent):
            if str(child.tag).rpartition("}")[2] == "script":
                parent.remove(child)
    return root


_CONFIGURATION: Mapping[str, Any] = {
    "js": (),
    "style": LightColorizedStyle,
    "width": 800,
    "height": 480,
    "legend_at_bottom": True,
    "legend_at_bottom_columns": 1,
}
