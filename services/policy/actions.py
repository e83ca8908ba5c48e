"""The actions that a command can ask of a system, such as erase or restrict, with the properties of each.

A new action is a row here, a symbol of the schema `command`, and a branch in each adapter of the agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Action = Literal[
    "erase",
    "pseudonymise",
    "restrict",
    "lift",
    "disclose",
    "rectify",
    "verify",
    "recall",
    "notify",
    "transfer",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSpec:
    """The properties of an action; each is false unless the table sets it."""

    changes_data: bool = False
    """It changes the data, so that a system that is restored from a backup has to do it again."""
    ends_data: bool = False
    """It ends the data, or announces its end, so that a legal hold keeps it back."""
    is_verified: bool = False
    """It destroys data for good, so that Termijn has the system read again what it destroyed."""
    protects: bool = False
    """It protects data or a person, so that no pause, drain, cap or unread message delays it."""
    is_harmless: bool = False
    """No unread message can make it wrong, so that it is sent while the deleter waits for catch-up."""
    counts_for_cap: bool = True
    """Its first attempts count against the cap on commands in an hour."""
    refers_to_command: bool = False
    """It refers to another command and its records, and does not change them."""
    is_ordered: bool = True
    """It does harm when it is late: the agent skips it once a later command of its subject has arrived."""


ACTIONS: Final[Mapping[Action, ActionSpec]] = {
    "erase": ActionSpec(changes_data=True, ends_data=True, is_verified=True),
    "pseudonymise": ActionSpec(changes_data=True, ends_data=True, is_verified=True),
    "restrict": ActionSpec(
        changes_data=True, protects=True, is_harmless=True, counts_for_cap=False
    ),
    "lift": ActionSpec(changes_data=True),
    "disclose": ActionSpec(is_harmless=True, is_ordered=False),
    "transfer": ActionSpec(changes_data=True, ends_data=True),
    "notify": ActionSpec(ends_data=True, is_ordered=False),
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
ENDING: Final[frozenset[str]] = frozenset(n for n, spec in ACTIONS.items() if spec.ends_data)
VERIFIED: Final = tuple(name for name, spec in ACTIONS.items() if spec.is_verified)
PROTECTIVE: Final[frozenset[str]] = frozenset(n for n, spec in ACTIONS.items() if spec.protects)
HARMLESS: Final[frozenset[str]] = frozenset(n for n, spec in ACTIONS.items() if spec.is_harmless)
UNCAPPED: Final = tuple(name for name, spec in ACTIONS.items() if not spec.counts_for_cap)
ABOUT_COMMANDS: Final[frozenset[str]] = frozenset(
    name for name, spec in ACTIONS.items() if spec.refers_to_command
)
UNORDERED: Final = tuple(name for name, spec in ACTIONS.items() if not spec.is_ordered)
