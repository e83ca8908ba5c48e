"""Metrics: what Prometheus reads, in base units, and never a subject."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.operations.metric_catalogue import CATALOGUE
from services.operations.metrics import Metrics
from services.operations.ports import PORTS

BASE_UNITS = ("_seconds", "_ratio", "_total", "_info")
# Counts of things that are there now have no unit; each is named here, so that a new one is a choice.
UNITLESS = {
    "termijn_agent_commands_open",
    "termijn_surge_obligations",
    "termijn_clocks_open_too_long",
    "termijn_key_conflicts",
    "termijn_commands_escalated",
    "termijn_commands_undeliverable",
    "termijn_commands_outstanding",
    "termijn_dead_letters_parked",
    "termijn_blind_spots",
    "termijn_deleter_blind",
    "termijn_history_held_back",
    "termijn_due_backlog",
    "termijn_evidence_broken",
    "termijn_gaps",
    "termijn_holdings",
    "termijn_holds_open",
    "termijn_lag_messages",
    "termijn_provenance_late",
    "termijn_provenance_open",
    "termijn_requests_late",
    "termijn_requests_open",
    "termijn_role_ready",
    "termijn_signing_off",
    "termijn_stops",
    "termijn_systems_without_keys",
    "termijn_watch_failing",
    "termijn_watch_outstanding",
    "termijn_watch_partitions",
}


def touched() -> Metrics:
    """Return every metric with a value of 1."""
    metrics = Metrics()
    for metric in CATALOGUE:
        labels = {label: f"a {label}" for label in metric.labels}
        match metric.kind:
            case "counter":
                metrics.count(metric.name, 1, **labels)
            case "gauge":
                metrics.set(metric.name, 1, **labels)
            case "histogram":
                metrics.observe(metric.name, 1, **labels)
    return metrics


def value(metrics: Metrics, sample: str, **labels: str) -> float | None:
    """Return the value of one sample."""
    return metrics.registry.get_sample_value(sample, labels)


def test_promtool_finds_nothing_wrong(promtool: Path) -> None:
    """Prometheus' own check, of names, units and help texts."""
    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=touched().text(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_all_metrics_of_the_catalogue_are_exported() -> None:
    """Each has its kind, help text and labels."""
    families = {family.name: family for family in text_string_to_metric_families(touched().text())}
    for metric in CATALOGUE:
        family = families[metric.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert labels == set(metric.labels)


def test_no_label_can_hold_a_subject_or_an_id() -> None:
    """Labels are few and bounded; a person is not among them."""
    assert {label for metric in CATALOGUE for label in metric.labels} == {
        "action",
        "clock",
        "judgement",
        "outcome",
        "partition",
        "kind",
        "policy",
        "python",
        "reach",
        "reason",
        "right",
        "role",
        "rule",
        "state",
        "status",
        "system",
        "topic",
        "type",
        "version",
    }


def test_names_end_in_base_units() -> None:
    """Counters in `_total`, times in `_seconds`."""
    names = {metric.name for metric in CATALOGUE}
    assert len(names) == len(CATALOGUE)
    assert all(re.fullmatch(r"termijn_[a-z_]+", name) for name in names)
    assert {name for name in names if not name.endswith(BASE_UNITS)} == UNITLESS
    assert {metric.name for metric in CATALOGUE if metric.kind == "counter"} == {
        name for name in names if name.endswith("_total")
    }
    assert all(
        metric.name.endswith("_seconds") for metric in CATALOGUE if metric.kind == "histogram"
    )


def test_a_counter_counts_by_its_labels() -> None:
    """Each combination is separate."""
    metrics = Metrics()
    metrics.count("termijn_commands_sent_total", system="crm", action="erase")
    metrics.count("termijn_commands_sent_total", 2, system="crm", action="erase")
    metrics.count("termijn_commands_sent_total", system="psp", action="erase")
    assert value(metrics, "termijn_commands_sent_total", system="crm", action="erase") == 3
    assert value(metrics, "termijn_commands_sent_total", system="psp", action="erase") == 1


def test_a_gauge_may_be_computed_at_each_scrape() -> None:
    """It does not show the last value that was set."""
    metrics, ready = Metrics(), [1.0, 0.0]
    metrics.set_function("termijn_role_ready", lambda: ready.pop(0), role="tagger")
    assert value(metrics, "termijn_role_ready", role="tagger") == 1
    assert value(metrics, "termijn_role_ready", role="tagger") == 0


def test_a_negative_duration_counts_as_zero() -> None:
    """Two clocks may differ a little; a histogram must not."""
    metrics = Metrics()
    metrics.observe("termijn_batch_seconds", -1.0, role="tagger")
    assert value(metrics, "termijn_batch_seconds_sum", role="tagger") == 0
    assert value(metrics, "termijn_batch_seconds_bucket", role="tagger", le="0.001") == 1


def test_a_series_that_no_longer_applies_is_removed() -> None:
    """A system without outstanding commands does not keep its last number."""
    metrics = Metrics()
    metrics.replace_labels("termijn_commands_outstanding", {("crm", "sent"): 3, ("psp", "sent"): 1})
    metrics.replace_labels("termijn_commands_outstanding", {("crm", "sent"): 2})
    assert value(metrics, "termijn_commands_outstanding", system="crm", state="sent") == 2
    assert value(metrics, "termijn_commands_outstanding", system="psp", state="sent") is None


def test_two_sets_of_metrics_in_one_process_are_separate() -> None:
    """Each has its own registry."""
    first, second = Metrics(), Metrics()
    first.set("termijn_gaps", 1)
    assert value(second, "termijn_gaps") == 0


def test_a_metric_or_label_that_is_not_in_the_catalogue_is_refused() -> None:
    """A typing error does not make a new metric."""
    metrics = Metrics()
    with pytest.raises(KeyError):
        metrics.count("termijn_surprises_total")
    with pytest.raises(ValueError, match="label"):
        metrics.count("termijn_commands_sent_total", subject="customer:C1")
    with pytest.raises(ValueError, match="label"):
        metrics.observe("termijn_batch_seconds", 1.0, role="tagger", subject="customer:C1")


def test_each_role_has_its_own_port() -> None:
    """All of them run on one machine in `termijn up`."""
    assert PORTS == {
        "tagger": 9501,
        "recorder": 9502,
        "deleter": 9503,
        "acknowledgements": 9504,
        "rights": 9505,
        "watch": 9506,
        "agent": 9510,
    }


def test_a_value_that_is_observed_several_times_counts_as_often() -> None:
    """It is counted in each bucket whose bound it does not exceed."""
    metrics = Metrics()
    metrics.observe("termijn_batch_seconds", 0.5, 3, role="tagger")
    metrics.observe("termijn_batch_seconds", 0.1, role="tagger")
    metrics.observe("termijn_batch_seconds", 1e9, role="tagger")

    def bucket(bound: str) -> float | None:
        return value(metrics, "termijn_batch_seconds_bucket", role="tagger", le=bound)

    assert [bucket(bound) for bound in ("0.02", "0.1", "0.5", "2.0", "+Inf")] == [0, 1, 4, 4, 5]
    assert value(metrics, "termijn_batch_seconds_count", role="tagger") == 5
    assert value(metrics, "termijn_batch_seconds_sum", role="tagger") == 3 * 0.5 + 0.1 + 1e9
