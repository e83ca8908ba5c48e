"""Two runs side by side: worse by more than noise is a regression."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.benchmarks import comparing, plots


def figure(name: str, ratio: float | None, reach: str | None, value: float = 10) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "unit": "µs",
        "baseline": None,
        "ratio": ratio,
        "reach": reach,
        "met": True,
        "runs": 1,
    }


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        pytest.param(figure("x", 2.0, "ratio <= 3"), figure("x", 2.9, "ratio <= 3"), "worse"),
        pytest.param(figure("x", 2.0, "ratio <= 3"), figure("x", 1.5, "ratio <= 3"), "better"),
        pytest.param(figure("x", 2.0, "ratio <= 3"), figure("x", 2.2, "ratio <= 3"), "same"),
        pytest.param(figure("x", 2.0, "ratio >= 1"), figure("x", 1.0, "ratio >= 1"), "worse"),
        pytest.param(
            figure("x", None, "value >= 5000", 9_000),
            figure("x", None, "value >= 5000", 6_000),
            "worse",
        ),
        pytest.param(figure("x", None, None, 10), figure("x", None, None, 20), "worse"),
        pytest.param(None, figure("x", 1, None), "new"),
        pytest.param(figure("x", 1, None), None, "gone"),
    ],
)
def test_a_figure_is_compared_in_the_direction_of_its_target(
    old: dict[str, Any] | None, new: dict[str, Any] | None, verdict: str
) -> None:
    """Costs are better when they fall, rates when they rise; 15 % is noise."""
    (comparison,) = comparing.compare({"x": old} if old else {}, {"x": new} if new else {}, 0.15)
    assert comparison.verdict == verdict


def test_an_invalid_line_of_figures_is_named(tmp_path: Path) -> None:
    """The error has the file and the line."""
    path = tmp_path / "figures.jsonl"
    path.write_text(json.dumps(figure("x", 1, None)) + "\nhello\n", "utf-8")
    with pytest.raises(comparing.UnreadableFigures, match=r"figures\.jsonl:2: is no figure"):
        comparing.read(path)


def test_plots_are_pictures_without_scripts(tmp_path: Path) -> None:
    """Well-formed SVG that fetches nothing."""
    figures = {
        row["name"]: row
        for row in (
            figure("tagger.cpu", 2.5, "ratio <= 3"),
            figure("growth.event.10k", None, None, 40),
            figure("growth.event.1M", None, None, 42),
        )
    }
    paths = list(plots.plot(figures, tmp_path))
    assert [path.name for path in paths] == ["reaches.svg", "growth.svg"]
    for path in paths:
        tags = {element.tag.rpartition("}")[2] for element in ElementTree.parse(path).iter()}
        assert "svg" in tags
        assert "script" not in tags
