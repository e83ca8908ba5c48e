"""`termijn topics`: the log against what is promised of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from schemas import topics as catalogue
from services.app.cli.options import json_option, show
from services.app.cli.session import open_resources
from services.app.wiring.required_topics import required_topics
from services.app.wiring.resources import Resources
from services.kafka.client import KafkaClient
from services.kafka.topic_admin import TopicAdmin
from services.kafka.topic_checks import TopicCheck, check_topic, format_duration
from services.kafka.topic_retention import retention_requirements
from services.kafka.topic_state import Making


class _Unfit(click.ClickException):
    """A topic violates its retention requirement, or the broker has no topic settings."""


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
        judged = _check_topics(opened, TopicAdmin(admin=_kafka_client(opened).admin))
    columns = ("topic", "promised", "lives", "findings", "remarks", "do")
    show((_topic_row(one) for one in judged), as_json=as_json, title="Topics", columns=columns)
    found = sum(1 for one in judged if one.findings)
    encryption = sum(1 for one in judged if one.promise.in_clear and one.promise.at_once)
    if found:
        raise _Unfit(
            f"{found} topics violate their retention requirement; run `termijn topics apply`"
        )
    if strict and encryption:
        raise _Unfit(f"{encryption} topics need field encryption")


@topics.command()
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
def apply(dry_run: bool) -> None:
    """Create missing topics, and change settings that violate a retention requirement; nothing else.

    Returns when every broker shows the new topics.
    """
    done = "would have" if dry_run else "has"
    with open_resources() as opened:
        bus = _kafka_client(opened)
        brokers = TopicAdmin(admin=bus.admin)
        watched = bus.missing(catalogue.watch_topics(opened.watch_group))
        if not dry_run:
            bus.ensure(watched)
        for topic in watched:
            click.echo(f"{topic.name} {done} {topic.partitions} new partitions, for the watch")
        judged = _check_topics(opened, brokers)
        missing = [one for one in judged if one.found is None]
        if missing and not dry_run:
            bus.make(_creating(one) for one in missing)
            judged = _check_topics(opened, brokers)  # a role may have made one of them its own way
        changed = [one for one in judged if one.found is not None and one.changes]
        for one in missing:
            made = f"{one.promise.topic.partitions} new partitions"
            click.echo(f"{one.promise.topic.name} {done} {made}, {_describe(one)}")
        for one in changed:
            if not dry_run:
                brokers.change(one.promise.topic.name, one.changes)
            click.echo(f"{one.promise.topic.name} {done} {_describe(one)}")
    if not missing and not changed and not watched:
        click.echo("nothing to do")


def _creating(judged: TopicCheck) -> Making:
    topic = judged.promise.topic
    return Making(name=topic.name, partitions=topic.partitions, settings=judged.changes)


def _describe(judged: TopicCheck) -> str:
    return ", ".join(f"{name}={value}" for name, value in judged.changes.items())


def _kafka_client(opened: Resources) -> KafkaClient:
    bus = opened.kafka_client()
    if bus.is_embedded:
        raise _Unfit(
            "the embedded broker has no topic settings; set KAFKA_BOOTSTRAP_SERVERS to Kafka brokers"
        )
    return bus


def _check_topics(opened: Resources, brokers: TopicAdmin) -> Sequence[TopicCheck]:
    policy = opened.policy()
    needed = required_topics(policy).all
    found = brokers.found([topic.name for topic in needed])
    promised = retention_requirements(policy, needed, opened.plaintext_fields(policy))
    return [check_topic(one, found.get(one.topic.name)) for one in promised]


def _topic_row(one: TopicCheck) -> dict[str, Any]:
    promise, found = one.promise, one.found
    return {
        "topic": promise.topic.name,
        "kind": promise.kind,
        "promised": _describe_requirement(one),
        "window_ms": promise.window_ms,
        "rule": promise.rule,
        "at_once": list(promise.at_once),
        "needs_encryption": list(promise.in_clear) if promise.at_once else [],
        "there": found is not None,
        "partitions": found.partitions if found else None,
        "settings": dict(found.settings) if found else {},
        "lives": format_duration(one.life_ms) if found else None,
        "life_ms": one.life_ms,
        "findings": list(one.findings),
        "remarks": list(one.remarks),
        "do": dict(one.changes),
    }


def _describe_requirement(one: TopicCheck) -> str:
    promise = one.promise
    own = f"catalogue: {format_duration(promise.topic.retention_ms)}"
    if promise.window_ms is None:
        return own
    return f"{promise.rule}: {format_duration(promise.window_ms)}; {own}"
