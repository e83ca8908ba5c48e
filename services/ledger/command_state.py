"""The states of a command, from unsent to verified, and the one function that changes them.

unsent ── sending ── sent ── acknowledged ── erased        (read again: nothing is left)
   │       │ └────────┴───── refused   ├──── attested      (cannot be read again)
   │       └──── sent again ────┘      │
cancelled        recalling ── recalled └──── reopened      (something was left, or the system was
                                                            restored from a backup: another follows)

refused: final for a controller; any other system is sent the command again
closed: an operator gave it up, which is recorded
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from schemas.errors import TermijnError

State = Literal[
    "unsent",
    "sending",
    "sent",
    "acknowledged",
    "erased",
    "attested",
    "reopened",
    "refused",
    "cancelled",
    "recalling",
    "recalled",
    "closed",
]
CommandEvent = Literal[
    "sending",
    "sent",
    "found_sent",
    "clock_changed",
    "closed_by_operator",
    "done",
    "nothing_held",
    "partial",
    "failed",
    "refused",
    "recalled",
    "already_done",
    "proven",
    "still_present",
    "attested_only",
    "restored",
]
OUTSTANDING: tuple[State, ...] = ("unsent", "sending", "sent", "recalling")
"""States in which the command is not carried out yet, and Termijn still pursues it."""
NOT_CARRIED_OUT: tuple[State, ...] = ("unsent", "sending", "sent", "refused")
"""States in which a command has changed nothing yet: it can be cancelled or recalled."""
SETTLED: tuple[State, ...] = (
    *("acknowledged", "erased", "attested", "reopened"),
    *("refused", "cancelled", "recalled", "closed"),
)
"""States in which nothing more is sent, except after a refusal that is not final."""
CARRIED_OUT: tuple[State, ...] = ("acknowledged", "erased", "attested")
"""States in which the system has acknowledged that it is done, and nothing contradicts that."""
TRANSFERRED: CommandEvent = "done"
"""The one acknowledgement of a transfer after which its data may be erased: not that nothing was found."""
RELEASED: tuple[State, ...] = ("cancelled", "recalled", "closed")
"""States in which the command's records are free for another command."""


RESTORED = "restored"
"""The outcome of commands that a system, restored from a backup, has to carry out again."""


class IllegalTransition(TermijnError):
    """The event cannot happen to a command in its state; nothing was changed.

    It shows a fault in Termijn, or a system that acknowledges a command that it was not sent.
    """

    def __init__(self, state: State, event: CommandEvent) -> None:
        super().__init__(f"a command that is {state} cannot be {event}")
        self.state = state
        self.event = event


_AFTER_SENDING: Mapping[CommandEvent, State] = {
    "sending": "sending",
    "sent": "sent",
    "clock_changed": "recalling",
    "closed_by_operator": "closed",
    "done": "acknowledged",
    "nothing_held": "acknowledged",
    "already_done": "acknowledged",
    "partial": "sent",
    "failed": "sent",
    "refused": "refused",
}
_TRANSITIONS: Mapping[State, Mapping[CommandEvent, State]] = {
    "unsent": {
        "sending": "sending",
        "found_sent": "sent",
        "clock_changed": "cancelled",
        "closed_by_operator": "closed",
    },
    "sending": {**_AFTER_SENDING, "partial": "sending", "failed": "sending"},
    "sent": {**_AFTER_SENDING, "sending": "sent"},
    "recalling": {
        **_AFTER_SENDING,
        "sending": "recalling",
        "sent": "recalling",
        "partial": "recalling",
        "failed": "recalling",
        "refused": "recalling",  # one attempt was; another may still be carried out
        "recalled": "recalled",
    },
    "cancelled": {"found_sent": "sent"},  # the ledger was restored from a backup
    "acknowledged": {
        "proven": "erased",
        "still_present": "reopened",
        "attested_only": "attested",
        "restored": "reopened",
    },
    "erased": {"restored": "reopened"},
    "attested": {"restored": "reopened"},
    "refused": {**_AFTER_SENDING, "partial": "refused", "failed": "refused"},
}
_CONTRADICTIONS: Mapping[State, tuple[CommandEvent, ...]] = {"recalled": ("done", "already_done")}
"""Acknowledgements that a system cannot send after it has acknowledged the opposite."""


def next_state(state: State, event: CommandEvent) -> State:
    """Return the state of a command after an event.

    Raises:
        IllegalTransition: the event cannot happen in this state.
    """
    following = _TRANSITIONS.get(state, {}).get(event)
    if following is not None:
        return following
    settled = state in SETTLED and state != "refused"
    settled = settled and event not in _CONTRADICTIONS.get(state, ())
    if settled and event not in ("sending", "sent", "closed_by_operator"):
        return state  # a late or repeated acknowledgement, or a changed clock: it stays settled
    raise IllegalTransition(state, event)
