"""Reports: all that the answer to one request has to tell, as plain values.

The letter and the package are made from a report alone; who makes reports reads the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from services.policy.model import Policy, Right

Outcome = Literal["done", "nothing_held", "refused", "under_way", "silent", "given_up"]
"""How far a system is: `silent` is over its time to acknowledge, `given_up` an operator's word."""

Decision = Literal["granted", "partly", "refused"]

Refusal = Literal["never_verified", "nothing_to_grant"]
"""Why a request is refused: identity was never shown (GDPR 12(6)), or all of it must be kept (17(3))."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemOutcome:
    """What one system did about a request."""

    system: str
    action: str
    outcome: Outcome
    at: datetime | None
    """When it answered, UTC."""
    records: int
    ground: str | None = None
    """The legal ground of a refusal, in its own words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetainedData:
    """What one system keeps although erasure was asked for, and on which ground (GDPR 17(3))."""

    system: str
    purpose: str
    why: Literal["legal_obligation", "contract", "hold", "later"]
    """`later`: it dates from after the request and is not part of it."""
    article: str
    until: datetime | None
    """The instant at which it becomes due, UTC; nothing while that is open."""
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessingSummary:
    """One way in which the person's data is used (GDPR 15(1)(a)-(d)); the keys are the policy's."""

    purpose: str
    basis: str
    rule: str
    systems: tuple[str, ...]
    """Who has it: recipients, own systems among them."""
    categories: tuple[str, ...]
    processes: tuple[str, ...]
    """The processes of the statement that it comes from: the source of the data (15(1)(g))."""
    first: datetime
    last: datetime
    """The oldest and the newest of its records, UTC."""
    until: datetime | None
    """When the last of it is due, UTC; nothing while that is open."""
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DisclosureItem:
    """One record as a system holds it."""

    system: str
    type: str
    """The type of the event that it came from."""
    id: str
    time: datetime | None
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the answer to one request tells; instants are UTC."""

    policy: Policy
    request: str
    subject: str
    right: Right
    received_at: datetime
    answered_at: datetime
    verdict: Decision
    refusal: Refusal | None = None
    parts: tuple[SystemOutcome, ...] = ()
    kept: tuple[RetainedData, ...] = ()
    processing: tuple[ProcessingSummary, ...] = ()
    """For access and portability."""
    disclosed: tuple[DisclosureItem, ...] = ()
    """For access and portability: what the systems hold. Personal data: never kept in clear."""
