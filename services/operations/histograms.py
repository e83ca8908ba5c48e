"""Distributions for Prometheus to which many equal values can be added at once."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from threading import Lock

from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class HistogramSeries:
    """The values that were observed under the same labels."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._lock = Lock()

    def observe(self, value: float, times: int) -> None:
        """Add a value so many times."""
        with self._lock:
            self._counts[bisect_left(self._bounds, value)] += times
            self._sum += value * times

    def read(self) -> tuple[Sequence[int], float]:
        """Return how many values are at most each bound, and how many there are; and their sum."""
        with self._lock:
            return list(accumulate(self._counts)), self._sum


class Histogram(Collector):
    """A distribution, with a series for each combination of its labels."""

    def __init__(
        self, name: str, help: str, labels: Sequence[str], bounds: Sequence[float]
    ) -> None:
        self._name = name
        self._help = help
        self._labels = labels
        self._bounds = bounds
        self._names: list[str] = [
            floatToGoString(bound)  # type: ignore[no-untyped-call]
            for bound in (*bounds, float("inf"))
        ]
        self._series: dict[tuple[str, ...], HistogramSeries] = {}
        if not labels:
            self.labels()

    def labels(self, **labels: str) -> HistogramSeries:
        """Return the series of these labels; it is shown from then on."""
        if labels.keys() != set(self._labels):
            raise ValueError(f"{self._name}: must have the labels {self._labels}, got {[*labels]}")
        key = tuple(labels[name] for name in self._labels)
        return self._series.setdefault(key, HistogramSeries(self._bounds))

    def collect(self) -> Iterable[Metric]:
        """Return all series, as Prometheus reads them."""
        family = HistogramMetricFamily(self._name, self._help, labels=self._labels)
        for key, series in list(self._series.items()):
            counts, total = series.read()
            family.add_metric(key, list(zip(self._names, counts, strict=True)), total)
        return [family]
