"""The types of recording rules and alerts, and their files for Prometheus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import yaml

Severity = Literal["critical", "warning"]
"""Critical: a promise or duty is broken, or will be within hours. Warning: it will be without action."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A series that Prometheus computes in advance."""

    record: str
    expr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A condition that needs action; the section of the same name in the runbooks describes the action."""

    name: str
    expr: str
    for_: str
    """How long the condition must hold, in Prometheus' form; `0s`: alert at once."""
    severity: Severity
    summary: str
    """What is wrong, with the labels of the expression."""
    description: str
    """The consequence if nothing is done."""

    @property
    def section(self) -> str:
        """The anchor of the alert's section in the runbooks."""
        return self.name.lower()


def recording_file(groups: Mapping[str, Sequence[Recording]]) -> str:
    """Return a file of recording rules, as YAML."""
    return _file(
        {
            name: [{"record": rule.record, "expr": rule.expr} for rule in rules]
            for name, rules in groups.items()
        }
    )


def alert_file(groups: Mapping[str, Sequence[Alert]], runbooks: str) -> str:
    """Return a file of alerts, as YAML; `runbooks` is the URL of the page with their sections."""
    return _file(
        {name: [_alert(alert, runbooks) for alert in alerts] for name, alerts in groups.items()}
    )


def _alert(alert: Alert, runbooks: str) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expr,
        "for": alert.for_,
        "labels": {"severity": alert.severity},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": f"{runbooks}#{alert.section}",
        },
    }


def _file(rule_groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    document = {
        "groups": [{"name": name, "rules": list(rules)} for name, rules in rule_groups.items()]
    }
    return "# Written by `termijn monitoring write`.\n" + str(
        yaml.safe_dump(document, sort_keys=False, width=100, allow_unicode=True)
    )
