"""`termijn schemas`: what a registry has to know before anything is written with it."""

from __future__ import annotations

from dataclasses import asdict

import click

from schemas.registry import Registry
from services.app.cli.options import json_option, show
from services.app.cli.session import open_resources
from services.app.wiring.resources import Resources, required_schemas
from services.kafka import schema_registration
from services.operations.doctor.registry import check_registry


class _Differs(click.ClickException):
    """The registry is not as the schemas here are."""


@click.group()
def schemas() -> None:
    """Register and compare schemas: nothing that runs registers any by itself."""


@schemas.command()
def register() -> None:
    """Register every version of every topic's schema, oldest first, under `<topic>-value`.

    Each gets the compatibility FULL_TRANSITIVE, so that the registry itself refuses a change that some
    reader could not cope with. To register again does no harm.
    """
    with open_resources() as opened:
        registry, codec = _registry(opened), opened.codec()
        for topic, _ in required_schemas(opened, opened.policy()):
            click.echo(
                f"{topic.name}: {schema_registration.register_schemas(topic, codec, registry)}"
            )


@schemas.command()
@json_option
def check(as_json: bool) -> None:
    """Compare the registry with the schemas here, and say what to do about each difference.

    What is missing there, what is there and not here, and where a change could break a reader. Fails on
    any of it; changes nothing.
    """
    with open_resources() as opened:
        needed = required_schemas(opened, opened.policy())
        found = list(check_registry(_registry(opened), needed))
    columns = ("target", "state", "what", "mend")
    show(map(asdict, found), as_json=as_json, title="The schema registry", columns=columns)
    if wrong := [one for one in found if one.state != "sound"]:
        raise _Differs(f"{len(wrong)} findings")


def _registry(opened: Resources) -> Registry:
    registry = opened.registry()
    if registry is None:
        raise _Differs("no schema registry is configured: SCHEMA_REGISTRY_URL names it")
    return registry
