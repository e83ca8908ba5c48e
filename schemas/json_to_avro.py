"""Convert JSON values to Avro's: check a value against a schema, and give it Avro's types.

Avro's writers check little: a string in the place of an array becomes its letters, and "false" becomes
true. Here every value must fit its schema.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from schemas.compatibility import PRIMITIVES, full_name, named_types
from schemas.scalars import LOGICAL, PLAIN, Coercer, CoercionError


def build_coercer(schema: Any) -> Coercer:
    """Return a function that converts values to a schema that Avro has accepted.

    A string counts as an array of one string, and ISO text as a date or an instant. Unknown fields are
    skipped; fields with a default may be absent.

    Raises:
        ValueError: the schema is recursive, or has an array of items that take no bytes. A few bytes
            could then exhaust a reader's stack or memory.
    """
    return _Compiler(named_types(schema)).compile(schema, "")


def unknown_fields(document: Any, fitted: Any) -> Iterator[str]:
    """Return the paths of the given values that are not in the value fitted to the schema."""
    match document, fitted:
        case Mapping(), Mapping():
            for name, value in document.items():
                if name not in fitted:
                    yield str(name)
                    continue
                for path in unknown_fields(value, fitted[name]):
                    yield f"{name}{path}" if path.startswith("[") else f"{name}.{path}"
        case list() | tuple(), list():
            paths_of_items = (
                unknown_fields(item, fitted_item)
                for item, fitted_item in zip(document, fitted, strict=False)
            )
            for path in dict.fromkeys(path for item_paths in paths_of_items for path in item_paths):
                yield f"[]{path}" if path.startswith("[") else f"[].{path}"


class _Compiler:
    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions
        self._open: list[str] = []

    def compile(self, schema: Any, namespace: str) -> Coercer:
        match schema:
            case list():
                return self._compile_union(schema, namespace)
            case str():
                return PLAIN.get(schema) or self._compile_named(_full_name(schema, namespace))
            case {"type": dict() | list() as inner}:
                return self.compile(inner, namespace)
            case {"name": _}:
                return self._compile_named(full_name(schema, namespace))
            case {"type": "array" | "map"}:
                return self._compile_collection(schema, namespace)
        kind = schema["type"]
        return LOGICAL.get((kind, schema.get("logicalType"))) or self.compile(kind, namespace)

    def _compile_collection(self, schema: Mapping[str, Any], namespace: str) -> Coercer:
        if schema["type"] == "map":
            return _map(self.compile(schema["values"], namespace))
        if self._may_take_no_bytes(schema["items"], namespace):
            raise ValueError("has an array of items that take no bytes")
        return _array(self.compile(schema["items"], namespace))

    def _compile_named(self, name: str) -> Coercer:
        if name in self._open:
            raise ValueError(f"is recursive: {name} holds itself")
        schema = self._definitions[name]
        if schema["type"] == "enum":
            return _enum(frozenset(schema["symbols"]))
        if schema["type"] == "fixed":
            logical = LOGICAL.get(("fixed", schema.get("logicalType")))
            return logical or _fixed(schema["size"])
        namespace = name.rpartition(".")[0]
        self._open.append(name)
        fields = [
            (field["name"], self.compile(field["type"], namespace), "default" not in field)
            for field in schema["fields"]
        ]
        self._open.pop()
        return _record(fields)

    def _compile_union(self, branches: list[Any], namespace: str) -> Coercer:
        # Arrays last: they also take a string, which another branch may want as it is.
        other_types = sorted(
            (branch for branch in branches if branch != "null"),
            key=lambda branch: isinstance(branch, dict) and branch["type"] == "array",
        )
        coercers = [self.compile(branch, namespace) for branch in other_types]
        coercer = coercers[0] if len(coercers) == 1 else _any(coercers)
        if len(other_types) == len(branches):
            return coercer
        return lambda value: None if value is None else coercer(value)

    def _may_take_no_bytes(self, schema: Any, namespace: str) -> bool:
        match schema:
            case "null":
                return True
            case str() if schema not in PRIMITIVES and schema not in ("array", "map", "enum"):
                name = _full_name(schema, namespace)
                return self._may_take_no_bytes(self._definitions[name], name.rpartition(".")[0])
            case {"type": "record", "fields": fields}:
                space = full_name(schema, namespace).rpartition(".")[0]
                return all(self._may_take_no_bytes(field["type"], space) for field in fields)
            case {"type": "fixed", "size": size}:
                return bool(size == 0)
            case {"type": inner}:
                return self._may_take_no_bytes(inner, namespace)
        return False


def _full_name(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"


def _record(fields: list[tuple[str, Coercer, bool]]) -> Coercer:
    def fit(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise CoercionError("is not an object")
        fitted = {}
        for name, inner, required in fields:
            if name in value:
                try:
                    fitted[name] = inner(value[name])
                except CoercionError as misfit:
                    raise misfit.prefixed(name) from None
            elif required:
                raise CoercionError("is missing").prefixed(name)
        return fitted

    return fit


def _array(item: Coercer) -> Coercer:
    def fit(value: Any) -> Any:
        if isinstance(value, str):
            try:
                return [item(value)]
            except CoercionError:
                raise CoercionError("is not a list") from None
        if not isinstance(value, list | tuple):
            raise CoercionError("is not a list")
        try:
            return [item(element) for element in value]
        except CoercionError as misfit:
            raise misfit.prefixed("[]") from None

    return fit


def _map(inner: Coercer) -> Coercer:
    def fit(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise CoercionError("is not an object")
        try:
            return {PLAIN["string"](key): inner(item) for key, item in value.items()}
        except CoercionError as misfit:
            raise misfit.prefixed("[]") from None

    return fit


def _enum(symbols: frozenset[str]) -> Coercer:
    def fit(value: Any) -> Any:
        if isinstance(value, str) and value in symbols:
            return value
        raise CoercionError(f"is not one of {', '.join(sorted(symbols))}")

    return fit


def _fixed(size: int) -> Coercer:
    def fit(value: Any) -> Any:
        if isinstance(value, bytes) and len(value) == size:
            return value
        raise CoercionError(f"is not {size} bytes")

    return fit


def _any(coercers: list[Coercer]) -> Coercer:
    def fit(value: Any) -> Any:
        for inner in coercers:
            try:
                return inner(value)
            except CoercionError:
                continue
        raise CoercionError("fits no branch of its union")

    return fit
