"""`termijn deploy`: what a deployment is given."""

from __future__ import annotations

from pathlib import Path

import click

from schemas.catalogue import SIGHTINGS
from services import bootstrap, settings
from services.deploying import strimzi
from services.monitoring.files import write as write_files


@click.group()
def deploy() -> None:
    """Files for a deployment, from the descriptions that the code runs on."""


@deploy.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
def write(directory: Path) -> None:
    """Write the topics that the policy at hand needs, as Strimzi's KafkaTopic, below a directory."""
    with bootstrap.root(settings.load()) as opened:
        needed = bootstrap.topics(opened.policy()).all
    found = strimzi.files([*needed, SIGHTINGS])
    write_files(directory, found)
    click.echo(f"{directory}: {len(found)} files, {len(needed) + 1} topics")
