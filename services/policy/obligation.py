"""An obligation: what one system must do to one record, such as erase or restrict it, and when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from services.policy.retention_windows import Window
from services.policy.tagged_event import ClockKey, Holding

Action = Literal[
    "erase", "restrict", "pseudonymise", "lift", "disclose", "rectify", "notify", "transfer"
]

KEYLESS_SUFFIX = " without contested keys"
"""The end of the key of an obligation that is `keyless`."""


class Obligation(NamedTuple):
    """One thing that one system must do to one record, from `due` on; instants are UTC."""

    system: str
    action: Action
    due: datetime
    not_before: datetime | None
    """A statutory minimum: no command for it may be sent or carried out before this instant."""
    erase_by: datetime
    """By when it must be carried out; for `notify` the end that it announces."""
    rules: tuple[str, ...]
    purposes: tuple[str, ...]
    clocks: tuple[ClockKey, ...]
    """The retention clocks that it depends on: when one of them changes, so does the obligation."""
    reason: str
    cause: str = ""
    """The request or objection that requires it; empty if a term does."""
    keyless: bool = False
    """Whether its command leaves out keys that several subjects claim."""
    awaits_transfer: bool = False
    """For `erase`: whether the system has to have handed the data over to an archive before."""
    before: str = ""
    """For `notify`: how long before the end it is due, as an ISO 8601 period."""
    first_end: datetime | None = None
    """For `notify`: when the first system is commanded, also one in which the data has ended already."""

    @property
    def key(self) -> str:
        """The key that distinguishes a record's obligations in one system.

        Several may be restrictions; a notice of another end, or of other purposes, is another one.
        """
        return f"{self._key}{KEYLESS_SUFFIX}" if self.keyless else self._key

    @property
    def _key(self) -> str:
        if self.cause:
            return f"{self.action} {self.cause}"
        if self.action in ("restrict", "lift"):
            return purposes_key(self.action, self.purposes)
        if self.action == "notify":
            return f"{self.announcement} {' '.join(self.purposes)}"
        return self.action

    @property
    def announcement(self) -> str:
        """The beginning of the keys of notices of this end so long before it, whatever their purposes."""
        return f"notify {self.before} {self.erase_by.isoformat()}"

    def is_missed(self, now: datetime) -> bool:
        """Return whether it announces an end that has come, so that it is too late for it."""
        return self.action == "notify" and (self.first_end or self.erase_by) <= now

    @property
    def request(self) -> str | None:
        """The id of the request that requires it; None if no request does."""
        kind, _, name = self.cause.partition(" ")
        return name if kind == "request" else None


def sort_key(obligation: Obligation) -> tuple[datetime, str, str, str]:
    """Return the key by which the obligations about a record are sorted: the earliest is the first."""
    return obligation.due, obligation.system, obligation.action, obligation.key


def purposes_key(action: str, purposes: Iterable[str]) -> str:
    """Return the key of an obligation to restrict or to lift purposes because of their terms."""
    return f"{action} {' '.join(purposes)}"


@dataclass(frozen=True, slots=True)
class HoldingWindow:
    """A holding with its window."""

    holding: Holding
    window: Window


def purpose_ends_at(system: str, holdings: Iterable[HoldingWindow]) -> datetime | None:
    """Return when a purpose with these holdings ends in a system, UTC; None while one of them is open."""
    due_at = [item.window.due_at[system] for item in holdings]
    known = [at for at in due_at if at is not None]
    return max(known) if len(known) == len(due_at) else None


def build_obligation(
    system: str,
    action: Action,
    ended: list[HoldingWindow],
    *,
    at: datetime,
    erase_by: datetime,
    clocks: Iterable[ClockKey],
    reason: str,
    not_before: datetime | None = None,
) -> Obligation:
    """Return an obligation of `system` about the holdings in `ended`, with their rules and purposes."""
    return Obligation(
        system=system,
        action=action,
        due=at,
        not_before=not_before,
        erase_by=erase_by,
        rules=tuple(sorted({item.holding.rule for item in ended})),
        purposes=tuple(sorted({item.holding.purpose for item in ended})),
        clocks=tuple(dict.fromkeys(clocks)),
        reason=reason,
    )
