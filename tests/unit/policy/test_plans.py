"""Plans: what is read by the plan of an event's shape is what tagging that event alone gives."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.cloudevents import CloudEvent
from services.policy import loader
from services.policy.check_times import clocks_of, event_check_times
from services.policy.event_subject import business_keys
from services.policy.model import Policy
from services.policy.obligations import obligations_of
from services.policy.plan import Plan
from services.policy.plans import CompiledPolicy, compile_policy
from services.policy.tagging import tag
from tests.contract.event_builders import parse_event
from tests.contract.retiring_policy import policy_retiring
from tests.effort import SLOW, examples
from tests.oracle.clocks import Event
from tests.oracle.strategies import event_sets
from tests.oracle.strategies_rights import event_sets_with_rights
from tests.unit.policy.random_facts import INSTANTS, FactsAbout, facts_about
from tests.unit.policy.small import Ended, small

POLICY = loader.load()
COMPILED = CompiledPolicy(policy=POLICY)
calm = settings(max_examples=examples(60), deadline=None, suppress_health_check=SLOW)


def check(event: CloudEvent, compiled: CompiledPolicy, facts: FactsAbout) -> None:
    """Check that an event by its plan is the event alone, in all that follows from it."""
    alone, policy = tag(event, compiled.policy), compiled.policy
    for recorded in (False, True):
        planned = compiled.tag(event, recorded=recorded)
        assert planned == alone == tag(event, policy, recorded=True)
        assert planned.subjects == alone.subjects
        for subject in (*alone.subjects, "guest:none"):
            assert clocks_of(planned, subject, policy) == clocks_of(alone, subject, policy)
            times = event_check_times(planned, subject, policy)
            assert times == event_check_times(alone, subject, policy)
            keys = business_keys(planned, policy, subject)
            assert keys == business_keys(alone, policy, subject)
            steps = obligations_of(planned, subject, facts, policy)
            assert steps == obligations_of(alone, subject, facts, policy)


@calm
@given(events=event_sets_with_rights(), data=st.data())
def test_every_event_by_its_plan_is_the_event_alone(
    events: list[Event], data: st.DataObject
) -> None:
    """Its holdings, clocks and obligations, with any ends of clocks and any privacy events."""
    cloud_events = [parse_event(event) for event in events]
    facts = data.draw(facts_about([tag(event, POLICY) for event in cloud_events], POLICY))
    for event in (*cloud_events, *cloud_events):
        check(event, COMPILED, facts)


@calm
@given(events=event_sets(shared_systems=()), data=st.data())
def test_an_event_after_a_retirement_has_another_plan(
    events: list[Event], data: st.DataObject
) -> None:
    """A shape that was met before an instant is another one from that instant on."""
    times = sorted({event["time"] for event in events})
    names = ("service_delivery", "internal_research", "crm", "accounting", "website")
    policy = policy_retiring({name: data.draw(st.sampled_from(times)) for name in names})
    cloud_events = [parse_event(event) for event in events]
    facts = data.draw(facts_about([tag(event, policy) for event in cloud_events], policy))
    compiled = CompiledPolicy(policy=policy)
    for event in (*cloud_events, *cloud_events):
        check(event, compiled, facts)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Return a small policy in which one event makes several holdings, about clients and guests."""
    holdings = []
    for purpose, basis in (("care", "contract"), ("service", "contract"), ("study", "contract")):
        rules = ["year", "two-years", "membership", "stay", "at-once"]
        rule = draw(st.sampled_from(["study"] if purpose == "study" else rules))
        systems = draw(st.lists(st.sampled_from(["app", "books", "lab"]), min_size=1, unique=True))
        holding = (
            f"purpose: {purpose}, basis: {basis}, rule: {rule}, systems: [{', '.join(systems)}]"
        )
        if draw(st.booleans()):
            holdings.append(holding)
        if purpose != "study" and draw(st.booleans()):
            again, system = draw(st.sampled_from(rules)), draw(st.sampled_from(["app", "books"]))
            holdings.append(
                f"purpose: {purpose}, basis: {basis}, rule: {again}, systems: [{system}]"
            )
        if purpose != "study" and draw(st.booleans()):
            about = draw(st.sampled_from(["", ", when: {paid: [true]}"]))
            guest = ", subject: {kind: guest, field: guest_ids, each: true}"
            holdings.append(holding + guest + about)
    if draw(st.booleans()) or not holdings:
        holdings.append("purpose: tax, basis: law, rule: books, systems: [books, lab]")
    in_test = draw(st.lists(st.sampled_from(["A year", "Seven book years"]), unique=True))
    return small(
        *holdings,
        changed={
            f"    title: {title}\n": f"    title: {title}\n    status: test\n" for title in in_test
        },
    )


@calm
@given(policy=policies(), data=st.data())
def test_plans_hold_for_any_policy(policy: Policy, data: st.DataObject) -> None:
    """Several purposes in one system, research, minimums, and more than one person an event."""
    compiled = compile_policy(policy)
    for number in range(3):
        fields: dict[str, Any] = {
            "client_id": f"C{number}",
            "stay_id": f"S{number}",
            "guest_ids": data.draw(st.lists(st.sampled_from(["G1", "G2", "C1"]), max_size=3)),
            "paid": data.draw(st.sampled_from([True, False, None])),
        }
        event = CloudEvent(
            id=f"e{number}",
            source="/club",
            type="club.joined",
            time=data.draw(INSTANTS),
            data={name: value for name, value in fields.items() if value is not None},
        )
        check(event, compiled, data.draw(facts_about([tag(event, policy)], policy)))


def joined(client: str, *, paid: bool) -> CloudEvent:
    fields = {"client_id": client, "stay_id": "S1", "paid": paid}
    return CloudEvent(
        id=f"{client} {paid}",
        source="/club",
        type="club.joined",
        time=datetime(2024, 1, 1, tzinfo=UTC),
        data=fields,
    )


def plan_of(event: CloudEvent, compiled: CompiledPolicy) -> Plan:
    planned = compiled.tag(event).plan
    assert planned
    return planned.plan


def test_events_of_one_shape_share_a_plan() -> None:
    """The identifiers do not count, and fields that decide nothing are fields all the same."""
    compiled = CompiledPolicy(policy=small())
    assert plan_of(joined("C1", paid=True), compiled) is plan_of(joined("C2", paid=True), compiled)


def test_plans_are_compared_by_content() -> None:
    """Those of a policy that is read twice are equal; those with another term are not."""
    year = "term: P1Y\n    anchor: {kind: event}"
    longer = small(changed={year: year.replace("P1Y", "P3Y")})
    plans = [
        plan_of(joined("C1", paid=True), CompiledPolicy(policy=policy))
        for policy in (small(), small(), longer)
    ]
    assert plans[0] == plans[1] != plans[2]


def test_a_policy_is_compiled_once() -> None:
    """Another policy is not mistaken for it."""
    first, other = small(), small()
    assert compile_policy(first) is compile_policy(first) is not compile_policy(other)


def test_a_deciding_field_and_an_identifier_may_name_one_subject() -> None:
    """A client called `full` and the level `full` are one record where both are fields of a client."""
    policy = small(
        "purpose: care, basis: contract, rule: year, systems: [app]",
        "purpose: service, basis: contract, rule: year, systems: [app],"
        " subject: {kind: client, field: level}",
    )
    compiled = CompiledPolicy(policy=policy)
    for client in ("C1", "full"):
        fields = {"client_id": client, "stay_id": "S1", "level": "full"}
        at = datetime(2024, 1, 1, tzinfo=UTC)
        event = CloudEvent(id=client, source="/club", type="club.joined", time=at, data=fields)
        assert compiled.tag(event) == tag(event, policy)
        assert compiled.tag(event).subjects == tag(event, policy).subjects


def test_a_clock_may_be_named_by_a_subject_in_full() -> None:
    """Its key is quoted: an id with a blank is not that of the plan's other events."""
    policy = small(
        "purpose: care, basis: contract, rule: membership, systems: [app]",
        changed={"- {kind: client, field: client_id}": "- {field: client_id}"},
    )
    compiled = CompiledPolicy(policy=policy)
    for client in ("client:C1", "client:C 2"):
        event = joined(client, paid=True)
        assert compiled.tag(event) == tag(event, policy)


def test_what_was_computed_for_an_event_does_not_outlive_its_facts() -> None:
    """A deleter asks again before it sends: what is due, a day before the term ends, moves with the end."""
    policy = small("purpose: care, basis: contract, rule: membership, systems: [app]")
    event = CompiledPolicy(policy=policy).tag(joined("C1", paid=True))
    assert event.plan
    days = [datetime(2024, 3, 1, 12, tzinfo=UTC), datetime(2025, 6, 1, 12, tzinfo=UTC)]
    seen = [
        [
            step.due
            for step in obligations_of(event, "client:C1", Ended({"membership": day}), policy)
        ]
        for day in (days[0], days[0], days[1], days[0])
    ]
    assert seen == [
        [datetime(2025, 2, 28, 12, tzinfo=UTC)],
        [datetime(2025, 2, 28, 12, tzinfo=UTC)],
        [datetime(2026, 5, 31, 12, tzinfo=UTC)],
        [datetime(2025, 2, 28, 12, tzinfo=UTC)],
    ]
    assert obligations_of(event, "client:C1", Ended({}), policy) == ()
