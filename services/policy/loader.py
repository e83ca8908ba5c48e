"""A policy file, read and checked as a whole: every problem at once, each with file, line and key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml
from pydantic import TypeAdapter, ValidationError

from schemas.errors import TermijnError
from services.policy.calendar import period
from services.policy.model import EventType, Field, HoldingRule, MoveRule, Policy, SubjectField

SHIPPED = "optimum_pos.yaml"
Path_ = tuple[str | int, ...]
_ADAPTER = TypeAdapter(Policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong in a policy file: where, and what."""

    file: str
    line: int
    key: str
    why: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.key}: {self.why}"


class InvalidPolicy(TermijnError):
    """The policy file cannot be used; nothing runs on a policy that is half right.

    The operator mends the lines that it names.
    """

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def load(path: Path | None = None) -> Policy:
    """The policy of a file, or the one that ships with the project.

    Raises:
        InvalidPolicy: naming every problem that was found.
    """
    if path is None:
        return loads(files(__package__).joinpath(SHIPPED).read_text("utf-8"), SHIPPED)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        raise _invalid(str(path), 0, "", f"cannot be read: {cause}") from cause
    return loads(text, str(path))


def loads(text: str, name: str) -> Policy:
    """The policy of a text; `name` is what errors call it.

    Raises:
        InvalidPolicy: naming every problem that was found.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
        document = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as cause:
        mark = getattr(cause, "problem_mark", None)
        line = mark.line + 1 if mark else 0
        raise _invalid(
            name, line, "", f"is not YAML: {getattr(cause, 'problem', cause)}"
        ) from cause
    lines = _Lines(name, node)
    try:
        policy = _ADAPTER.validate_python(document)
    except ValidationError as cause:
        found = (lines.problem(_place(e["loc"]), e["msg"]) for e in cause.errors())
        raise InvalidPolicy(tuple(found)) from cause
    problems = tuple(lines.problem(path, why) for path, why in check(policy))
    if problems:
        raise InvalidPolicy(problems)
    return policy


def digest(policy: Policy) -> str:
    """What tells one policy from another: a hash of all that it says."""
    return sha256(_ADAPTER.dump_json(policy)).hexdigest()


def shapes(policy: Policy) -> dict[str, str]:
    """Per event type, a hash of whose data it holds and which clocks it hangs on and moves.

    What the ledger has already hung on clocks fits another policy only where these stay the same.
    """
    found = {}
    for name, event in policy.events.items():
        holdings = [
            (
                holding.subject,
                holding.for_kinds,
                holding.when,
                policy.rules[holding.rule].anchor,
                policy.rules[holding.rule].pseudonymise,
                policy.bases[holding.basis].statutory,
            )
            for holding in event.holdings
        ]
        clocks = {clock: (spec.key, spec.parent) for clock, spec in sorted(policy.clocks.items())}
        shape = repr((event.subject, holdings, event.moves, event.fields, clocks))
        found[name] = sha256(shape.encode()).hexdigest()
    return found


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a policy file, for editors."""
    schema = _ADAPTER.json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def check(policy: Policy) -> Iterator[tuple[Path_, str]]:
    """What a schema cannot say: that every name is defined, every period a period, every key there."""
    yield from _check_controller(policy)
    for name, system in policy.systems.items():
        for key in ("lead_time", "acknowledge_within"):
            yield from _check_period(("systems", name, key), getattr(system, key), exact=True)
        if system.outside_eea and not system.safeguard:
            yield ("systems", name, "outside_eea"), "a system outside the EEA needs a safeguard"
    for name, rule in policy.rules.items():
        yield from _check_period(("rules", name, "term"), rule.term)
        if (rule.anchor.kind == "clock") != (rule.anchor.clock is not None):
            yield ("rules", name, "anchor"), "kind `clock`, and only that, names a clock"
        yield from _known(("rules", name, "anchor", "clock"), rule.anchor.clock, policy.clocks)
        if "derived" in (rule.term_from, rule.anchor_from) and not rule.rationale:
            yield ("rules", name), "what is derived needs a rationale"
    for name, clock in policy.clocks.items():
        if clock.max_open is not None:
            yield from _check_period(("clocks", name, "max_open"), clock.max_open, months=False)
        yield from _known(("clocks", name, "parent"), clock.parent, policy.clocks)
        parent = policy.clocks.get(clock.parent or "")
        if parent and (parent.parent or not set(parent.key) <= set(clock.key)):
            yield ("clocks", name, "parent"), "a parent has no parent, and only keys of this clock"
    for name, event in policy.events.items():
        for path, why in _check_event(event, policy):
            yield ("events", name, *path), why


def _check_controller(policy: Policy) -> Iterator[tuple[Path_, str]]:
    try:
        ZoneInfo(policy.controller.time_zone)
    except (KeyError, ValueError, OSError):
        yield ("controller", "time_zone"), f"{policy.controller.time_zone!r} is no time zone"
    try:
        month, day = policy.controller.book_year
        if not (1 <= month <= 12 and 1 <= day <= 31):
            raise ValueError
    except ValueError:
        yield ("controller", "book_year_end"), "is not a month and a day such as 12-31"


def _check_event(event: EventType, policy: Policy) -> Iterator[tuple[Path_, str]]:
    for name, field in event.fields.items():
        if field.default is not None and field.one_of and field.default not in field.one_of:
            yield ("fields", name, "default"), "is none of one_of"
    if not event.holdings and not event.moves:
        yield (), "makes no holding and moves no clock"
    if event.holdings and not event.subject:
        yield ("holdings",), "an event that makes holdings names its subject"
    for index, category in enumerate(event.categories):
        yield from _known(("categories", index), category, policy.categories)
    for index, subject in enumerate(event.subject):
        yield from _check_subject(("subject", index), subject, event, policy)
    for index, holding in enumerate(event.holdings):
        yield from _check_holding(("holdings", index), holding, event, policy)
    for index, move in enumerate(event.moves):
        yield from _check_move(("moves", index), move, event, policy)


def _check_subject(
    path: Path_, subject: SubjectField, event: EventType, policy: Policy
) -> Iterator[tuple[Path_, str]]:
    yield from _known((*path, "kind"), subject.kind, policy.subjects)
    yield from _known((*path, "field"), subject.field, event.fields)
    field = event.fields.get(subject.field)
    if field and (field.type == "strings") != subject.each:
        yield (*path, "field"), "a list field, and only that, names a subject for `each`"


def _check_holding(
    path: Path_, holding: HoldingRule, event: EventType, policy: Policy
) -> Iterator[tuple[Path_, str]]:
    yield from _known((*path, "purpose"), holding.purpose, policy.purposes)
    yield from _known((*path, "basis"), holding.basis, policy.bases)
    yield from _known((*path, "rule"), holding.rule, policy.rules)
    if not holding.systems:
        yield (*path, "systems"), "a holding is in a system at least"
    for index, system in enumerate(holding.systems):
        yield from _known((*path, "systems", index), system, policy.systems)
    for index, kind in enumerate(holding.for_kinds):
        yield from _known((*path, "for_kinds", index), kind, policy.subjects)
    if holding.subject:
        yield from _check_subject((*path, "subject"), holding.subject, event, policy)
    for name, allowed in holding.when.items():
        yield from _known((*path, "when", name), name, event.fields)
        yield from _possible((*path, "when", name), allowed, event.fields.get(name))
    for name, by_value in holding.systems_when.items():
        yield from _known((*path, "systems_when", name), name, event.fields)
        for value, systems in by_value.items():
            place = (*path, "systems_when", name, value)
            yield from _possible(place, [value], event.fields.get(name))
            for system in systems:
                yield from _known((*path, "systems_when", name, value), system, policy.systems)
    yield from _known((*path, "systems_from"), holding.systems_from, event.fields)
    listed = event.fields.get(holding.systems_from or "")
    if listed and listed.type != "strings":
        yield (*path, "systems_from"), "is no list field"
    rule = policy.rules.get(holding.rule)
    clock = policy.clocks.get(rule.anchor.clock or "") if rule else None
    for name in clock.key if clock else ():
        yield from _known((*path, "rule"), name, event.fields)
    basis = policy.bases.get(holding.basis)
    if rule and basis and basis.statutory and rule.kind == "at_most":
        yield (*path, "rule"), "a statute's duty is an at_least rule"


def _check_move(
    path: Path_, move: MoveRule, event: EventType, policy: Policy
) -> Iterator[tuple[Path_, str]]:
    yield from _known((*path, "clock"), move.clock, policy.clocks)
    clock = policy.clocks.get(move.clock)
    for name in clock.key if clock else ():
        yield from _known((*path, "key", name), move.key.get(name, name), event.fields)
    for name in move.key if clock else ():
        if clock and name not in clock.key:
            yield (*path, "key", name), f"{name!r} is no key of the clock {move.clock}"


def _check_period(
    path: Path_, text: str, *, exact: bool = False, months: bool = True
) -> Iterator[tuple[Path_, str]]:
    try:
        value = period(text)
    except ValueError as cause:
        yield path, str(cause)
        return
    if exact and not value.is_exact:
        yield path, f"{text!r} is not an exact period such as PT24H: a day's length varies"
    if value.months and not months:
        yield path, f"{text!r} is not a period in days such as P90D"


def _known(
    path: Path_, name: str | None, defined: Mapping[str, object]
) -> Iterator[tuple[Path_, str]]:
    if name is not None and name not in defined:
        yield path, f"{name!r} is not defined"


def _possible(
    path: Path_, values: Iterable[str | bool], field: Field | None
) -> Iterator[tuple[Path_, str]]:
    """A condition on a value that the field never has would lose its holding in silence."""
    for value in values:
        if field and field.one_of and value not in field.one_of:
            yield path, f"{value!r} is none of {', '.join(field.one_of)}"
        if field and (field.type == "boolean") != isinstance(value, bool):
            yield path, f"{value!r} is no value of type {field.type}"


def _invalid(file: str, line: int, key: str, why: str) -> InvalidPolicy:
    return InvalidPolicy((Problem(file=file, line=line, key=key, why=why),))


def _place(loc: tuple[int | str, ...]) -> Path_:
    return tuple(part for part in loc if part != "[key]")


class _Loader(yaml.SafeLoader):
    """YAML without surprises: a key that stands twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key is a list or a map", key.start_mark
                )
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Lines:
    """Where each key of a YAML file stands."""

    def __init__(self, file: str, root: yaml.Node | None) -> None:
        self._file = file
        self._root = root

    def problem(self, path: Path_, why: str) -> Problem:
        """A problem at the deepest part of the path that is in the file."""
        node, line = self._root, 1
        for part in path:
            step = self._child(node, part)
            if step is None:
                break
            node, line = step
        return Problem(file=self._file, line=line, key=".".join(map(str, path)), why=why)

    @staticmethod
    def _child(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node, int] | None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    return value, key.start_mark.line + 1
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            value = node.value[part]
            return value, value.start_mark.line + 1
        return None
