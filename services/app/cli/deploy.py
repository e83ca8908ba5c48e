"""`termijn deploy`: write the files of a deployment."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import click

from schemas import topics
from schemas.topics import OWN_EVENTS, SIGHTINGS
from services.app import json_schemas, settings_loader
from services.app.reference_tables import filled_pages, reference_tables
from services.app.wiring import resources
from services.app.wiring.required_topics import RequiredTopics, required_topics
from services.kafka.access import deployment_access
from services.operations.manifests import asyncapi, kubernetes, strimzi
from services.operations.manifests.asyncapi import Channel
from services.operations.monitoring.files import write_files


@click.group()
def deploy() -> None:
    """Files for a deployment, generated from what the code runs on."""


@deploy.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--pages",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A source tree; also write the tables of commands, settings and metrics on its pages.",
)
@click.pass_context
def write(context: click.Context, directory: Path, pages: Path | None) -> None:
    """Write the files of a deployment below a directory: topics, users, schemas, manifests.

    The topics that the configured policy needs and their users as Strimzi's KafkaTopic and KafkaUser, and
    with their schemas as an AsyncAPI document; the JSON Schemas of policy, settings and an agent's file;
    manifests for Kubernetes.
    """
    chosen = settings_loader.load()
    with resources.open_resources(chosen) as opened:
        policy = opened.policy()
        schemas = opened.schemas(policy)
    required, group = required_topics(policy), chosen.kafka.group
    log = [*required.all, *topics.watch_topics(f"{group}-watch")]
    users = deployment_access(policy, group)
    documents = {
        **strimzi.files(log, users),
        **asyncapi.files(_channels(required), schemas, version("termijn")),
        **json_schemas.files(),
        **kubernetes.files(version("termijn"), group, policy.systems),
    }
    write_files(directory, documents)
    program = context.find_root().command
    if pages is not None and isinstance(program, click.Group):
        write_files(pages, filled_pages(pages, reference_tables(program)))
    click.echo(f"{directory}: {len(documents)} files, {len(log)} topics, {len(users)} users")


def _channels(required: RequiredTopics) -> Iterator[Channel]:
    for topic in required.business.values():
        is_own = topic.schema in OWN_EVENTS
        yield Channel(
            topic=topic,
            actions=("receive", "send") if is_own else ("receive",),
            description="Termijn publishes and reads these."
            if is_own
            else "A service publishes its events.",
            headers="event",
        )
    systems = tuple(required.commands)
    for make, action, description in (
        (topics.command_topic, "send", "Commands to a system."),
        (topics.acknowledgement_topic, "receive", "Acknowledgements of a system."),
    ):
        yield Channel(
            topic=make("{system}"),
            actions=("send",) if action == "send" else ("receive",),
            description=description,
            systems=systems,
            headers="signed",
        )
    yield Channel(
        topic=topics.TAGGED,
        actions=("send", "receive"),
        description="Tagged events: without their bodies, with purposes and windows.",
    )
    yield Channel(
        topic=topics.DEAD_LETTERS,
        actions=("send", "receive"),
        description="Messages that could not be processed, encrypted.",
    )
    yield Channel(
        topic=topics.EVIDENCE_HEADS,
        actions=("send",),
        description="Signed heads of the evidence log, to be stored elsewhere.",
        headers="signed",
    )
    yield Channel(
        topic=SIGHTINGS,
        actions=("send", "receive"),
        description="Observations of commands by the watch.",
    )
