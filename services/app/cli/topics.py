"""`termijn topics`: compare the settings of topics with their retention requirements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from schemas import topics as catalogue
from services.app.cli.check_failed import CheckFailed
from services.app.cli.options import json_option, show
from services.app.cli.session import open_resources
from services.app.wiring.required_topics import required_topics
from services.app.wiring.resources import Resources
from services.kafka.client import KafkaClient
from services.kafka.topic_admin import TopicAdmin
from services.kafka.topic_checks import TopicCheck, check_topic, format_duration
from services.kafka.topic_retention import retention_requirements
from services.kafka.topic_state import TopicSpec


@click.group()
def topics() -> None:
    """Compare the retention of each topic with what the policy allows."""


@topics.command()
@json_option
@click.option(
    "--strict",
    is_flag=True,
    help="Fail also on topics that only field encryption would make compliant.",
)
def check(as_json: bool, strict: bool) -> None:
    """Check each topic's settings on the brokers against its retention requirement, and name the fix.

    Fails if a topic is missing or keeps data for longer than required.
    """
    with open_resources() as opened:
        checks = _check_topics(opened, TopicAdmin(admin=_kafka_client(opened).admin))
    columns = ("topic", "promised", "lives", "findings", "remarks", "do")
    show(
        (_topic_row(topic_check) for topic_check in checks),
        as_json=as_json,
        title="Topics",
        columns=columns,
    )
    violating = sum(1 for topic_check in checks if topic_check.problems)
    requirements = [topic_check.requirement for topic_check in checks]
    unencrypted = sum(
        1
        for requirement in requirements
        if requirement.plaintext_fields and requirement.immediate_ends
    )
    if violating:
        raise CheckFailed(
            f"{violating} topics violate their retention requirement; run `termijn topics apply`"
        )
    if strict and unencrypted:
        raise CheckFailed(f"{unencrypted} topics need field encryption")


@topics.command()
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
def apply(dry_run: bool) -> None:
    """Create missing topics, and change settings that violate a retention requirement; nothing else.

    Returns when every broker shows the new topics.
    """
    verb = "would have" if dry_run else "has"
    with open_resources() as opened:
        bus = _kafka_client(opened)
        admin = TopicAdmin(admin=bus.admin)
        watched = bus.missing_topics(catalogue.watch_topics(opened.watch_group))
        if not dry_run:
            bus.ensure_topics(watched)
        for topic in watched:
            click.echo(f"{topic.name} {verb} {topic.partitions} new partitions, for the watch")
        checks = _check_topics(opened, admin)
        missing_topics = [topic_check for topic_check in checks if topic_check.state is None]
        if missing_topics and not dry_run:
            bus.create_topics(_new_topic(topic_check) for topic_check in missing_topics)
            checks = _check_topics(
                opened, admin
            )  # a role may have created one with its own settings
        changed = [
            topic_check
            for topic_check in checks
            if topic_check.state is not None and topic_check.changes
        ]
        for topic_check in missing_topics:
            topic = topic_check.requirement.topic
            partitions = f"{topic.partitions} new partitions"
            click.echo(f"{topic.name} {verb} {partitions}, {_describe_changes(topic_check)}")
        for topic_check in changed:
            if not dry_run:
                admin.set_config(topic_check.requirement.topic.name, topic_check.changes)
            click.echo(
                f"{topic_check.requirement.topic.name} {verb} {_describe_changes(topic_check)}"
            )
    if not missing_topics and not changed and not watched:
        click.echo("nothing to do")


def _new_topic(topic_check: TopicCheck) -> TopicSpec:
    topic = topic_check.requirement.topic
    return TopicSpec(name=topic.name, partitions=topic.partitions, settings=topic_check.changes)


def _describe_changes(topic_check: TopicCheck) -> str:
    return ", ".join(f"{name}={value}" for name, value in topic_check.changes.items())


def _kafka_client(opened: Resources) -> KafkaClient:
    bus = opened.kafka_client()
    if bus.is_embedded:
        raise CheckFailed(
            "the embedded broker has no topic settings; set KAFKA_BOOTSTRAP_SERVERS to Kafka brokers"
        )
    return bus


def _check_topics(opened: Resources, admin: TopicAdmin) -> Sequence[TopicCheck]:
    policy = opened.policy()
    required = required_topics(policy).all
    states = admin.describe_topics([topic.name for topic in required])
    requirements = retention_requirements(policy, required, opened.plaintext_fields(policy))
    return [
        check_topic(requirement, states.get(requirement.topic.name)) for requirement in requirements
    ]


def _topic_row(topic_check: TopicCheck) -> dict[str, Any]:
    requirement, state = topic_check.requirement, topic_check.state
    return {
        "topic": requirement.topic.name,
        "kind": requirement.kind,
        "promised": _describe_requirement(topic_check),
        "window_ms": requirement.window_ms,
        "rule": requirement.rule,
        "at_once": list(requirement.immediate_ends),
        "needs_encryption": list(requirement.plaintext_fields)
        if requirement.immediate_ends
        else [],
        "there": state is not None,
        "partitions": state.partitions if state else None,
        "settings": dict(state.settings) if state else {},
        "lives": format_duration(topic_check.max_age_ms) if state else None,
        "life_ms": topic_check.max_age_ms,
        "findings": list(topic_check.problems),
        "remarks": list(topic_check.warnings),
        "do": dict(topic_check.changes),
    }


def _describe_requirement(topic_check: TopicCheck) -> str:
    requirement = topic_check.requirement
    catalogued = f"catalogue: {format_duration(requirement.topic.retention_ms)}"
    if requirement.window_ms is None:
        return catalogued
    return f"{requirement.rule}: {format_duration(requirement.window_ms)}; {catalogued}"
