"""Standing: where a data subject stands, from all that was said and decided about that person.

A pure fold over a set of acts, so that neither order nor repetition matters. It says nothing about one
holding; `rights` does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from services.policy.model import Policy, PrivacyEventKind, Right

CLOSING_EVENTS: tuple[PrivacyEventKind, ...] = ("request-answered", "request-refused")
"""What ends a request."""
_DISCLOSURE_RIGHTS: tuple[Right, ...] = ("access", "portability")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyEvent:
    """One thing that a data subject, the controller or a court did: a `privacy.*` event; `time` is UTC."""

    kind: PrivacyEventKind
    subject: str
    time: datetime
    source: str
    id: str
    purpose: str | None = None
    """For consent and objection."""
    reference: str | None = None
    """The request, objection or hold that it is about."""
    right: Right | None = None
    """For a request."""
    outcome: str | None = None
    """For a decision."""
    records: tuple[str, ...] | None = None
    """For a hold on some records only: event ids."""

    @property
    def sort_key(self) -> tuple[datetime, str, str]:
        """What orders acts: event time, source, id."""
        return (self.time, self.source, self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """Consent for a purpose was given, or withdrawn (GDPR 7(3))."""

    sort_key: tuple[datetime, str, str]
    given: bool

    @property
    def at(self) -> datetime:
        """When."""
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
    """A request of the data subject whose identity is verified (GDPR 12(6)); it counts from `at`."""

    id: str
    right: Right
    sort_key: tuple[datetime, str, str]
    lifted_at: datetime | None = None
    """For a restriction: when it was lifted."""

    @property
    def at(self) -> datetime:
        """When identity was verified."""
        return self.sort_key[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class LegalHold:
    """Nothing is erased from `start` until `end`, open while that is absent."""

    start: datetime
    end: datetime | None
    records: tuple[str, ...] | None
    """Event ids; all of the subject's where absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectState:
    """Where one data subject stands; every tuple is in order of time."""

    consents: Mapping[str, tuple[Consent, ...]] = field(default_factory=dict)
    """By purpose; an objection that counts as withdrawal is among them."""
    final_objections: Mapping[str, tuple[datetime, ...]] = field(default_factory=dict)
    """By purpose: objections that need no decision."""
    objections: Mapping[str, tuple[Objection, ...]] = field(default_factory=dict)
    """By purpose: objections that restrict until they are decided."""
    requests: tuple[VerifiedRequest, ...] = ()
    holds: tuple[LegalHold, ...] = ()
    change_times: tuple[datetime, ...] = ()
    """Every instant at which any of this changes."""

    def __bool__(self) -> bool:
        return bool(self.change_times)


EMPTY_STATE = SubjectState()
"""Of whom nothing was said."""


def subject_state(acts: Collection[PrivacyEvent], policy: Policy) -> SubjectState:
    """The standing of the one subject that all these acts are about."""
    if not acts:
        return EMPTY_STATE
    ordered = sorted(
        acts, key=lambda act: (act.sort_key, act.kind)
    )  # of topics apart, of one identity
    return SubjectState(
        consents=_consents(ordered, policy),
        final_objections=_final_objections(ordered, policy),
        objections=_objections(ordered, policy),
        requests=tuple(_requests(ordered)),
        holds=tuple(_holds(ordered)),
        change_times=tuple(sorted({act.time for act in ordered})),
    )


def _objection_effect(purpose: str | None, policy: Policy) -> str:
    return policy.purposes[purpose].objection if purpose else "restrict"


def _consents(acts: Iterable[PrivacyEvent], policy: Policy) -> dict[str, tuple[Consent, ...]]:
    found: defaultdict[str, list[Consent]] = defaultdict(list)
    for act in acts:
        withdrawn = act.kind == "consent-withdrawn" or (
            act.kind == "objection-raised"
            and _objection_effect(act.purpose, policy) == "withdrawal"
        )
        if act.purpose and (withdrawn or act.kind == "consent-given"):
            found[act.purpose].append(Consent(sort_key=act.sort_key, given=not withdrawn))
    return {purpose: tuple(those) for purpose, those in found.items()}


def _final_objections(
    acts: Iterable[PrivacyEvent], policy: Policy
) -> dict[str, tuple[datetime, ...]]:
    found: defaultdict[str, list[datetime]] = defaultdict(list)
    for act in acts:
        final = (
            act.kind == "objection-raised" and _objection_effect(act.purpose, policy) != "restrict"
        )
        if final and act.purpose:
            found[act.purpose].append(act.time)
    return {purpose: tuple(those) for purpose, those in found.items()}


def _objections(acts: Collection[PrivacyEvent], policy: Policy) -> dict[str, tuple[Objection, ...]]:
    raised = [
        act
        for act in acts
        if act.kind == "objection-raised" and _objection_effect(act.purpose, policy) == "restrict"
    ]
    decisions: dict[PrivacyEvent, PrivacyEvent] = {}
    for act in acts:
        if act.kind != "objection-decided":
            continue
        for about in _decided_objections(act, raised):
            decisions.setdefault(about, act)
    found: defaultdict[str, list[Objection]] = defaultdict(list)
    for act in raised:
        decision = decisions.get(act)
        found[act.purpose or ""].append(
            Objection(
                at=act.time,
                id=act.reference or act.id,
                decided_at=decision.time if decision else None,
                upheld=decision is not None and decision.outcome == "upheld",
            )
        )
    return {purpose: tuple(those) for purpose, those in found.items()}


def _decided_objections(
    decision: PrivacyEvent, raised: Collection[PrivacyEvent]
) -> Collection[PrivacyEvent]:
    """The objections that a decision is about: the one with its id, else all to that purpose."""
    named = [act for act in raised if act.reference and act.reference == decision.reference]
    return named or [
        act
        for act in raised
        if act.purpose == decision.purpose
        and act.time <= decision.time
        and not (act.reference and decision.reference)
    ]


def merged_requests(acts: Iterable[PrivacyEvent]) -> dict[str, str]:
    """The requests that ask once more for what an earlier one asks, while that is not answered: both names.

    The acts are one subject's, in order. Corrections are never the same ones, so that requests for
    rectification stay apart.
    """
    first: dict[Right, str] = {}
    found: dict[str, str] = {}
    seen: set[str] = set()
    closed: set[str] = set()
    for act in acts:
        name = act.reference
        if name and act.kind in CLOSING_EVENTS:
            closed.add(name)
        if not name or act.kind != "request-received" or act.right is None or name in seen:
            continue
        seen.add(name)
        leader = first.get(act.right)
        if leader is None or leader in closed or act.right == "rectification":
            first[act.right] = name
        else:
            found[name] = leader
    return found


def _requests(acts: Collection[PrivacyEvent]) -> Iterator[VerifiedRequest]:
    """Each request from its first verification on; one for erasure counts anew with every one.

    A second request for the same data is not a second disclosure: who is verified for it is for the first.
    """
    rights: dict[str, Right] = {}
    for act in acts:
        if act.kind == "request-received" and act.reference and act.right:
            rights.setdefault(act.reference, act.right)
    leaders = {
        name: to for name, to in merged_requests(acts).items() if rights[name] in _DISCLOSURE_RIGHTS
    }
    lifts = [act for act in acts if act.kind == "restriction-lifted"]
    seen: set[str] = set()
    for act in acts:
        name = leaders.get(act.reference or "", act.reference or "")
        right = rights.get(name) if act.kind == "identity-verified" else None
        if right is None or (name in seen and right != "erasure"):
            continue
        seen.add(name)
        ends = (one.time for one in lifts if one.time >= act.time and one.reference in (None, name))
        lifted_at = min(ends, default=None) if right == "restriction" else None
        yield VerifiedRequest(id=name, right=right, sort_key=act.sort_key, lifted_at=lifted_at)


def _holds(acts: Iterable[PrivacyEvent]) -> Iterator[LegalHold]:
    placed: defaultdict[str, list[PrivacyEvent]] = defaultdict(list)
    for act in acts:
        name = act.reference or ""
        if act.kind == "hold-placed":
            placed[name].append(act)
        elif act.kind == "hold-released":
            for one in placed.pop(name, ()):
                yield LegalHold(start=one.time, end=act.time, records=one.records)
    for those in placed.values():
        for one in those:
            yield LegalHold(start=one.time, end=None, records=one.records)
