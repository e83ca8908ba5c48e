"""Hypothesis strategies for `privacy.*` events, mixed with the business events that they are about.

They are made as plots of a few events by or on one subject that has records. Times prefer the instants
of other events, those at which a window is due, and a second beside them. File order follows nothing.
Left out is only what the catalogue does not settle: a second objection to the same purpose, or a second
request to restrict, while the first one is pending; a second decision on one objection; an identity
verified before the request, other than one to erase, or more than once.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from hypothesis import strategies as st

from tests.oracle.acts import NOT_WEIGHED
from tests.oracle.catalogue import holdings_of
from tests.oracle.clocks import Event
from tests.oracle.instants import instant
from tests.oracle.strategies import SOURCES, STORIES, event_sets, time_texts, times_after
from tests.oracle.windows import Holding

LAST_ACT = datetime(2050, 1, 1, tzinfo=UTC)
"""After the last instant at which anything of the business events falls due."""
RIGHTS = ("erasure", "erasure", "restriction", "access", "portability", "rectification")
GROUNDS = ("legal_claim", "fraud_inquiry", "authority_order")
OTHER_PURPOSES = ("market_research", "recruitment", "service_delivery", "legal_compliance")

# Type, time, the deciding fields without the subject.
Act: TypeAlias = tuple[str, datetime, dict[str, Any]]


class Scene:
    """The subject and records of a plot, and the instants that are related to them."""

    def __init__(self, business: Sequence[Event], last: datetime) -> None:
        self.held: list[Holding] = [
            holding for event in business for holding in holdings_of(event, business)
        ]
        self.subjects = sorted({holding["subject"] for holding in self.held}) or ["customer:1"]
        self.last = last
        self.dues = [
            due for holding in self.held for due in holding["due_at"].values() if due and due < last
        ]
        self.moments = [instant(event["time"]) for event in business]
        self.records = sorted(event["id"] for event in business)
        self.number = 0
        self.restricting: set[str] = set()
        self.objected: set[tuple[str, str]] = set()

    def new(self, letter: str) -> str:
        """Return an id that is used nowhere else."""
        self.number += 1
        return f"{letter}{self.number}"

    def purposes(self, subject: str, *bases: str) -> list[str]:
        """Return the purposes on these bases for which the subject's records are held."""
        return sorted(
            {h["purpose"] for h in self.held if h["subject"] == subject and h["basis"] in bases}
        )


@st.composite
def act_times(draw: st.DrawFn, scene: Scene, count: int) -> list[datetime]:
    """Return so many instants, in order, each of which is related to a known one."""
    moments: list[datetime] = []
    for _ in range(count):
        near = [st.sampled_from(scene.moments), times_after(scene.moments)]
        if scene.dues:
            near.append(st.sampled_from(scene.dues))
        at = draw(st.one_of(near)) + timedelta(seconds=draw(st.sampled_from((0, 0, 0, -1, 1))))
        moments.append(at if at < scene.last else scene.last - timedelta(seconds=1))
        scene.moments.append(moments[-1])
    return sorted(moments)


@st.composite
def consent(draw: st.DrawFn, scene: Scene, subject: str) -> list[Act]:
    """Return consents and withdrawals, in any order."""
    own = scene.purposes(subject, "consent")
    if subject.startswith("applicant:"):
        own = ["recruitment"]
    purpose = draw(st.sampled_from(own * 12 + list(OTHER_PURPOSES)))
    times = draw(act_times(scene, draw(st.integers(1, 4))))
    if len(times) > 1 and draw(st.booleans()):
        times[-1] = times[-2]
    kinds = ("consent-withdrawn", "consent-given")
    return [(draw(st.sampled_from(kinds)), at, {"purpose": purpose}) for at in times]


@st.composite
def objection(draw: st.DrawFn, scene: Scene, subject: str) -> list[Act]:
    """Return an objection, mostly with its decision, and perhaps a second objection after that."""
    own = scene.purposes(subject, "legitimate_interest") * 3
    own += scene.purposes(subject, "consent", "contract", "legal_obligation")
    purpose = draw(st.sampled_from(own or list(OTHER_PURPOSES)))
    if (subject, purpose) in scene.objected and purpose not in NOT_WEIGHED:
        return []
    scene.objected.add((subject, purpose))
    named = draw(st.sampled_from(("both", "raised", "decided", "neither")))
    acts: list[Act] = []
    times = draw(act_times(scene, draw(st.sampled_from((1, 2, 2, 2, 3, 4)))))
    if len(times) > 1 and draw(st.sampled_from((True, False, False, False))):
        times[1] = times[0]
    name = ""
    for number, at in enumerate(times):
        data: dict[str, Any] = {"purpose": purpose}
        if number % 2 == 0:
            if acts and at <= acts[-1][1]:
                break
            name = scene.new("o")
            if named in ("both", "raised"):
                data["objection_id"] = name
            acts.append(("objection-raised", at, data))
        else:
            if named in ("both", "decided"):
                data["objection_id"] = name
            data["outcome"] = draw(st.sampled_from(("upheld", "rejected", "rejected")))
            acts.append(("objection-decided", at, data))
    return acts


@st.composite
def request(draw: st.DrawFn, scene: Scene, subject: str) -> list[Act]:
    """Return a request, mostly verified, with what follows; sometimes it is received twice."""
    right, name = draw(st.sampled_from(RIGHTS)), {"request_id": scene.new("r")}
    if right == "restriction":
        if subject in scene.restricting:
            right = "access"
        scene.restricting.add(subject)
    asked = {**name, "right": right}
    received, verified, *later = draw(act_times(scene, draw(st.integers(2, 4))))
    if draw(st.booleans()):
        verified = received
    if right == "erasure" and draw(st.booleans()):
        received, verified = verified, received
    acts: list[Act] = [("request-received", received, asked)]
    if draw(st.sampled_from((True, True, True, False))):
        acts.append(("identity-verified", verified, dict(name)))
    else:
        later.append(verified)
    follows = ["request-answered", "request-refused", "request-extended", "request-received"]
    if right == "erasure":
        follows.append("identity-verified")
    if right == "restriction":
        follows += ["restriction-lifted"] * 12
    for at in later:
        kind = draw(st.sampled_from(follows))
        if kind == "request-received":
            acts.append((kind, max(at, received), dict(asked)))
        elif kind == "restriction-lifted":
            acts.append((kind, at, dict(name) if draw(st.booleans()) else {}))
        else:
            acts.append((kind, at, dict(name)))
    return acts


@st.composite
def hold(draw: st.DrawFn, scene: Scene, subject: str) -> list[Act]:
    """Return holds placed, released and placed again under one of two ids, on all records or on some."""
    name = draw(st.sampled_from(("h1", "h2")))
    kinds = ["hold-placed", "hold-released", "hold-placed", "hold-released"]
    if draw(st.sampled_from((True, False, False, False))):
        kinds = draw(st.permutations(kinds))
    acts: list[Act] = []
    times = draw(act_times(scene, draw(st.integers(1, 4))))
    for kind, at in zip(kinds, times, strict=False):
        data: dict[str, Any] = {"hold_id": name}
        if kind == "hold-placed":
            data["ground"] = draw(st.sampled_from(GROUNDS))
            if draw(st.booleans()):
                possible = [*scene.records, "p1", "p2"]
                some = st.lists(st.sampled_from(possible), min_size=1, max_size=4, unique=True)
                data["records"] = draw(some)
        acts.append((kind, at, data))
    return acts


@st.composite
def complaint(draw: st.DrawFn, scene: Scene, subject: str) -> list[Act]:
    """Return a complaint, perhaps with its answer, each perhaps twice."""
    name = {"complaint_id": scene.new("c")}
    received, *answered = draw(act_times(scene, draw(st.integers(1, 3))))
    acts: list[Act] = [("complaint-received", received, dict(name))]
    return acts + [("complaint-answered", at, dict(name)) for at in answered]


Plot: TypeAlias = Callable[[Scene, str], st.SearchStrategy[list[Act]]]
PLOTS: tuple[Plot, ...] = (consent, objection, objection, request, request, hold, hold, complaint)


@st.composite
def event_sets_with_rights(
    draw: st.DrawFn,
    max_events: int = 7,
    max_plots: int = 4,
    stories: Sequence[str] = tuple(STORIES),
    shared_systems: Sequence[str] = ("repair", "mail", "research"),
    duplicates: bool = True,
    last: datetime = LAST_ACT,
) -> list[Event]:
    """Return the events of `event_sets` and one to `max_plots` plots about their subjects."""
    if draw(st.booleans()):  # one story alone: its clocks and its acts meet more often
        rare = [story for story in ("application", "website") if story in stories]
        stories = (draw(st.sampled_from([*stories, *rare * 2])),)
    business = draw(event_sets(max_events, stories, shared_systems, duplicates=False))
    scene = Scene(business, last)
    privacy_events: list[tuple[str, Act]] = []
    for plot in draw(st.lists(st.sampled_from(PLOTS), min_size=1, max_size=max_plots)):
        applicants = [
            candidate for candidate in scene.subjects if candidate.startswith("applicant:")
        ]
        subject = draw(st.sampled_from(scene.subjects + applicants * 4))
        privacy_events += [(subject, act) for act in draw(plot(scene, subject))]
    names = draw(st.permutations([f"p{number}" for number in range(1, len(privacy_events) + 1)]))
    events = list(business)
    for name, (subject, (kind, at, data)) in zip(names, privacy_events, strict=True):
        events.append(
            {
                "specversion": "1.0",
                "id": name,
                "source": draw(st.sampled_from((*SOURCES, "/privacy"))),
                "type": f"privacy.{kind}",
                "time": draw(time_texts(at)),
                "data": {"subject": subject, **data},
            }
        )
    if duplicates:
        again = draw(st.lists(st.sampled_from(events), max_size=2))
        events += [dict(event) for event in again]
    return draw(st.permutations(events))
