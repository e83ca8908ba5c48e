"""The actions of commands: what each does in a system, and what follows from that. One row an action.

A new action is a row here, a symbol of the schema `command`, and a branch in each adapter of the agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Action = Literal[
    "erase", "pseudonymise", "restrict", "lift", "disclose", "rectify", "verify", "recall"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSpec:
    """What an action is like; what is not said is not so."""

    changes_data: bool = False
    """The data is different afterwards: a system that is restored from a backup has to do it again."""
    is_verified: bool = False
    """It destroys, and cannot be taken back: what was done is read again."""
    protects: bool = False
    """It protects data or a person: nothing holds it up, no pause, drain, cap or unread message."""
    is_harmless: bool = False
    """It breaks no promise, whatever lies unread on the bus: it leaves also while the deleter is blind."""
    counts_for_cap: bool = True
    """Its first sends count against the cap on an hour's commands."""
    refers_to_command: bool = False
    """It is about the records of another command, and does nothing to them itself."""
    is_ordered: bool = True
    """Late, it does harm: the agent leaves it out once a later command of its subject has come."""


ACTIONS: Final[Mapping[Action, ActionSpec]] = {
    "erase": ActionSpec(changes_data=True, is_verified=True),
    "pseudonymise": ActionSpec(changes_data=True, is_verified=True),
    "restrict": ActionSpec(
        changes_data=True, protects=True, is_harmless=True, counts_for_cap=False
    ),
    "lift": ActionSpec(changes_data=True),
    "disclose": ActionSpec(is_harmless=True, is_ordered=False),
    "rectify": ActionSpec(changes_data=True, is_harmless=True),
    "verify": ActionSpec(
        is_harmless=True, counts_for_cap=False, refers_to_command=True, is_ordered=False
    ),
    "recall": ActionSpec(
        protects=True,
        is_harmless=True,
        counts_for_cap=False,
        refers_to_command=True,
        is_ordered=False,
    ),
}

CHANGING: Final = tuple(name for name, spec in ACTIONS.items() if spec.changes_data)
VERIFIED: Final = tuple(name for name, spec in ACTIONS.items() if spec.is_verified)
PROTECTIVE: Final[frozenset[str]] = frozenset(n for n, spec in ACTIONS.items() if spec.protects)
HARMLESS: Final[frozenset[str]] = frozenset(n for n, spec in ACTIONS.items() if spec.is_harmless)
UNCAPPED: Final = tuple(name for name, spec in ACTIONS.items() if not spec.counts_for_cap)
ABOUT_COMMANDS: Final[frozenset[str]] = frozenset(
    name for name, spec in ACTIONS.items() if spec.refers_to_command
)
UNORDERED: Final = tuple(name for name, spec in ACTIONS.items() if not spec.is_ordered)
