"""`termijn schemas`: what a registry has to know before anything is written with it."""

from __future__ import annotations

import click

from services import bootstrap, settings


@click.group()
def schemas() -> None:
    """Register schemas: nothing that runs registers any by itself."""


@schemas.command()
def register() -> None:
    """Register every version of every topic's schema, oldest first, under `<topic>-value`.

    The registry itself refuses what its compatibility does not allow. To register again does no harm.
    """
    with bootstrap.root(settings.load()) as opened:
        codec = opened.codec()
        needed = bootstrap.topics(opened.policy()).all
        for topic in needed:
            click.echo(f"{topic.name}: {codec.register(topic)}")
