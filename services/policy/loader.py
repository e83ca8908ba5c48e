"""Load and check a policy file; an error names every problem at once, with file, line and key."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from services.policy import included, inheritance
from services.policy.conditions import conditions, rules_of
from services.policy.event_type import EventType
from services.policy.kept_dates import kept_structure
from services.policy.model import Policy
from services.policy.partial_check import check_document
from services.policy.rule import Rule
from services.policy.validation import validate_policy
from services.policy.yaml_file import read_yaml_text, validate_document
from services.policy.yaml_source import InvalidFile, decode_utf8, parse_yaml

DEFAULT_POLICY = "optimum_pos.yaml"
_ADAPTER = TypeAdapter(Policy)
_MAX_HASHES = 8
_HASHES: dict[int, tuple[Policy, str]] = {}
"""The policies that were hashed, by `id`, with their hash."""


class InvalidPolicy(InvalidFile):
    """The policy file has problems; nothing runs on a policy with problems.

    The operator fixes the lines that the error names.
    """


def load(path: Path | None = None) -> Policy:
    """Return the policy of a file, or by default the one that ships with Termijn.

    Raises:
        InvalidPolicy: naming every problem that was found.
    """
    if path is None:
        return load_text(
            files(__package__).joinpath(DEFAULT_POLICY).read_text("utf-8"), DEFAULT_POLICY
        )
    return load_text(read_yaml_text(path, InvalidPolicy), str(path))


def load_bytes(raw: bytes, name: str) -> Policy:
    """Return the policy in a file's bytes; `name` is the file's name in errors.

    Raises:
        InvalidPolicy: naming every problem that was found.
    """
    return load_text(decode_utf8(raw, name, InvalidPolicy), name)


def load_text(text: str, name: str) -> Policy:
    """Return the policy in a text; `name` is the file's name in errors.

    Raises:
        InvalidPolicy: naming every problem that was found.
    """
    document, lines = included.expand(*parse_yaml(text, name, InvalidPolicy), InvalidPolicy)
    document, lines = inheritance.inherit(document, lines)
    return check_document(_ADAPTER, document, lines, InvalidPolicy, validate_policy)


def load_accepted(text: str, name: str) -> Policy:
    """Return the policy in a text that the ledger keeps, which a former version may have accepted.

    Only whether the text has the shape of a policy is checked: checks that were added since do not make an
    active policy unreadable.

    Raises:
        InvalidPolicy: it has another shape.
    """
    document, lines = parse_yaml(text, name, InvalidPolicy)
    return validate_document(_ADAPTER, document, lines, InvalidPolicy)


def hash_policy(policy: Policy) -> str:
    """Return a hash of the whole policy, which differs for different policies.

    Keys that a later version of Termijn introduced count only where they are set, so that an unchanged
    policy keeps its hash; in the model they are the ones without a `repr`.
    The same policy is hashed once in a process: every transaction compares it.
    """
    known = _HASHES.get(id(policy))
    if known is None or known[0] is not policy:
        content = _ADAPTER.dump_json(policy, exclude=_unset_later_keys(policy))
        known = (policy, sha256(content).hexdigest())
        if len(_HASHES) >= _MAX_HASHES:
            _HASHES.clear()
        _HASHES[id(policy)] = known
    return known[1]


def _later_structure(event: EventType, policy: Policy) -> list[tuple[object, ...]]:
    """Return the dates, outcomes and several anchors of an event type; ledgers know types without them.

    Also what is kept of dates, and rules under conditions if they count from something else.
    """
    moves = [(move.at, move.outcome) for move in event.moves]
    parts = [
        (part.anchor.clock, part.anchor.field, part.if_any)
        for holding in event.holdings
        for part in policy.rules[holding.rule].parts
        if part.anchor.field or policy.rules[holding.rule].of
    ]
    conditional: list[tuple[object, ...]] = [
        (sorted((field, sorted(values, key=str)) for field, values in required.items()), start)
        for holding in event.holdings
        for name in rules_of(holding, policy)
        if (required := conditions(name, policy.rules))
        and (start := _starts(policy.rules[name])) != _starts(policy.rules[holding.rule])
    ]
    kept = kept_structure(event, policy)
    return [*(move for move in moves if any(move)), *parts, *conditional, *kept]


def _starts(rule: Rule) -> tuple[object, ...]:
    """Return the clocks and dates on which a record depends because of a rule."""
    starts = [(part.anchor.clock, part.anchor.field, part.if_any) for part in rule.parts]
    return rule.pseudonymise, rule.ends, starts


def _unset_later_keys(part: object) -> dict[Any, Any]:
    """Return, as pydantic's `exclude`, the later keys in a part of a policy that have their defaults."""
    if isinstance(part, Mapping):
        return _nonempty((key, _unset_later_keys(value)) for key, value in part.items())
    if isinstance(part, tuple):
        return _nonempty((index, _unset_later_keys(value)) for index, value in enumerate(part))
    if not is_dataclass(part):
        return {}
    excluded = _nonempty(
        (field.name, _unset_later_keys(getattr(part, field.name))) for field in fields(part)
    )
    for field in fields(part):
        if not field.repr and getattr(part, field.name) == _default_of(field):
            excluded[field.name] = True
    return excluded


def _default_of(field: Field[Any]) -> object:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _nonempty(entries: Iterable[tuple[Any, dict[Any, Any]]]) -> dict[Any, Any]:
    return {key: excluded for key, excluded in entries if excluded}


def policy_text(policy: Policy) -> str:
    """Return the text of a policy, from which `load_text` makes an equal one: JSON, without defaults.

    Each rule has what it takes over from the rule that it extends.
    """
    written = _ADAPTER.dump_python(policy, mode="json", exclude_defaults=True)
    if any(rule.extends for rule in policy.rules.values()):
        rules = policy_values(policy)["rules"]
        written["rules"] = inheritance.complete_values(written["rules"], rules)
    return json.dumps(written, ensure_ascii=False, separators=(",", ":"))


def policy_values(policy: Policy) -> dict[str, Any]:
    """Return a policy as JSON values, by key of its file; keys that are not set have their default."""
    values: dict[str, Any] = _ADAPTER.dump_python(policy, mode="json")
    return values


def structure_hashes(policy: Policy, *, with_fields: bool = True) -> dict[str, str]:
    """Return, by event type, a hash of whose data it holds, and which clocks it depends on and changes.

    The ledger's records depend on clocks already, so another policy fits only if these hashes are equal, or
    differ in fields alone of which recorded events allow the change (`services.policy.field_changes`).
    """
    hashes = {}
    for name, event in policy.events.items():
        holdings = [
            (
                holding.subject,
                holding.for_kinds,
                holding.when,
                holding.key,
                holding.on_consent,
                holding.on_withdrawal,
                policy.rules[holding.rule].anchor,
                policy.rules[holding.rule].pseudonymise,
                policy.bases[holding.basis].is_statutory,
            )
            for holding in event.holdings
        ]
        clocks = {clock: (spec.key, spec.parent) for clock, spec in sorted(policy.clocks.items())}
        event_fields = event.fields if with_fields else {}
        shape = repr((event.subject, holdings, event.moves, event_fields, clocks))
        shape = shape.replace("ConsentFallback(", "Alternative(")  # its name in stored hashes
        if later := _later_structure(event, policy):
            shape += repr(later)
        hashes[name] = sha256(shape.encode()).hexdigest()
    return hashes
