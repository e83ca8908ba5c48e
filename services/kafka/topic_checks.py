"""Judging: what a broker does with a topic against what is promised of it. Pure.

Kafka erases closed segments whole, by their latest record. So a record lives for `retention.ms` and the
time in which its segment was open (`segment.ms`), and until the broker looks next.
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
"""What decides how long a record lives, and who says when it came, as Kafka calls it."""
RETENTION_CHECK_MS = 6 * 60 * 1000
"""The broker looks every five minutes, and removes the files a minute later (its own defaults)."""
MONTH_MS = 28 * 24 * 60 * 60 * 1000
"""Within a month a person has to be told that it was done (GDPR 12(3)): no log in clear may live longer."""
_FOR_EVER = -1
_SEGMENTS = 7
"""A record is in one of so many segments: one must be closed long before its first message is to go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicState:
    """A topic as the brokers have it."""

    partitions: int
    settings: Mapping[str, str]
    """By Kafka's names, with the brokers' defaults where the topic has none of its own."""

    def number(self, name: str) -> int:
        """A setting that is a number."""
        return int(self.settings.get(name, _FOR_EVER))


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicCheck:
    """What there is to say of a topic."""

    promise: RetentionRequirement
    found: TopicState | None
    """Nothing where the topic is not there."""
    life_ms: int | None = None
    """How long a record lives at most; None: for ever."""
    findings: tuple[str, ...] = ()
    """What breaks a promise."""
    remarks: tuple[str, ...] = ()
    """What no setting of a topic can bring about, or is only to be known."""
    changes: Mapping[str, str] = field(default_factory=dict)
    """What `apply` sets; for a topic that is not there, all that it is made with."""


def check_topic(promise: RetentionRequirement, found: TopicState | None) -> TopicCheck:
    """Compare one topic."""
    if found is None:
        return TopicCheck(
            promise=promise,
            found=None,
            findings=("is not there",),
            changes=required_settings(promise),
        )
    life = max_record_age_ms(found)
    findings = dict(_findings(promise, found, life))
    want = required_settings(promise)
    changes = {
        name: want[name]
        for names in findings.values()
        for name in names
        if found.settings.get(name) != want[name]
    }
    return TopicCheck(
        promise=promise,
        found=found,
        life_ms=life,
        findings=tuple(findings),
        remarks=tuple(_remarks(promise, found, life)),
        changes=changes,
    )


def required_settings(promise: RetentionRequirement) -> dict[str, str]:
    """The settings with which a topic keeps its promise: the catalogue's, shorter where a term is."""
    topic = promise.topic
    retention = topic.retention_ms
    segment = topic.segment_ms
    if retention is not None and promise.window_ms is not None:
        fits = max((promise.window_ms - RETENTION_CHECK_MS) * _SEGMENTS // (_SEGMENTS + 1), 1)
        if fits < retention:
            retention, segment = fits, max(fits // _SEGMENTS, 1)
    return {
        "cleanup.policy": topic.cleanup,
        "retention.ms": str(_FOR_EVER if retention is None else retention),
        "retention.bytes": str(_FOR_EVER),
        "segment.ms": str(segment),
        **topic.timestamps,
    }


def max_record_age_ms(found: TopicState) -> int | None:
    """How long a record lives at most, in milliseconds; None: for ever."""
    retention = found.number("retention.ms")
    if "delete" not in _cleanup(found) or retention == _FOR_EVER:
        return None
    return retention + found.number("segment.ms") + RETENTION_CHECK_MS


def format_duration(ms: int | None) -> str:
    """A length of time for people: days to one place, or hours below two days."""
    if ms is None:
        return "for ever"
    days = timedelta(milliseconds=ms) / timedelta(days=1)
    return f"{days:.1f} days" if days >= 2 else f"{days * 24:.1f} hours"


def _findings(
    promise: RetentionRequirement, found: TopicState, life: int | None
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What breaks a promise, each with the settings that mend it."""
    times = ("cleanup.policy", "retention.ms", "segment.ms")
    lives = f"a record lives {format_duration(life)}"
    if "compact" in _cleanup(found) and promise.topic.cleanup == "delete":
        lag = found.number("max.compaction.lag.ms")
        kept = "for ever" if lag < 0 or lag >= 2**63 - 1 else format_duration(lag)
        yield (
            "compaction keeps the last event of each subject and drops the others"
            f" (within {kept}; deletions stay {format_duration(found.number('delete.retention.ms'))})",
            times,
        )
    if _longer(life, promise.window_ms):
        yield f"{lives}, and {promise.rule} ends after {format_duration(promise.window_ms)}", times
    elif promise.kind == "own" and _longer(life, _promised(promise.topic)):
        yield f"{lives}, and its term is {format_duration(_promised(promise.topic))}", times
    elif promise.in_clear and promise.at_once and _longer(life, MONTH_MS):
        yield f"{lives} in clear, and {promise.at_once[0]} ends it at once", times
    if promise.kind == "own" and _shorter(found, promise.topic):
        yield "is kept shorter than its term: what is not read yet would be lost", times
    if found.number("retention.bytes") != _FOR_EVER:
        yield "is cut by size: what is not read yet would be lost", ("retention.bytes",)
    dated = promise.topic.timestamps
    if any(found.settings.get(name) != value for name, value in dated.items()):
        yield "its senders say when a message came: an old event passes for a new one", tuple(dated)


def _remarks(promise: RetentionRequirement, found: TopicState, life: int | None) -> Iterator[str]:
    if promise.in_clear and promise.at_once:
        yield f"needs field encryption: {', '.join(promise.at_once)}"
    if found.partitions != promise.topic.partitions:
        yield (
            f"has {found.partitions} partitions, not {promise.topic.partitions}: left as it is,"
            " since other partitions would get the same keys"
        )
    if promise.kind == "business" and _shorter(found, promise.topic) and life is not None:
        yield f"lives {format_duration(life)}: a tagger that stands still for so long loses events"


def _cleanup(found: TopicState) -> list[str]:
    return [one.strip() for one in found.settings.get("cleanup.policy", "delete").split(",")]


def _promised(topic: Topic) -> int | None:
    return (
        None
        if topic.retention_ms is None
        else topic.retention_ms + topic.segment_ms + RETENTION_CHECK_MS
    )


def _longer(life: int | None, limit: int | None) -> bool:
    return limit is not None and (life is None or life > limit)


def _shorter(found: TopicState, topic: Topic) -> bool:
    kept = found.number("retention.ms")
    return kept != _FOR_EVER and (topic.retention_ms is None or kept < topic.retention_ms)
