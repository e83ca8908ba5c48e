"""How long a broker keeps the records of a topic, compared with its retention requirement."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas import topics
from schemas.topics import Topic, acknowledgement_topic, business_topic, command_topic
from services.kafka.topic_checks import (
    TopicState,
    check_topic,
    format_duration,
    max_record_age_ms,
    required_settings,
)
from services.kafka.topic_retention import RetentionRequirement

DAY = 86_400_000
LOOKS = 360_000
APPLICATIONS = RetentionRequirement(
    topic=business_topic("recruitment.application-received"),
    kind="business",
    window_ms=28 * DAY,
    rule="R3a",
    immediate_ends=("erasure request",),
    plaintext_fields=("name",),
)
COMMANDS = RetentionRequirement(topic=command_topic("crm"), kind="own")
SOUND = {
    "cleanup.policy": "delete",
    "retention.ms": str(7 * DAY),
    "retention.bytes": "-1",
    "segment.ms": str(DAY),
    "delete.retention.ms": str(DAY),
    "max.compaction.lag.ms": str(2**63 - 1),
    "message.timestamp.type": "LogAppendTime",
}


def topic_state(_partitions: int = 6, /, **settings: object) -> TopicState:
    """Return a topic as the brokers have it; settings by their names with underscores."""
    changed = {name.replace("_", "."): str(value) for name, value in settings.items()}
    return TopicState(partitions=_partitions, settings={**SOUND, **changed})


def test_a_record_stays_for_the_retention_and_the_segment_time() -> None:
    """The broker's check interval counts too."""
    assert max_record_age_ms(topic_state()) == 8 * DAY + LOOKS


@pytest.mark.parametrize("settings", [{"retention_ms": -1}, {"cleanup_policy": "compact"}])
def test_records_that_are_never_deleted_stay_without_limit(settings: dict[str, object]) -> None:
    """Compaction alone keeps each subject's last event."""
    assert max_record_age_ms(topic_state(**settings)) is None
    problem = "records stay without limit, and R3a ends after 28.0 days"
    assert problem in check_topic(APPLICATIONS, topic_state(**settings)).problems


def test_a_correct_topic_is_only_advised_to_encrypt() -> None:
    """An erasure request cannot delete from the log."""
    judged = check_topic(APPLICATIONS, topic_state())
    assert (judged.problems, judged.changes) == ((), {})
    assert judged.warnings == ("needs field encryption: erasure request",)


def test_a_fully_encrypted_topic_has_no_findings() -> None:
    """The keys are destroyed instead, so the log may be kept for longer."""
    encrypted = replace(APPLICATIONS, plaintext_fields=(), window_ms=None, rule=None)
    judged = check_topic(encrypted, topic_state(retention_ms=3650 * DAY))
    assert (judged.problems, judged.warnings) == ((), ())


def test_the_time_of_an_open_segment_counts() -> None:
    """Retention alone would be short enough."""
    judged = check_topic(APPLICATIONS, topic_state(retention_ms=27 * DAY, segment_ms=7 * DAY))
    assert judged.problems == ("records stay 34.0 days, and R3a ends after 28.0 days",)
    assert judged.changes == {"retention.ms": str(7 * DAY), "segment.ms": str(DAY)}


def test_the_exact_term_is_allowed_and_a_millisecond_more_is_not() -> None:
    """The term is a maximum."""
    retention = 27 * DAY - LOOKS
    assert check_topic(APPLICATIONS, topic_state(retention_ms=retention)).problems == ()
    assert check_topic(APPLICATIONS, topic_state(retention_ms=retention + 1)).problems != ()


def test_unencrypted_records_may_stay_for_a_month_at_most() -> None:
    """Within a month a person must be informed that the data was erased."""
    orders = replace(APPLICATIONS, window_ms=730 * DAY, rule="D4")
    judged = check_topic(orders, topic_state(retention_ms=60 * DAY))
    assert judged.problems == (
        "records stay 61.0 days unencrypted, and erasure request ends it at once",
    )
    assert (
        check_topic(
            replace(orders, plaintext_fields=()), topic_state(retention_ms=60 * DAY)
        ).problems
        == ()
    )


def test_compaction_is_reported_and_removed() -> None:
    """It would delete events, and never a subject's last one."""
    judged = check_topic(APPLICATIONS, topic_state(cleanup_policy="compact,delete"))
    assert judged.problems[0].startswith("compaction keeps only the last event of each subject")
    assert judged.changes == {"cleanup.policy": "delete"}


def test_a_topic_with_a_limit_in_bytes_is_reported() -> None:
    """Events that were not read yet could be deleted."""
    judged = check_topic(APPLICATIONS, topic_state(retention_bytes=1_000_000))
    assert judged.problems == (
        "records are deleted by size: messages that are not read yet would be lost",
    )
    assert judged.changes == {"retention.bytes": "-1"}


@pytest.mark.parametrize(
    ("retention_ms", "finding"),
    [
        (14 * DAY, None),
        (30 * DAY, "records stay 32.0 days, and its term is 16.0 days"),
        (
            13 * DAY,
            "records are deleted before its term: messages that are not read yet would be lost",
        ),
    ],
)
def test_termijns_own_topics_have_the_retention_of_the_catalogue(
    retention_ms: int, finding: str | None
) -> None:
    """Neither longer nor shorter."""
    judged = check_topic(COMMANDS, topic_state(3, retention_ms=retention_ms, segment_ms=2 * DAY))
    assert judged.problems == ((finding,) if finding else ())
    assert judged.changes.get("retention.ms") == (str(14 * DAY) if finding else None)


def test_a_missing_topic_is_made_with_all_its_settings() -> None:
    """The settings are those of the catalogue."""
    judged = check_topic(COMMANDS, None)
    assert (judged.state, judged.problems) == (None, ("does not exist",))
    assert judged.changes == {
        "cleanup.policy": "delete",
        "retention.ms": str(14 * DAY),
        "retention.bytes": "-1",
        "segment.ms": str(2 * DAY),
    }


def test_a_business_topic_with_timestamps_of_its_publishers_is_reported() -> None:
    """A publisher that sets the timestamp could present an old event as a live one."""
    judged = check_topic(APPLICATIONS, topic_state(message_timestamp_type="CreateTime"))
    assert judged.problems == (
        "senders set the time of a message, so an old event could be taken for a new one",
    )
    assert judged.changes == {"message.timestamp.type": "LogAppendTime"}


def test_termijns_own_topics_may_have_timestamps_of_their_senders() -> None:
    """Nothing depends on them there."""
    state = topic_state(
        3, retention_ms=14 * DAY, segment_ms=2 * DAY, message_timestamp_type="CreateTime"
    )
    assert check_topic(COMMANDS, state).problems == ()


def test_a_term_shorter_than_the_catalogues_retention_counts() -> None:
    """Eight segments of it fit, with the time in which the broker looks."""
    short = replace(APPLICATIONS, window_ms=DAY)
    settings = required_settings(short)
    assert (
        check_topic(
            short, topic_state(**{k.replace(".", "_"): v for k, v in settings.items()})
        ).problems
        == ()
    )
    assert int(settings["retention.ms"]) == (DAY - LOOKS) * 7 // 8


@pytest.mark.parametrize(
    "topic",
    [
        business_topic("a.b"),
        topics.TAGGED,
        topics.DEAD_LETTERS,
        command_topic("crm"),
        acknowledgement_topic("crm"),
    ],
    ids=lambda topic: topic.name,
)
def test_the_catalogues_retention_fits_into_the_shortest_month(topic: Topic) -> None:
    """Segments included: dead letters, above all, contain whole events."""
    promise = RetentionRequirement(topic=topic, kind="own", window_ms=28 * DAY, rule="R3a")
    settings = {name.replace(".", "_"): value for name, value in required_settings(promise).items()}
    assert settings["retention_ms"] == str(topic.retention_ms)
    assert check_topic(promise, topic_state(topic.partitions, **settings)).problems == ()


def test_another_number_of_partitions_is_reported_and_not_changed() -> None:
    """A key would move to another partition, and order would be lost."""
    judged = check_topic(COMMANDS, topic_state(4, retention_ms=14 * DAY, segment_ms=2 * DAY))
    assert judged.changes == {}
    assert judged.warnings == (
        "must have 3 partitions, got 4; they stay, since a change would move keys to other partitions",
    )


def test_a_short_retention_of_a_business_topic_is_a_warning() -> None:
    """It is allowed, but a tagger must not be stopped for long."""
    judged = check_topic(
        replace(APPLICATIONS, plaintext_fields=()), topic_state(retention_ms=DAY, segment_ms=DAY)
    )
    assert judged.warnings == (
        "records stay 2.0 days: a tagger that is down for longer loses events",
    )


@pytest.mark.parametrize(
    ("ms", "words"), [(None, "without limit"), (DAY, "24.0 hours"), (2 * DAY, "2.0 days")]
)
def test_a_duration_is_written_for_people(ms: int | None, words: str) -> None:
    """Messages to operators have it in this form."""
    assert format_duration(ms) == words
