"""The results of the doctor's checks: one for each thing that was checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "error", "warning", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check."""

    check: str
    """The kind of check: settings, tls, certificates, broker, credentials, topics, acls, registry,
    database, database roles, database login, migrations, clock, keys, policy."""
    state: State
    problem: str
    """What is wrong, or what was checked if nothing is; never a secret, never personal data."""
    target: str = ""
    """What was checked, such as a topic or a system."""
    fix: str = ""
    """What the operator does, with the command; empty where there is nothing to do."""

    def to_row(self) -> dict[str, str]:
        """Return the result as a row of a table or a JSON line."""
        return {
            "check": self.check,
            "state": self.state,
            "result": self.problem,
            "target": self.target,
            "fix": self.fix,
        }


def ok(check: str, result: str, target: str = "") -> Finding:
    """Make the result of a check that passed."""
    return Finding(check=check, state="ok", problem=result, target=target)


def error(check: str, problem: str, fix: str, target: str = "") -> Finding:
    """Make the result of a check that failed: a role cannot work, or a promise would be broken."""
    return Finding(check=check, state="error", problem=problem, fix=fix, target=target)


def warning(check: str, problem: str, fix: str, target: str = "") -> Finding:
    """Make the result of a check that passed, but that an operator should look at."""
    return Finding(check=check, state="warning", problem=problem, fix=fix, target=target)


def skipped(check: str, why: str) -> Finding:
    """Make the result of a check that could not be done."""
    return Finding(check=check, state="skipped", problem=why)
