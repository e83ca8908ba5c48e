"""`termijn schemas`: register schemas in a schema registry, and compare the two."""

from __future__ import annotations

import click

from schemas.registry import Registry
from services.app.cli.check_failed import CheckFailed
from services.app.cli.options import json_option, show
from services.app.cli.session import open_resources
from services.app.wiring.resources import Resources, required_schemas
from services.kafka import schema_registration
from services.operations.doctor.registry import check_registry


@click.group()
def schemas() -> None:
    """Register and compare schemas; no role registers a schema on its own."""


@schemas.command()
def register() -> None:
    """Register every version of every topic's schema, oldest first, under `<topic>-value`.

    Sets the compatibility FULL_TRANSITIVE, so that the registry rejects a change that would break a reader.
    Registering again does no harm.
    """
    with open_resources() as opened:
        policy = opened.policy()
        registry, codec = _registry(opened), opened.codec(policy)
        for topic, _ in required_schemas(opened, policy):
            click.echo(
                f"{topic.name}: {schema_registration.register_schemas(topic, codec, registry)}"
            )


@schemas.command()
@json_option
def check(as_json: bool) -> None:
    """Compare the registry with the schema files, and name the fix for each difference.

    Reports missing and unknown versions, and where a change could break a reader. Fails on any of them;
    changes nothing.
    """
    with open_resources() as opened:
        required = required_schemas(opened, opened.policy())
        findings = list(check_registry(_registry(opened), required))
    columns = ("target", "state", "result", "fix")
    rows = (finding.to_row() for finding in findings)
    show(rows, as_json=as_json, title="Schema registry", columns=columns)
    if differences := [finding for finding in findings if finding.state != "ok"]:
        raise CheckFailed(f"{len(differences)} differences")


def _registry(opened: Resources) -> Registry:
    registry = opened.registry()
    if registry is None:
        raise CheckFailed("no schema registry is configured; set SCHEMA_REGISTRY_URL")
    return registry
