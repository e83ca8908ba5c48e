"""`termijn policy schemas`: write the Avro schemas that follow from a policy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from schemas.errors import InvalidSchema
from schemas.registry import Registry
from schemas.schema_files import load as load_schemas
from schemas.schema_files import parse_schema
from schemas.schema_versions import Schema, SchemaSet
from schemas.topics import business_topic
from services.app.cli.check_failed import CheckFailed
from services.app.cli.options import json_option
from services.app.cli.output import say, say_json
from services.app.cli.session import open_resources
from services.events.derived_schemas import compare_schemas, next_versions
from services.policy.loader import load
from services.policy.model import Policy


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
@click.option(
    "--policy",
    "file",
    type=click.Path(path_type=Path),
    help="The policy file; by default the configured one.",
)
@click.option(
    "--registry",
    "from_registry",
    is_flag=True,
    help="For a type without a file write the versions that the schema registry has, if it has any.",
)
@json_option
def schemas(directory: Path, file: Path | None, from_registry: bool, as_json: bool) -> None:
    """Write the schema files that a policy lacks into DIR, which is then part of TERMIJN_SCHEMAS.

    An event type without a file gets version 1, from its fields. One whose newest file lacks fields of the
    policy gets the next version, which has them too. Files that exist are never changed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with open_resources() as opened:
        the_policy = load(file or opened.settings.storage.policy)
        others = [
            path
            for path in opened.settings.storage.schemas
            if path.resolve() != directory.resolve()
        ]
        registered: Mapping[tuple[str, int], Any] = {}
        if from_registry:
            registry = opened.registry()
            if registry is None:
                raise CheckFailed("no schema registry is configured; set SCHEMA_REGISTRY_URL")
            registered = _registered_versions(
                the_policy, load_schemas(*others, directory), registry
            )
    known = [*_all_versions(load_schemas(*others, directory)), *_parse_all(registered)]
    lacking = next_versions(the_policy, SchemaSet(known))
    SchemaSet([*known, *_parse_all(lacking)])  # every version can read every other
    for (name, version), definition in {**registered, **lacking}.items():
        path = directory / f"{name}.{version}.avsc"
        path.write_text(json.dumps(definition, indent=2, ensure_ascii=False) + "\n", "utf-8")
        if as_json:
            say_json({"type": name, "version": version, "file": str(path)})
        else:
            say(path)
    report_differences(the_policy, load_schemas(*others, directory), what=str(directory))


def report_differences(policy: Policy, schemas: SchemaSet, what: str) -> None:
    """Fail with every difference between a policy's fields and the schema files."""
    problems = [
        f"{'.'.join(map(str, path))}: {why}" for path, why in compare_schemas(policy, schemas)
    ]
    if problems:
        raise CheckFailed(
            "\n".join((f"{what}: {len(problems)} fields do not fit the policy", *problems))
        )


def _registered_versions(
    policy: Policy, schemas: SchemaSet, registry: Registry
) -> dict[tuple[str, int], Any]:
    return {
        (name, version.version): json.loads(version.text)
        for name in policy.events
        if name not in schemas.names
        for version in registry.list_versions(business_topic(name).name)
    }


def _all_versions(schemas: SchemaSet) -> list[Schema]:
    return [schema for name in schemas.names for schema in schemas.versions(name)]


def _parse_all(versions: Mapping[tuple[str, int], Any]) -> Iterator[Schema]:
    for (name, version), definition in versions.items():
        try:
            yield parse_schema(name, version, definition)
        # Text of a registry makes a parser raise whatever Python's types raise.
        except Exception as cause:
            why = f"is not a usable schema: {cause or type(cause).__name__}"
            raise InvalidSchema(f"{name}.{version}.avsc", why) from cause
