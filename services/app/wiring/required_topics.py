"""The topics that a policy needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schemas import topics as catalogue
from schemas.topics import Topic
from services.policy.model import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class RequiredTopics:
    """The topics that a policy needs."""

    business: dict[str, Topic]
    commands: dict[str, Topic]
    acknowledgements: dict[str, Topic]

    @property
    def all(self) -> Sequence[Topic]:
        """All of them."""
        internal = (catalogue.TAGGED, catalogue.DEAD_LETTERS, catalogue.EVIDENCE_HEADS)
        return [
            *self.business.values(),
            *internal,
            *self.commands.values(),
            *self.acknowledgements.values(),
        ]


def required_topics(policy: Policy) -> RequiredTopics:
    """Return the topics that the policy needs: business topics by name, the others by system."""
    business = [catalogue.business_topic(event_type) for event_type in policy.events]
    return RequiredTopics(
        business={topic.name: topic for topic in business},
        commands={system: catalogue.command_topic(system) for system in policy.systems},
        acknowledgements={
            system: catalogue.acknowledgement_topic(system) for system in policy.systems
        },
    )
