"""The state of a data subject: consents, objections, requests and legal holds, from all privacy events.

It is a pure function of a set of privacy events, so that neither their order nor repetition matters. What
it means for one holding is in `rights_effects`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from services.policy.event_type import PrivacyEventKind
from services.policy.model import Policy, Right
from services.policy.rights import RIGHTS

CLOSING_EVENTS: tuple[PrivacyEventKind, ...] = ("request-answered", "request-refused")
"""The privacy events that close a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyEvent:
    """A `privacy.*` event: a decision of a data subject, the controller or a court; `time` is UTC."""

    kind: PrivacyEventKind
    subject: str
    time: datetime
    source: str
    id: str
    purpose: str | None = None
    """The purpose of a consent or an objection."""
    reference: str | None = None
    """The id of the request, objection or hold that it is about."""
    right: Right | None = None
    """The right that a request exercises."""
    outcome: str | None = None
    """The outcome of a decision on an objection."""
    records: tuple[str, ...] | None = None
    """The event ids of a hold on some records only."""

    @property
    def sort_key(self) -> tuple[datetime, str, str]:
        """The order of privacy events: time, source, id."""
        return (self.time, self.source, self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """A consent to a purpose that was given, or withdrawn (GDPR 7(3))."""

    sort_key: tuple[datetime, str, str]
    given: bool

    @property
    def at(self) -> datetime:
        """When it was given or withdrawn, UTC."""
        return self.sort_key[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """An objection to a purpose (GDPR 21(1)), until it is decided."""

    at: datetime
    id: str
    decided_at: datetime | None = None
    upheld: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedRequest:
    """A request of a data subject whose identity is verified (GDPR 12(6)); it counts from `at`, UTC."""

    id: str
    right: Right
    sort_key: tuple[datetime, str, str]
    lifted_at: datetime | None = None
    """When a restriction was lifted; None for other rights."""

    @property
    def at(self) -> datetime:
        """When identity was verified, UTC."""
        return self.sort_key[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class LegalHold:
    """A time, UTC, in which nothing is erased; open while `end` is None."""

    start: datetime
    end: datetime | None
    records: tuple[str, ...] | None
    """The event ids that it covers; None for all of the subject's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectState:
    """The state of one data subject; every tuple is in order of time."""

    consents: Mapping[str, tuple[Consent, ...]] = field(default_factory=dict)
    """By purpose; objections that count as withdrawal are among them."""
    final_objections: Mapping[str, tuple[datetime, ...]] = field(default_factory=dict)
    """By purpose: the instants, UTC, of objections that need no decision."""
    objections: Mapping[str, tuple[Objection, ...]] = field(default_factory=dict)
    """By purpose: objections that restrict until they are decided."""
    requests: tuple[VerifiedRequest, ...] = ()
    holds: tuple[LegalHold, ...] = ()
    change_times: tuple[datetime, ...] = ()
    """Every instant, UTC, at which the state changes."""

    def __bool__(self) -> bool:
        return bool(self.change_times)


EMPTY_STATE = SubjectState()
"""The state of a subject without privacy events."""


def subject_state(privacy_events: Collection[PrivacyEvent], policy: Policy) -> SubjectState:
    """Return the state of the one subject that all these privacy events are about."""
    if not privacy_events:
        return EMPTY_STATE
    ordered = sorted(
        privacy_events, key=lambda event: (event.sort_key, event.kind)
    )  # events of different topics may have the same identity
    return SubjectState(
        consents=_consents(ordered, policy),
        final_objections=_final_objections(ordered, policy),
        objections=_objections(ordered, policy),
        requests=tuple(_requests(ordered)),
        holds=tuple(_holds(ordered)),
        change_times=tuple(sorted({event.time for event in ordered})),
    )


def _objection_effect(purpose: str | None, policy: Policy) -> str:
    return policy.purposes[purpose].objection if purpose else "restrict"


def _consents(
    privacy_events: Iterable[PrivacyEvent], policy: Policy
) -> dict[str, tuple[Consent, ...]]:
    by_purpose: defaultdict[str, list[Consent]] = defaultdict(list)
    for event in privacy_events:
        withdrawn = event.kind == "consent-withdrawn" or (
            event.kind == "objection-raised"
            and _objection_effect(event.purpose, policy) == "withdrawal"
        )
        if event.purpose and (withdrawn or event.kind == "consent-given"):
            by_purpose[event.purpose].append(Consent(sort_key=event.sort_key, given=not withdrawn))
    return {purpose: tuple(consents) for purpose, consents in by_purpose.items()}


def _final_objections(
    privacy_events: Iterable[PrivacyEvent], policy: Policy
) -> dict[str, tuple[datetime, ...]]:
    by_purpose: defaultdict[str, list[datetime]] = defaultdict(list)
    for event in privacy_events:
        final = (
            event.kind == "objection-raised"
            and _objection_effect(event.purpose, policy) != "restrict"
        )
        if final and event.purpose:
            by_purpose[event.purpose].append(event.time)
    return {purpose: tuple(times) for purpose, times in by_purpose.items()}


def _objections(
    privacy_events: Collection[PrivacyEvent], policy: Policy
) -> dict[str, tuple[Objection, ...]]:
    raised = [
        event
        for event in privacy_events
        if event.kind == "objection-raised"
        and _objection_effect(event.purpose, policy) == "restrict"
    ]
    decisions: dict[PrivacyEvent, PrivacyEvent] = {}
    for event in privacy_events:
        if event.kind != "objection-decided":
            continue
        for objection in _decided_objections(event, raised):
            decisions.setdefault(objection, event)
    by_purpose: defaultdict[str, list[Objection]] = defaultdict(list)
    for event in raised:
        decision = decisions.get(event)
        by_purpose[event.purpose or ""].append(
            Objection(
                at=event.time,
                id=event.reference or event.id,
                decided_at=decision.time if decision else None,
                upheld=decision is not None and decision.outcome == "upheld",
            )
        )
    return {purpose: tuple(objections) for purpose, objections in by_purpose.items()}


def _decided_objections(
    decision: PrivacyEvent, raised: Collection[PrivacyEvent]
) -> Collection[PrivacyEvent]:
    """Return the objections that a decision is about: the one with its id, else all to that purpose."""
    same_id = [
        event for event in raised if event.reference and event.reference == decision.reference
    ]
    return same_id or [
        event
        for event in raised
        if event.purpose == decision.purpose
        and event.time <= decision.time
        and not (event.reference and decision.reference)
    ]


def merged_requests(privacy_events: Iterable[PrivacyEvent]) -> dict[str, str]:
    """Return the requests that repeat an earlier, unanswered one, each with the id of that request.

    The privacy events are one subject's, in order. Requests for rectification stay apart, since two of
    them never ask for the same corrections.
    """
    leaders: dict[Right, str] = {}
    merged: dict[str, str] = {}
    names: set[str] = set()
    closed: set[str] = set()
    for event in privacy_events:
        name = event.reference
        if name and event.kind in CLOSING_EVENTS:
            closed.add(name)
        if not name or event.kind != "request-received" or event.right is None or name in names:
            continue
        names.add(name)
        leader = leaders.get(event.right)
        if leader is None or leader in closed or event.right == "rectification":
            leaders[event.right] = name
        else:
            merged[name] = leader
    return merged


def _requests(privacy_events: Collection[PrivacyEvent]) -> Iterator[VerifiedRequest]:
    """Return each request from its first verification on; one for erasure counts again with every one.

    A second request for the same data makes no second disclosure: its verification counts for the first.
    """
    rights: dict[str, Right] = {}
    for event in privacy_events:
        if event.kind == "request-received" and event.reference and event.right:
            rights.setdefault(event.reference, event.right)
    leaders = {
        name: leader
        for name, leader in merged_requests(privacy_events).items()
        if RIGHTS[rights[name]].discloses
    }
    lifts = [event for event in privacy_events if event.kind == "restriction-lifted"]
    verified: set[str] = set()
    for event in privacy_events:
        name = leaders.get(event.reference or "", event.reference or "")
        right = rights.get(name) if event.kind == "identity-verified" else None
        if right is None or (name in verified and right != "erasure"):
            continue
        verified.add(name)
        ends = (
            lift.time
            for lift in lifts
            if lift.time >= event.time and lift.reference in (None, name)
        )
        lifted_at = min(ends, default=None) if right == "restriction" else None
        yield VerifiedRequest(id=name, right=right, sort_key=event.sort_key, lifted_at=lifted_at)


def _holds(privacy_events: Iterable[PrivacyEvent]) -> Iterator[LegalHold]:
    placed: defaultdict[str, list[PrivacyEvent]] = defaultdict(list)
    for event in privacy_events:
        name = event.reference or ""
        if event.kind == "hold-placed":
            placed[name].append(event)
        elif event.kind == "hold-released":
            for placement in placed.pop(name, ()):
                yield LegalHold(start=placement.time, end=event.time, records=placement.records)
    for still_open in placed.values():
        for placement in still_open:
            yield LegalHold(start=placement.time, end=None, records=placement.records)
