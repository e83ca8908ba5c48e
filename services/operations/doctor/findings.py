"""What the doctor finds: one line a thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["sound", "fault", "warning", "not checked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    check: str
    """Which kind of thing: settings, tls, certificates, broker, credentials, topics, acls, registry,
    database, database roles, database login, migrations, clock, keys, policy."""
    state: State
    what: str
    """What is so; never a secret, never personal data."""
    target: str = ""
    """Which one of its kind, such as a topic or a system."""
    mend: str = ""
    """What the operator does, with the command; empty where nothing has to be done."""


def ok(check: str, what: str, target: str = "") -> Finding:
    """Nothing is wrong."""
    return Finding(check=check, state="sound", what=what, target=target)


def error(check: str, problem: str, fix: str, target: str = "") -> Finding:
    """Something keeps a role from its work, or a promise from being kept."""
    return Finding(check=check, state="fault", what=problem, mend=fix, target=target)


def warning(check: str, problem: str, fix: str, target: str = "") -> Finding:
    """Everything works, and somebody should look at it."""
    return Finding(check=check, state="warning", what=problem, mend=fix, target=target)


def skipped(check: str, why: str) -> Finding:
    """It could not be looked at, because of what else was found or since there is none."""
    return Finding(check=check, state="not checked", what=why)
