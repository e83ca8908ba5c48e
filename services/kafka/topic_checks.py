"""Topic checks: compare a topic's settings on the brokers with its retention requirement. Pure.

Kafka deletes closed segments whole, by their latest record. So a record stays for `retention.ms`, plus the
time in which its segment was open (`segment.ms`), plus the time until the broker's next check.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from schemas.topics import Topic
from services.kafka.topic_retention import RetentionRequirement

SETTINGS = (
    "cleanup.policy",
    "retention.ms",
    "retention.bytes",
    "segment.ms",
    "delete.retention.ms",
    "max.compaction.lag.ms",
    "message.timestamp.type",
)
"""Kafka's settings that decide how long a record stays, and whose timestamp counts."""
RETENTION_CHECK_MS = 6 * 60 * 1000
"""The broker checks every five minutes, and deletes the files a minute later (Kafka's defaults)."""
MONTH_MS = 28 * 24 * 60 * 60 * 1000
"""A person is informed within a month (GDPR 12(3)): no log with plaintext may be kept for longer."""
_UNLIMITED = -1
_SEGMENTS_PER_RETENTION = 7
"""Segments in one retention time: each must be closed long before its first message is deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicState:
    """A topic's partitions and settings on the brokers."""

    partitions: int
    settings: Mapping[str, str]
    """By Kafka's names, with the brokers' defaults where the topic sets none."""

    def int_setting(self, name: str) -> int:
        """Return a setting as a number; -1 if it is missing."""
        return int(self.settings.get(name, _UNLIMITED))


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicCheck:
    """The result of checking a topic."""

    requirement: RetentionRequirement
    state: TopicState | None
    """None if the topic does not exist."""
    max_age_ms: int | None = None
    """How long a record stays at most, in milliseconds; None: without limit."""
    problems: tuple[str, ...] = ()
    """What violates the requirement."""
    warnings: tuple[str, ...] = ()
    """What no setting of a topic can fix, or what an operator should only know."""
    changes: Mapping[str, str] = field(default_factory=dict)
    """The settings that `apply` changes; for a topic that does not exist, all that it is created with."""


def check_topic(requirement: RetentionRequirement, state: TopicState | None) -> TopicCheck:
    """Check one topic; `state` is None if it does not exist."""
    if state is None:
        return TopicCheck(
            requirement=requirement,
            state=None,
            problems=("does not exist",),
            changes=required_settings(requirement),
        )
    max_age_ms = max_record_age_ms(state)
    problems = dict(_problems(requirement, state, max_age_ms))
    required = required_settings(requirement)
    changes = {
        name: required[name]
        for names in problems.values()
        for name in names
        if state.settings.get(name) != required[name]
    }
    return TopicCheck(
        requirement=requirement,
        state=state,
        max_age_ms=max_age_ms,
        problems=tuple(problems),
        warnings=tuple(_warnings(requirement, state, max_age_ms)),
        changes=changes,
    )


def required_settings(requirement: RetentionRequirement) -> dict[str, str]:
    """Return the settings that fulfil a requirement: the catalogue's, or less if a term is shorter."""
    topic = requirement.topic
    retention = topic.retention_ms
    segment = topic.segment_ms
    if retention is not None and requirement.window_ms is not None:
        longest_retention = max(
            (requirement.window_ms - RETENTION_CHECK_MS)
            * _SEGMENTS_PER_RETENTION
            // (_SEGMENTS_PER_RETENTION + 1),
            1,
        )
        if longest_retention < retention:
            retention, segment = (
                longest_retention,
                max(longest_retention // _SEGMENTS_PER_RETENTION, 1),
            )
    return {
        "cleanup.policy": topic.cleanup,
        "retention.ms": str(_UNLIMITED if retention is None else retention),
        "retention.bytes": str(_UNLIMITED),
        "segment.ms": str(segment),
        **topic.timestamps,
    }


def max_record_age_ms(state: TopicState) -> int | None:
    """Return how long a record stays at most, in milliseconds; None: without limit."""
    retention = state.int_setting("retention.ms")
    if "delete" not in _cleanup_policies(state) or retention == _UNLIMITED:
        return None
    return retention + state.int_setting("segment.ms") + RETENTION_CHECK_MS


def format_duration(ms: int | None) -> str:
    """Format a duration: days to one decimal place, or hours below two days."""
    if ms is None:
        return "without limit"
    days = timedelta(milliseconds=ms) / timedelta(days=1)
    return f"{days:.1f} days" if days >= 2 else f"{days * 24:.1f} hours"


def _problems(
    requirement: RetentionRequirement, state: TopicState, max_age_ms: int | None
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield what violates a requirement, each with the settings that fix it."""
    age_settings = ("cleanup.policy", "retention.ms", "segment.ms")
    lifetime = f"records stay {format_duration(max_age_ms)}"
    if "compact" in _cleanup_policies(state) and requirement.topic.cleanup == "delete":
        lag = state.int_setting("max.compaction.lag.ms")
        max_lag = "without limit" if lag < 0 or lag >= 2**63 - 1 else format_duration(lag)
        deletions = format_duration(state.int_setting("delete.retention.ms"))
        yield (
            "compaction keeps only the last event of each subject"
            f" (after {max_lag}; deletions stay {deletions})",
            age_settings,
        )
    if _is_longer(max_age_ms, requirement.window_ms):
        yield (
            f"{lifetime}, and {requirement.rule} ends after {format_duration(requirement.window_ms)}",
            age_settings,
        )
    elif requirement.kind == "own" and _is_longer(max_age_ms, _own_term_ms(requirement.topic)):
        yield (
            f"{lifetime}, and its term is {format_duration(_own_term_ms(requirement.topic))}",
            age_settings,
        )
    elif (
        requirement.plaintext_fields
        and requirement.immediate_ends
        and _is_longer(max_age_ms, MONTH_MS)
    ):
        yield (
            f"{lifetime} unencrypted, and {requirement.immediate_ends[0]} ends it at once",
            age_settings,
        )
    if requirement.kind == "own" and _is_retention_shorter(state, requirement.topic):
        yield (
            "records are deleted before its term: messages that are not read yet would be lost",
            age_settings,
        )
    if state.int_setting("retention.bytes") != _UNLIMITED:
        yield (
            "records are deleted by size: messages that are not read yet would be lost",
            ("retention.bytes",),
        )
    timestamp_settings = requirement.topic.timestamps
    if any(state.settings.get(name) != value for name, value in timestamp_settings.items()):
        yield (
            "senders set the time of a message, so an old event could be taken for a new one",
            tuple(timestamp_settings),
        )


def _warnings(
    requirement: RetentionRequirement, state: TopicState, max_age_ms: int | None
) -> Iterator[str]:
    if requirement.plaintext_fields and requirement.immediate_ends:
        yield f"needs field encryption: {', '.join(requirement.immediate_ends)}"
    if state.partitions != requirement.topic.partitions:
        yield (
            f"must have {requirement.topic.partitions} partitions, got {state.partitions}; they stay, since"
            " a change would move keys to other partitions"
        )
    if (
        requirement.kind == "business"
        and _is_retention_shorter(state, requirement.topic)
        and max_age_ms is not None
    ):
        yield f"records stay {format_duration(max_age_ms)}: a tagger that is down for longer loses events"


def _cleanup_policies(state: TopicState) -> list[str]:
    return [policy.strip() for policy in state.settings.get("cleanup.policy", "delete").split(",")]


def _own_term_ms(topic: Topic) -> int | None:
    return (
        None
        if topic.retention_ms is None
        else topic.retention_ms + topic.segment_ms + RETENTION_CHECK_MS
    )


def _is_longer(max_age_ms: int | None, limit: int | None) -> bool:
    return limit is not None and (max_age_ms is None or max_age_ms > limit)


def _is_retention_shorter(state: TopicState, topic: Topic) -> bool:
    retention_ms = state.int_setting("retention.ms")
    return retention_ms != _UNLIMITED and (
        topic.retention_ms is None or retention_ms < topic.retention_ms
    )
