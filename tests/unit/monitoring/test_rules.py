"""Rules and dashboards: every alert fires when it should, and every expression has data."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner

from services.app.cli.lazy_group import list_subcommands
from services.app.cli.main import termijn
from services.operations.metric_catalogue import CATALOGUE
from services.operations.monitoring import alerts, recordings, slo
from services.operations.monitoring.dashboards import Board, Panel
from services.operations.monitoring.files import BOARDS
from services.operations.monitoring.rules import Alert, Recording
from services.operations.monitoring.time_scale import PRODUCTION, TimeScale
from services.operations.ports import PORTS

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
CASES = sorted(Path(__file__).parent.glob("alerts*.yml"))
ALERTS = [alert for group in alerts.alert_groups(PRODUCTION).values() for alert in group]
RECORDINGS = [
    recording for group in recordings.recording_groups(PRODUCTION).values() for recording in group
]
PANELS = [(board, panel) for board in BOARDS for panel in board.panels]
METRICS = {metric.name: metric for metric in CATALOGUE}
GROUPED = re.compile(r"\bby \(([^)]*)\)")
METRIC = re.compile(r"\btermijn_[a-z0-9_]+")
RECORDED = re.compile(r"\btermijn:[a-z0-9_:]+")
OF_HISTOGRAM = re.compile(r"_(bucket|sum|count)$")
HISTOGRAM_NAMES = {metric.name for metric in CATALOGUE if metric.kind == "histogram"}


def metrics_of(expr: str) -> set[str]:
    """Return the names of metrics in an expression, whether the catalogue has them or not."""
    return {
        base if (base := OF_HISTOGRAM.sub("", name)) in HISTOGRAM_NAMES and base != name else name
        for name in METRIC.findall(expr)
    }


def recorded_of(expr: str) -> set[str]:
    """Return the names of recorded series in an expression."""
    return set(RECORDED.findall(expr))


def expressions() -> Iterator[str]:
    """Return all expressions that Prometheus evaluates."""
    yield from (alert.expr for alert in ALERTS)
    yield from (recording.expr for recording in RECORDINGS)
    yield from (query.expr for _, panel in PANELS for query in panel.queries)


def run(program: Path, *arguments: str | Path, text: str | None = None) -> str:
    """Return the output of promtool, which must find nothing wrong."""
    completed = subprocess.run(
        [program, *arguments],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        cwd=DEPLOY / "prometheus",
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout


def test_promtool_accepts_the_configuration_and_its_rules(promtool: Path) -> None:
    """The configuration, and with it the rules that it names."""
    alerts = (DEPLOY / "prometheus" / "alerts.yml").read_text("utf-8").count("- alert: ")
    assert alerts > 20
    assert f"SUCCESS: {alerts} rules" in run(promtool, "check", "config", "prometheus.yml")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_each_alert_fires_when_it_must_and_only_then(promtool: Path, case: Path) -> None:
    """The series are written by hand."""
    run(promtool, "test", "rules", case)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_each_alert_has_a_case_for_firing_and_one_for_not_firing(alert: Alert) -> None:
    """One in which it fires, and one in which it does not."""
    checks: list[dict[str, Any]] = [
        check
        for case in CASES
        for test in yaml.safe_load(case.read_text("utf-8"))["tests"]
        for check in test["promql_expr_test"]
        if f'alertname="{alert.name}",alertstate="firing"' in check["expr"]
    ]
    assert any(check["exp_samples"] for check in checks)
    assert any(not check["exp_samples"] for check in checks)


def test_every_name_is_a_metric_of_the_catalogue() -> None:
    """A name may also be that of a recording rule."""
    names = {name for expr in expressions() for name in metrics_of(expr)}
    assert names - METRICS.keys() == set()
    recorded = {recording.record for recording in RECORDINGS}
    assert {name for expr in expressions() for name in recorded_of(expr)} <= recorded


def test_every_metric_is_on_a_dashboard_or_has_an_alert() -> None:
    """A metric without dashboard and alert would never be seen."""
    names = {name for expr in expressions() for name in metrics_of(expr)}
    assert METRICS.keys() - names == set()


@pytest.mark.parametrize("expr", sorted(set(expressions())))
def test_rules_group_only_by_labels_of_their_metrics(expr: str) -> None:
    """Prometheus would group by an unknown label without a warning."""
    names = {"le", "job"} | {
        label for name in metrics_of(expr) & METRICS.keys() for label in METRICS[name].labels
    }
    if recorded_of(expr):
        names |= {"system", "state", "role", "topic", "type"}
    for grouping in GROUPED.findall(expr):
        assert {label.strip() for label in grouping.split(",")} <= names


def test_every_expression_is_valid(promtool: Path, tmp_path: Path) -> None:
    """Expressions of the dashboards, which are in no rule file, are checked too."""
    rules = [
        {"record": f"a:{number}", "expr": expr} for number, expr in enumerate(set(expressions()))
    ]
    file = tmp_path / "all.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}), "utf-8")
    run(promtool, "check", "rules", file)


def test_queries_name_buckets_that_exist() -> None:
    """`le` is a text to Prometheus: a value that no histogram has matches nothing."""
    bounds = {bound for expr in expressions() for bound in re.findall(r'le="([^"]*)"', expr)}
    assert bounds == {"300.0"}
    assert 300.0 in METRICS["termijn_lateness_seconds"].buckets


def test_every_role_is_scraped_under_its_name_at_its_port() -> None:
    """The configuration of Prometheus names each role."""
    configuration = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text("utf-8"))
    assert {
        job["job_name"]: job["static_configs"][0]["targets"]
        for job in configuration["scrape_configs"]
    } == {f"termijn-{role}": [f"127.0.0.1:{port}"] for role, port in PORTS.items()}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_the_text_of_an_alert_uses_labels_of_its_expression(alert: Alert) -> None:
    """It uses nothing that could name a person."""
    labels = {"job"} if "up{" in alert.expr else set()
    labels |= {
        label.strip() for grouping in GROUPED.findall(alert.expr) for label in grouping.split(",")
    }
    labels_named = set(re.findall(r"\$labels\.(\w+)", alert.summary + alert.description))
    assert labels_named <= labels
    assert "subject" not in labels


def sections() -> dict[str, str]:
    """The runbooks, by title."""
    parts = (DEPLOY / "runbooks.md").read_text("utf-8").split("\n## ")[1:]
    return {part.partition("\n")[0]: part.partition("\n")[2] for part in parts}


def commands_of(text: str) -> list[str]:
    """The commands in the blocks of a section."""
    blocks = re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    """The alert links to the runbook's anchor."""
    assert set(sections()) == {alert.name for alert in ALERTS}
    written = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text("utf-8"))
    links = {
        rule["annotations"]["runbook_url"] for group in written["groups"] for rule in group["rules"]
    }
    assert links == {f"runbooks.md#{title.lower()}" for title in sections()}


@pytest.mark.parametrize("title", sections())
def test_a_runbook_states_what_to_do(title: str) -> None:
    """It has where to look, how to fix the cause, and when the alert ends."""
    text = sections()[title]
    assert [word for word in ("\nLook: ", "\nFix: ", "\nClears: ") if word not in text] == []
    assert text.strip().split("\n")[0]


@pytest.mark.parametrize(
    "line", sorted({line for text in sections().values() for line in commands_of(text)})
)
def test_the_commands_in_runbooks_are_valid(line: str) -> None:
    """Their names, options and required arguments, except the operator's name."""
    words = shlex.split(line)[1:]
    if words == ["ROLE"]:
        assert set(PORTS) <= dict(list_subcommands(termijn)).keys()
        return
    command: click.Command = termijn
    while isinstance(command, click.Group):
        command = dict(list_subcommands(command))[words.pop(0)]
    options, rest, _ = command.make_parser(click.Context(command)).parse_args(words)
    assert not rest
    assert [
        parameter.name
        for parameter in command.params
        if parameter.required and options.get(str(parameter.name)) is None
    ] == []


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_the_panels_of_a_dashboard_do_not_overlap(board: Board) -> None:
    """Side by side, and each title once."""
    document = yaml.safe_load((DEPLOY / "grafana" / f"{board.uid}.json").read_text("utf-8"))
    places = [panel["gridPos"] for panel in document["panels"]]
    cells = {
        (x, place["y"]) for place in places for x in range(place["x"], place["x"] + place["w"])
    }
    assert len(cells) == sum(place["w"] for place in places)
    assert max(place["x"] + place["w"] for place in places) <= 24
    assert len({panel.title for panel in board.panels}) == len(board.panels)


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=lambda panel: getattr(panel, "title", ""))
def test_a_legend_names_labels_that_its_query_has(board: Board, panel: Panel) -> None:
    """Several series without a name cannot be distinguished."""
    for query in panel.queries:
        grouping = GROUPED.search(query.expr)
        labels = {label.strip() for label in grouping[1].split(",")} - {"le"} if grouping else set()
        named = set(re.findall(r"{{(\w+)}}", query.legend))
        if not recorded_of(query.expr):
            assert named == labels, board.title


def test_an_accelerated_rule_differs_only_in_its_durations() -> None:
    """Its windows still contain several scrapes, and it names the nearest existing bucket."""
    fast = TimeScale(divisor=600)
    [overdue, due, *_] = alerts.alert_groups(fast)["promises"]
    assert (overdue.for_, due.for_) == ("500ms", "500ms")
    assert due.expr == "max(termijn_oldest_due_seconds) > 6"
    [first, *_] = slo.recording_rules(fast)
    assert first == Recording(
        record="termijn:commands_late:ratio_rate5m",
        expr='1 - sum(rate(termijn_lateness_seconds_bucket{le="0.5"}[5s]))'
        " / sum(rate(termijn_lateness_seconds_count[5s]))",
    )


@pytest.mark.parametrize(
    ("seconds", "text"), [(90, "90s"), (300, "5m"), (3600, "1h"), (259_200, "3d"), (0.5, "500ms")]
)
def test_a_duration_is_written_as_prometheus_reads_it(seconds: float, text: str) -> None:
    """The unit is the largest of which it is a multiple."""
    assert PRODUCTION.for_duration(seconds) == text


def test_monitoring_write_gives_the_files_of_the_repository(tmp_path: Path) -> None:
    """With an option, the command writes another address for the runbooks."""
    page = "https://wiki.example/termijn"
    outcome = CliRunner().invoke(
        termijn, ["monitoring", "write", str(tmp_path), "--runbooks", page], catch_exceptions=False
    )
    assert outcome.exit_code == 0
    text = (tmp_path / "prometheus" / "alerts.yml").read_text("utf-8")
    assert f"runbook_url: {page}#termijngap" in text
    assert text.replace(page, "runbooks.md") == (DEPLOY / "prometheus" / "alerts.yml").read_text(
        "utf-8"
    )


@pytest.mark.parametrize("divisor", ["nan", "inf"])
def test_a_divisor_that_is_not_finite_is_refused(tmp_path: Path, divisor: str) -> None:
    """It would leave no bucket for late commands; nothing is written."""
    outcome = CliRunner().invoke(
        termijn, ["monitoring", "write", str(tmp_path), "--hasten", divisor]
    )
    assert outcome.exit_code == 2
    assert "must be a finite number" in outcome.stderr
    assert list(tmp_path.iterdir()) == []
