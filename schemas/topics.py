"""Every Kafka topic: its schema, key, partitions and retention.

Roles and deployment both use it. The log contains personal data too, and Kafka deletes whole segments,
so a topic's segments must be much shorter than its retention.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

BUSINESS_TYPES: tuple[str, ...] = (
    "acquisition.lead-acquired",
    "acquisition.lead-contacted",
    "acquisition.prospect-informed",
    "administration.request-handled",
    "administration.request-received",
    "billing.invoice-issued",
    "billing.purchase-invoice-received",
    "contact.message-received",
    "contact.message-resolved",
    "credit.check-performed",
    "customers.customer-details-changed",
    "customers.customer-reinstated",
    "customers.customer-signed-up",
    "customers.customer-terminated",
    "helpdesk.ticket-opened",
    "helpdesk.ticket-resolved",
    "orders.order-placed",
    "privacy.complaint-answered",
    "privacy.complaint-received",
    "privacy.consent-given",
    "privacy.consent-withdrawn",
    "privacy.hold-placed",
    "privacy.hold-released",
    "privacy.identity-verified",
    "privacy.objection-decided",
    "privacy.objection-raised",
    "privacy.request-answered",
    "privacy.request-extended",
    "privacy.request-received",
    "privacy.request-refused",
    "privacy.restriction-lifted",
    "purchases.purchase-made",
    "recruitment.application-closed",
    "recruitment.application-received",
    "research.survey-answered",
    "research.survey-invited",
    "suppliers.contact-person-changed",
    "suppliers.supplier-ended",
    "suppliers.supplier-engaged",
    "website.feedback-given",
)
"""The event types that ship with a schema; a company adds its own files for its own types."""

OWN_EVENTS: tuple[str, ...] = ("privacy.request-answered", "privacy.request-refused")
"""The business events that only Termijn itself publishes."""

_DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A Kafka topic."""

    name: str
    schema: str
    """The schema of its values, in any of its versions: an event type, or a name under `retention/`."""
    key: str
    """A description of its messages' key."""
    partitions: int
    retention_ms: int | None
    """How long Kafka keeps a message, in milliseconds; None: permanently."""
    cleanup: Literal["delete", "compact"] = "delete"
    dated_by_broker: bool = False
    """Whether the broker, and not the sender, must set a message's timestamp."""

    @property
    def segment_ms(self) -> int:
        """How long a segment is written, in milliseconds: much shorter than the retention."""
        return (self.retention_ms or 7 * _DAY_MS) // 7

    @property
    def timestamps(self) -> Mapping[str, str]:
        """Kafka's setting of the timestamps' origin, if that matters."""
        return {"message.timestamp.type": "LogAppendTime"} if self.dated_by_broker else {}


def business_topic(event_type: str) -> Topic:
    """Return the topic of a business event type, shipped or a company's own."""
    return Topic(
        name=f"{event_type}.v1",
        schema=event_type,
        key="the data subject, as kind:id",
        partitions=6,
        retention_ms=7 * _DAY_MS,
        dated_by_broker=True,
    )


def event_type_from_topic(topic: str) -> str:
    """Return the event type of a business topic's name."""
    return topic.removesuffix(".v1")


TAGGED = Topic(
    name="retention.tagged.v1",
    schema="tagged",
    key="the data subject, as kind:id; for an event that names none, the clock that it moves",
    partitions=6,
    retention_ms=7 * _DAY_MS,
)
# Retention and segment together are shorter than a month, the shortest term but one: a dead letter must
# not outlive the data that it is about.
DEAD_LETTERS = Topic(
    name="retention.dead-letters.v1",
    schema="dead-letter",
    key="topic, partition and offset of the original",
    partitions=1,
    retention_ms=24 * _DAY_MS,
)
# Permanently: a reader who comes later needs every head.
EVIDENCE_HEADS = Topic(
    name="retention.evidence-heads.v1",
    schema="evidence-head",
    key="none",
    partitions=1,
    retention_ms=None,
)

SIGHTINGS = Topic(
    name="retention.sightings.v1",
    schema="sighting",
    key="the command's id",
    partitions=6,
    retention_ms=1 * _DAY_MS,
)
"""The watch's observations of commands, with all of one command in one partition."""

_WATCH_TABLES = ("watched", "counted")
"""The watch's tables, each with a changelog topic of its own."""


def watch_topics(app: str) -> list[Topic]:
    """Return the topics that the watch with group `app` writes: sightings and its tables' changelogs."""
    return [
        SIGHTINGS,
        *(
            Topic(
                name=f"{app}-{table}-changelog",
                schema="",
                key="as Faust writes it",
                partitions=SIGHTINGS.partitions,
                retention_ms=SIGHTINGS.retention_ms,
                cleanup="compact",
            )
            for table in _WATCH_TABLES
        ),
    ]


def command_topic(system: str) -> Topic:
    """Return the topic of a system's commands."""
    return Topic(
        name=f"retention.commands.{system}.v1",
        schema="command",
        key="one of 16 lanes, by the data subject, or by the event's id where no subject may be named",
        partitions=3,
        retention_ms=14 * _DAY_MS,
    )


def acknowledgement_topic(system: str) -> Topic:
    """Return the topic of a system's acknowledgements."""
    return Topic(
        name=f"retention.acks.{system}.v1",
        schema="acknowledgement",
        key="the key of the commands",
        partitions=3,
        retention_ms=14 * _DAY_MS,
    )
