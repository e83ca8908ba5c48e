"""Commands that wait because a parked event might forbid them (`ledger.blind_spots`)."""

from __future__ import annotations

from services.ledger.blind_spots import BlindSpots
from services.policy.actions import HARMLESS
from services.policy.check_times import clocks_of
from services.policy.model import Policy
from services.policy.tagged_event import TaggedEvent


def is_withheld(
    blind_spots: BlindSpots, action: str, subject: str, tagged: TaggedEvent, policy: Policy
) -> bool:
    """Return whether an action on the record of a subject of an event has to wait.

    Pseudonymisation depends on all subjects that the event names.
    """
    if not blind_spots or action in HARMLESS:
        return False
    subjects = tagged.subjects if action == "pseudonymise" else (subject,)
    return blind_spots.covers(subjects, clocks_of(tagged, subject, policy))
