"""The old rules that the model must refuse: each with the world that shows why, and what it breaks."""

from __future__ import annotations

from dataclasses import dataclass

from tests.model.checker import STUCK
from tests.model.deleter import HOLD, MINIMUM, POLICY, UNREAD
from tests.model.outside import KNOWN, OBEYED, TRUE


@dataclass(frozen=True)
class OldRule:
    """A way of doing it that breaks a promise."""

    hole: str
    """Where it was found."""
    rule: str
    world: str
    breaks: str


REFUSED = [
    OldRule("A1", "emission decides nothing", "policy", POLICY),
    OldRule("A2", "emission is blind", "slow", UNREAD),
    OldRule("A3", "the active policy is not locked", "dating", STUCK),
    OldRule("A4", "subjects are not locked", "recorders", STUCK),
    OldRule("A5", "what emission drops stays", "clock", STUCK),
    OldRule("A6 time", "an event's time is believed", "old time", MINIMUM),
    OldRule("A6 keys", "keys are believed", "stranger", MINIMUM),
    OldRule("A7", "what is parked is recorded", "parked", UNREAD),
    OldRule("A8", "what is not shown is empty", "slow", UNREAD),
    OldRule("B6, ids from contents", "ids follow from contents", "hold", STUCK),
    OldRule("C2", "a failed recall counts", "recall refused", TRUE),
    OldRule("C4", "recalls wait behind a pause", "recall refused", STUCK),
    OldRule("a hold is passed by", "emission decides nothing", "hold", HOLD),
    OldRule("produce before commit", "produce before commit", "hold", KNOWN),
    OldRule("recall by command", "recalls name commands", "halved", OBEYED),
    OldRule("items renumbered", "items are renumbered", "two", TRUE),
    OldRule("a lower attempt", "a lower attempt frees", "two", TRUE),
    OldRule("refused for a whole", "refused speaks for a whole", "two", TRUE),
    OldRule("a topic unread", "the agent obeys unread", "hold", OBEYED),
    OldRule("an inbox lost", "positions outlive the inbox", "inbox", OBEYED),
    OldRule("sums across plans", "sums are compared across plans", "policy", POLICY),
    OldRule("no adoption", "nothing is adopted", "restored ledger", KNOWN),
    OldRule("proof by omission", "what is not checked is proven", "proof", TRUE),
    OldRule("done without a count", "done has no count", "answers", TRUE),
    OldRule("ruling 2", "ends are never too old", "slow", UNREAD),
    OldRule("ruling 9, numbers", "numbers fall", "restored ledger", TRUE),
    OldRule("ruling 9, in flight", "adoption waits for nothing", "restored ledger", KNOWN),
    OldRule("ruling 9, policy", "a restored policy is trusted", "restored policy", POLICY),
    OldRule("ruling 9, system", "no fence after a restore", "restored system", TRUE),
    OldRule("ruling 4, recalled", "recalled without looking", "inbox", TRUE),
    OldRule("ruling 6, refused", "refused without looking", "two", TRUE),
    OldRule("ruling 6, found", "what is found is free at once", "proof", KNOWN),
]
