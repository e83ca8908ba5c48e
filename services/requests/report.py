"""The report on one request, as plain values: everything that its answer has to state.

Letters and packages are rendered from a report alone; `build_report` reads the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from services.policy.model import Policy, Right

Outcome = Literal["done", "nothing_held", "refused", "under_way", "silent", "given_up"]
"""How far a system is: `silent` is past its time to acknowledge, `given_up` was decided by an operator."""

Decision = Literal["granted", "partly", "refused"]

Refusal = Literal["never_verified", "nothing_to_grant"]
"""Why a request is refused: identity never verified (GDPR 12(6)), or all data must be kept (17(3))."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemOutcome:
    """What one system did for a request."""

    system: str
    action: str
    outcome: Outcome
    at: datetime | None
    """When the system acknowledged, UTC."""
    records: int
    ground: str | None = None
    """The legal ground of a refusal, in the system's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetainedData:
    """Data that one system keeps although erasure was requested, and the ground (GDPR 17(3))."""

    system: str
    purpose: str
    why: Literal["legal_obligation", "contract", "hold", "later"]
    """`later`: the data is newer than the request, and not part of it."""
    article: str
    until: datetime | None
    """When the data becomes due for erasure, UTC; None while that is open."""
    never_ends: bool = False
    """Whether no term of its rule ever ends: it is kept permanently, or until consent is withdrawn."""
    records: int
    rule: str | None = field(default=None, compare=False)
    """The rule from which `until` follows; None for a legal hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessingSummary:
    """One use of the person's data (GDPR 15(1)(a)-(d)), by the keys of the policy."""

    purpose: str
    basis: str
    rule: str
    systems: tuple[str, ...]
    """The systems that hold the data, of our own and of recipients."""
    categories: tuple[str, ...]
    processes: tuple[str, ...]
    """The processes that the data comes from: its source (GDPR 15(1)(g))."""
    first: datetime
    last: datetime
    """The times of the oldest and of the newest record, UTC."""
    until: datetime | None
    """When the last of the data is due for erasure, UTC; None while that is open."""
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DisclosureItem:
    """One record as a system disclosed it."""

    system: str
    type: str
    """The type of the event that brought the record."""
    id: str
    time: datetime | None
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that the answer to one request states; instants are UTC."""

    policy: Policy
    request: str
    subject: str
    right: Right
    received_at: datetime
    answered_at: datetime
    verdict: Decision
    refusal: Refusal | None = None
    confirmed: Mapping[str, bool] = field(default_factory=dict)
    """By each rule with a derived term, whether it is confirmed."""
    parts: tuple[SystemOutcome, ...] = ()
    kept: tuple[RetainedData, ...] = ()
    processing: tuple[ProcessingSummary, ...] = ()
    """For access and portability."""
    disclosed: tuple[DisclosureItem, ...] = ()
    """For access and portability: what the systems hold. Personal data, never stored in clear."""
