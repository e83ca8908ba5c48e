"""An independent implementation of the policy language beyond the catalogue, on rules as plain data.

`rules` has the types. `explain` and `simulate` compute what the commands of the same name must print.
It shares no code with `services`. tests/README.md has its readings where the language leaves a choice.
"""

from tests.oracle.language.commanding import simulate
from tests.oracle.language.conditions import AmbiguousRule, is_ambiguous, resolved, rule_for
from tests.oracle.language.explaining import explain
from tests.oracle.language.rules import (
    Anchor,
    EventType,
    Move,
    Notice,
    Part,
    Rule,
    Schedule,
    Use,
    Variant,
)

__all__ = [
    "AmbiguousRule",
    "Anchor",
    "EventType",
    "Move",
    "Notice",
    "Part",
    "Rule",
    "Schedule",
    "Use",
    "Variant",
    "explain",
    "is_ambiguous",
    "resolved",
    "rule_for",
    "simulate",
]
