"""The metrics of one process, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from services.operations.metric_catalogue import CATALOGUE, Metric


class Metrics:
    """The metrics of one process, on a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._collectors: dict[str, Any] = {
            metric.name: self._make_collector(metric) for metric in CATALOGUE
        }
        self._series: dict[tuple[object, ...], Any] = {}

    def init(self, name: str, **labels: str) -> None:
        """Show a counter or histogram at zero: Prometheus misses the first step of a later series."""
        self._with_labels(name, labels)

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Raise a counter."""
        self._find_series(name, labels).inc(amount)

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        self._with_labels(name, labels).set(value)

    def set_function(self, name: str, value: Callable[[], float], **labels: str) -> None:
        """Set a gauge to what a function returns at each scrape."""
        self._with_labels(name, labels).set_function(value)

    def observe(self, name: str, value: float, times: int = 1, /, **labels: str) -> None:
        """Add a value to a histogram so many times; a time below zero counts as zero."""
        series = self._find_series(name, labels)
        for _ in range(times):
            series.observe(max(0.0, value))

    def replace_labels(
        self,
        name: str,
        values: Mapping[tuple[str], float]
        | Mapping[tuple[str, str], float]
        | Mapping[tuple[str, str, str], float],
    ) -> None:
        """Set a labelled gauge to exactly these values, by labels; its other series are removed."""
        gauge = self._collectors[name]
        gauge.clear()
        for labels, value in values.items():
            gauge.labels(*labels).set(value)

    def text(self) -> str:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self.registry).decode()

    def _find_series(self, name: str, labels: Mapping[str, str]) -> Any:
        """Return a series of a counter or histogram; unlike one of a gauge it is never removed."""
        key = (name, *labels.items())
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = self._with_labels(name, labels)
        return series

    def _with_labels(self, name: str, labels: Mapping[str, str]) -> Any:
        metric = self._collectors[name]
        return metric.labels(**labels) if labels else metric

    def _make_collector(self, metric: Metric) -> Any:
        name, labels = metric.name, metric.labels
        match metric.kind:
            case "counter":
                return Counter(name, metric.help, labels, registry=self.registry)
            case "gauge":
                return Gauge(name, metric.help, labels, registry=self.registry)
            case "histogram":
                return Histogram(
                    name, metric.help, labels, registry=self.registry, buckets=metric.buckets
                )
