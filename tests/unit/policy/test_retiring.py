"""Retired purposes and systems: an event's holdings at and before the time, and how a policy states it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from schemas.cloudevents import CloudEvent
from services.policy import obligations
from services.policy.check_times import clocks_of, event_check_times
from services.policy.lint import lint
from services.policy.loader import InvalidPolicy, hash_policy, load, load_text
from services.policy.model import Policy
from services.policy.retention_windows import NO_FACTS
from services.policy.tagged_event import TaggedEvent
from services.policy.tagging import tag
from services.policy.tagging_error import TaggingFailed
from tests.contract.retiring_policy import policy_retiring
from tests.unit.policy.small import SMALL, joined, line_of, replaced, small

AT = datetime(2026, 1, 1, tzinfo=UTC)
JUST_BEFORE = datetime(2025, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
CARE = "purpose: care, basis: contract, rule: membership, systems: [app, books]"
TAX = "purpose: tax, basis: law, rule: books, systems: [books]"
BOOKS = "books: {title: Books, owner: us, lead_time: PT48H"
CARE_TITLE = "care: {title: Care, dpv: dpv:ServiceProvision, source: a"


def tag_joining(policy: Policy, time: datetime) -> TaggedEvent:
    return tag(
        CloudEvent(id="e1", source="/club", type="club.joined", time=time, data=joined()), policy
    )


def purposes_and_systems(tagged_event: TaggedEvent) -> list[tuple[str, tuple[str, ...]]]:
    return [(holding.purpose, holding.systems) for holding in tagged_event.holdings]


def test_a_retired_system_holds_nothing_of_later_events() -> None:
    """The event's own time counts, to the microsecond; its other systems stay."""
    policy = small(CARE, TAX, changed={BOOKS: f"{BOOKS}, retired: 2026-01-01T01:00:00+01:00"})
    assert purposes_and_systems(tag_joining(policy, JUST_BEFORE)) == [
        ("care", ("app", "books")),
        ("tax", ("books",)),
    ]
    assert purposes_and_systems(tag_joining(policy, AT)) == [("care", ("app",))]


def test_later_events_have_no_holdings_of_a_retired_purpose() -> None:
    """This holds for every system; the event's other purposes stay."""
    policy = small(CARE, TAX, changed={CARE_TITLE: f"{CARE_TITLE}, retired: 2026-01-01T00:00:00Z"})
    assert purposes_and_systems(tag_joining(policy, JUST_BEFORE)) == [
        ("care", ("app", "books")),
        ("tax", ("books",)),
    ]
    assert purposes_and_systems(tag_joining(policy, AT)) == [("tax", ("books",))]


def test_an_event_of_a_retired_purpose_is_recorded_under_its_clock() -> None:
    """If a later policy restores the purpose, it finds the record; until then nothing is due."""
    policy = small(CARE, changed={CARE_TITLE: f"{CARE_TITLE}, retired: 2026-01-01T00:00:00Z"})
    tagged_event = tag_joining(policy, AT)
    assert tagged_event.subjects == ("client:1",)
    assert [str(clock) for clock in clocks_of(tagged_event, "client:1", policy)] == ["membership:1"]
    assert event_check_times(tagged_event, "client:1", policy) == ()
    assert obligations.obligations_of(tagged_event, "client:1", NO_FACTS, policy) == ()


def test_an_event_that_names_a_retired_system_itself_is_parked() -> None:
    """The event states that the data went there: not to record that would be to lose it."""
    policy = policy_retiring({"repair": "2026-01-01T00:00:00Z"})

    def ticket(time: datetime) -> CloudEvent:
        data = {"ticket_id": "t", "customer_id": "1", "consumer_ids": [], "shared_with": ["repair"]}
        return CloudEvent(
            id="e1", source="/helpdesk", type="helpdesk.ticket-opened", time=time, data=data
        )

    systems = tag(ticket(JUST_BEFORE), policy).holdings[0].systems
    assert systems == ("helpdesk", "repair")
    with pytest.raises(TaggingFailed, match="shared_with: names a retired system"):
        tag(ticket(AT), policy)
    assert tag(ticket(AT), policy, recorded=True).holdings[0].systems == systems


def test_a_retirement_at_the_same_time_in_another_zone_is_the_same_policy() -> None:
    """Another time is another policy; a policy that retires nothing keeps its digest."""
    policy = small(changed={BOOKS: f"{BOOKS}, retired: 2026-01-01T00:00:00Z"})
    same = small(changed={BOOKS: f"{BOOKS}, retired: '2026-01-01T02:00:00+02:00'"})
    other = small(changed={BOOKS: f"{BOOKS}, retired: 2026-01-01T00:00:01Z"})
    none = small(changed={BOOKS: f"{BOOKS}, retired: null"})
    assert hash_policy(policy) == hash_policy(same)
    assert len({hash_policy(policy), hash_policy(other), hash_policy(small())}) == 3
    assert hash_policy(none) == hash_policy(small())


@pytest.mark.parametrize(
    "written",
    [
        *("true", "2026-01-01", "2026-01-01T00:00:00", "'2026-01-01'", "20260101", "1.5"),
        *("'1767225600'", "soon", "'0001-01-01T00:00:00+23:00'", "[]", "'2026-13-01T00:00:00Z'"),
    ],
)
def test_a_retirement_without_a_time_and_zone_is_refused(written: str) -> None:
    """`true` would mean another time at each replay, and a day starts at different times."""
    text = replaced(SMALL, BOOKS, f"{BOOKS}, retired: {written}")
    with pytest.raises(InvalidPolicy) as refused:
        load_text(text, "small.yaml")
    [problem] = refused.value.problems
    assert (problem.line, problem.key) == (line_of(text, BOOKS), "systems.books.retired")
    assert problem.why.startswith("is not an instant"), problem.why


def test_lint_lists_what_is_retired() -> None:
    """An operator sees why a retired system gets no commands."""
    policy = policy_retiring(
        {"lease": "2026-01-01T00:00:00Z", "acquisition": "2027-01-01T00:00:00Z"}
    )
    before = list(lint(load()))
    assert [
        (warning.key, warning.message) for warning in lint(policy) if warning not in before
    ] == [
        ("systems.lease.retired", "gets no new data from 2026-01-01T00:00:00Z on"),
        (
            "purposes.acquisition.retired",
            "has no new data held for it from 2027-01-01T00:00:00Z on",
        ),
    ]
