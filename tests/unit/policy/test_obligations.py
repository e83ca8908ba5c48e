"""What each system must do to a record, and when: several purposes, minimums and pseudonyms.

The shipped policy hardly lets a system serve two purposes of one record; a small policy does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from schemas.cloudevents import CloudEvent
from services.policy.check_times import clocks_of, event_check_times
from services.policy.model import Policy
from services.policy.obligation import Obligation
from services.policy.obligations import obligations_of
from services.policy.tagged_event import Holding, TaggedEvent
from services.policy.tagging import tag
from tests.unit.policy.small import Ended, joined, small

JOINED = "2024-03-15T13:00:00Z"
"""14:00 in Amsterdam, in winter time."""

Brief = tuple[str, str, str, str]


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def tagged(policy: Policy, *guests: str) -> TaggedEvent:
    event = CloudEvent(
        id="e1", source="/club", type="club.joined", time=instant(JOINED), data=joined(guests)
    )
    return tag(event, policy)


def planned(
    policy: Policy,
    ended: Mapping[str, str] | None = None,
    subject: str = "client:1",
    guests: tuple[str, ...] = (),
) -> list[Obligation]:
    """The steps of a record when these clocks (by name) have ended at these instants."""
    facts = Ended({clock: instant(at) for clock, at in (ended or {}).items()})
    return list(obligations_of(tagged(policy, *guests), subject, facts, policy))


def brief(obligations: list[Obligation]) -> list[Brief]:
    return [
        (step.due.isoformat()[:16] + "Z", step.system, step.action, ",".join(step.purposes))
        for step in obligations
    ]


def test_one_purpose_is_one_erasure() -> None:
    """It is sent a lead time before the end of the term."""
    (step,) = planned(small("purpose: care, basis: contract, rule: year, systems: [books]"))
    assert step.system == "books"
    assert step.action == "erase"
    assert step.due == instant("2025-03-13T13:00Z")
    assert step.erase_by == instant("2025-03-15T13:00Z")
    assert step.not_before is None
    assert step.rules == ("year",)
    assert step.purposes == ("care",)
    assert step.clocks == ()


def test_the_first_of_two_purposes_restricts_and_the_last_erases() -> None:
    """Ruling 3: the erasure is sent at the latest of them; the earlier one restricts at its own time."""
    policy = small(
        "purpose: care, basis: contract, rule: year, systems: [app]",
        "purpose: service, basis: contract, rule: two-years, systems: [app]",
    )
    steps = planned(policy)
    assert brief(steps) == [
        ("2025-03-14T13:00Z", "app", "restrict", "care"),
        ("2026-03-14T13:00Z", "app", "erase", "care,service"),
    ]
    assert steps[0].erase_by == instant("2025-03-15T13:00Z")
    assert steps[1].erase_by == instant("2026-03-15T13:00Z")
    assert steps[1].rules == ("two-years", "year")


def test_two_purposes_that_end_together_only_erase() -> None:
    """Nothing is left to restrict."""
    policy = small(
        "purpose: care, basis: contract, rule: year, systems: [app]",
        "purpose: service, basis: contract, rule: year, systems: [app]",
    )
    assert brief(planned(policy)) == [("2025-03-14T13:00Z", "app", "erase", "care,service")]


def test_two_restrictions_at_one_instant_are_one() -> None:
    """Purposes that end at the same time are in one command."""
    policy = small(
        "purpose: care, basis: contract, rule: year, systems: [app]",
        "purpose: study, basis: contract, rule: year, systems: [app]",
        "purpose: service, basis: contract, rule: two-years, systems: [app]",
    )
    assert brief(planned(policy)) == [
        ("2025-03-14T13:00Z", "app", "restrict", "care,study"),
        ("2026-03-14T13:00Z", "app", "erase", "care,service,study"),
    ]


def test_a_minimum_wins_over_an_earlier_maximum() -> None:
    """No erasure is sent before `not_before`, which it has; 2024 plus 7 is kept through 2031."""
    policy = small(
        "purpose: care, basis: contract, rule: year, systems: [books]",
        "purpose: tax, basis: law, rule: books, systems: [books]",
    )
    steps = planned(policy)
    assert brief(steps) == [
        ("2025-03-13T13:00Z", "books", "restrict", "care"),
        ("2031-12-31T23:00Z", "books", "erase", "care,tax"),
    ]
    assert steps[0].not_before is None
    assert steps[1].not_before == instant("2031-12-31T23:00Z")
    assert steps[1].erase_by == instant("2032-01-02T23:00Z")


def test_a_minimum_that_ends_before_a_maximum_is_restricted() -> None:
    """A legal purpose that ended before another one is a restriction too."""
    policy = small(
        "purpose: study, basis: contract, rule: study, systems: [books]",
        "purpose: tax, basis: law, rule: books, systems: [books]",
        changed={"    pseudonymise: true\n": ""},
    )
    steps = planned(policy)
    assert brief(steps) == [
        ("2031-12-31T23:00Z", "books", "restrict", "tax"),
        ("2044-03-13T13:00Z", "books", "erase", "study,tax"),
    ]
    assert steps[1].not_before == instant("2031-12-31T23:00Z")


class TestTwoHoldingsOfOnePurpose:
    """A purpose has ended in a system once the last of its holdings there has ended."""

    def test_the_end_of_the_first_restricts_nothing(self) -> None:
        """The purpose goes on with the second, such as the longer term of what is paid for."""
        policy = small(
            "purpose: care, basis: contract, rule: year, systems: [app]",
            "purpose: care, basis: contract, rule: two-years, systems: [app]",
        )
        assert brief(planned(policy)) == [("2026-03-14T13:00Z", "app", "erase", "care")]

    def test_a_holding_that_is_open_keeps_the_purpose(self) -> None:
        policy = small(
            "purpose: care, basis: contract, rule: year, systems: [app]",
            "purpose: care, basis: contract, rule: membership, systems: [app]",
        )
        assert brief(planned(policy)) == []

    def test_the_last_of_them_restricts_while_another_purpose_goes_on(self) -> None:
        """The restriction names both rules, and its promised end is the later one."""
        policy = small(
            "purpose: care, basis: contract, rule: year, systems: [app]",
            "purpose: care, basis: contract, rule: two-years, systems: [app]",
            "purpose: service, basis: contract, rule: membership, systems: [app]",
        )
        (step,) = planned(policy)
        assert brief([step]) == [("2026-03-14T13:00Z", "app", "restrict", "care")]
        assert step.rules == ("two-years", "year")
        assert step.erase_by == instant("2026-03-15T13:00Z")

    def test_a_holding_in_another_system_does_not_count(self) -> None:
        policy = small(
            "purpose: care, basis: contract, rule: year, systems: [app]",
            "purpose: care, basis: contract, rule: two-years, systems: [lab]",
            "purpose: service, basis: contract, rule: membership, systems: [app]",
        )
        assert brief(planned(policy)) == [
            ("2025-03-14T13:00Z", "app", "restrict", "care"),
            ("2026-03-15T01:00Z", "lab", "erase", "care"),
        ]

    def test_a_restriction_depends_on_the_clocks_of_both(self) -> None:
        """If the second clock moves, the purpose goes on, and the command is recalled."""
        policy = small(
            "purpose: care, basis: contract, rule: at-once, systems: [app]",
            "purpose: care, basis: contract, rule: membership, systems: [app]",
            "purpose: service, basis: contract, rule: study, systems: [app]",
            changed={"    pseudonymise: true\n": ""},
        )
        ends = {"stay": "2024-05-01T10:00Z", "membership": "2024-06-01T10:00Z"}
        restriction, _ = planned(policy, ends)
        assert brief([restriction]) == [("2025-05-31T10:00Z", "app", "restrict", "care")]
        assert {clock.clock for clock in restriction.clocks} == {"stay", "membership"}


IN_TEST = {"    title: A year\n": "    title: A year\n    status: test\n"}


class TestARuleInTest:
    """Nothing is commanded because of its term, and its data is kept as if the term were open."""

    def test_its_end_commands_nothing(self) -> None:
        policy = small(
            "purpose: care, basis: contract, rule: year, systems: [app]", changed=IN_TEST
        )
        assert brief(planned(policy)) == []

    def test_data_under_it_is_kept_when_another_purpose_ends(self) -> None:
        """The other purpose is restricted, since care goes on until its rule is active."""
        policy = small(
            "purpose: care, basis: contract, rule: year, systems: [app, lab]",
            "purpose: service, basis: contract, rule: two-years, systems: [app]",
            changed=IN_TEST,
        )
        assert brief(planned(policy)) == [("2026-03-14T13:00Z", "app", "restrict", "service")]

    def test_a_minimum_in_test_protects(self) -> None:
        """What a law may require is not erased by a promise while it is being tried out."""
        policy = small(
            "purpose: care, basis: contract, rule: year, systems: [books]",
            "purpose: tax, basis: law, rule: books, systems: [books]",
            changed={"    title: Seven book years\n": "    title: Seven\n    status: test\n"},
        )
        assert brief(planned(policy)) == [("2025-03-13T13:00Z", "books", "restrict", "care")]

    def test_research_waits_for_it_and_is_not_pseudonymised_by_it(self) -> None:
        care = "purpose: care, basis: contract, rule: year, systems: [app]"
        assert brief(planned(small(care, STUDY, changed=IN_TEST))) == [
            ("2044-03-15T01:00Z", "lab", "erase", "study")
        ]
        in_test = {"    pseudonymise: true\n": "    pseudonymise: true\n    status: test\n"}
        assert brief(planned(small(care, STUDY, changed=in_test))) == [
            ("2025-03-14T13:00Z", "app", "erase", "care")
        ]


def test_an_open_clock_keeps_the_record_and_restricts_the_rest() -> None:
    """While one purpose's clock is open, the others that ended are restrictions."""
    policy = small(
        "purpose: care, basis: contract, rule: year, systems: [app]",
        "purpose: service, basis: contract, rule: membership, systems: [app]",
    )
    assert brief(planned(policy)) == [("2025-03-14T13:00Z", "app", "restrict", "care")]
    assert brief(planned(policy, {"membership": "2024-06-01T10:00Z"})) == [
        ("2025-03-14T13:00Z", "app", "restrict", "care"),
        ("2025-05-31T10:00Z", "app", "erase", "care,service"),
    ]


def test_a_restriction_does_not_depend_on_the_clock_of_another_purpose() -> None:
    """When that clock ends or changes, the purpose that has ended stays ended."""
    policy = small(
        "purpose: care, basis: contract, rule: stay, systems: [app]",
        "purpose: service, basis: contract, rule: membership, systems: [app]",
    )
    (step,) = planned(policy, {"stay": "2024-04-01T10:00Z"})
    assert step.action == "restrict"
    assert [clock.clock for clock in step.clocks] == ["stay"]


def test_each_system_has_its_own_lead_time() -> None:
    """24, 48 and 12 hours before the same end."""
    policy = small("purpose: care, basis: contract, rule: year, systems: [app, books, lab]")
    assert brief(planned(policy)) == [
        ("2025-03-13T13:00Z", "books", "erase", "care"),
        ("2025-03-14T13:00Z", "app", "erase", "care"),
        ("2025-03-15T01:00Z", "lab", "erase", "care"),
    ]


def test_a_term_of_zero_is_due_at_the_time_of_its_event() -> None:
    """P0D: no lead time brings it before the anchor."""
    policy = small("purpose: care, basis: contract, rule: at-once, systems: [app, books]")
    assert brief(planned(policy, {"stay": "2024-10-27T01:30Z"})) == [
        ("2024-10-27T01:30Z", "app", "erase", "care"),
        ("2024-10-27T01:30Z", "books", "erase", "care"),
    ]


def test_a_term_shorter_than_the_lead_time_is_due_at_its_anchor() -> None:
    """The command is never sent before the clock started."""
    policy = small(
        "purpose: care, basis: contract, rule: stay, systems: [books]",
        changed={"term: P1M": "term: PT36H"},
    )
    (step,) = planned(policy, {"stay": "2024-04-01T10:00Z"})
    assert step.due == instant("2024-04-01T10:00Z")
    assert step.erase_by == instant("2024-04-02T22:00Z")


STUDY = "purpose: study, basis: contract, rule: study, systems: [lab]"


def test_research_is_pseudonymised_when_the_last_other_purpose_ends() -> None:
    """Ruling 2: at the latest end of the others, minus research's own lead time."""
    policy = small("purpose: care, basis: contract, rule: two-years, systems: [app]", STUDY)
    obligations = [step for step in planned(policy) if step.system == "lab"]
    assert brief(obligations) == [
        ("2026-03-15T01:00Z", "lab", "pseudonymise", "study"),
        ("2044-03-15T01:00Z", "lab", "erase", "study"),
    ]
    assert obligations[0].erase_by == instant("2026-03-15T13:00Z")


def test_pseudonymising_does_not_wait_for_legal_holdings() -> None:
    """Ruling 2: holdings that a law requires do not count."""
    policy = small(
        "purpose: care, basis: contract, rule: year, systems: [app]",
        "purpose: tax, basis: law, rule: books, systems: [books]",
        STUDY,
    )
    pseudonym = next(step for step in planned(policy) if step.action == "pseudonymise")
    assert pseudonym.due == instant("2025-03-15T01:00Z")


def test_pseudonymising_waits_for_an_open_clock() -> None:
    """It is not known yet when the other purpose ends."""
    policy = small("purpose: care, basis: contract, rule: membership, systems: [app]", STUDY)
    assert brief(planned(policy)) == [("2044-03-15T01:00Z", "lab", "erase", "study")]
    assert brief(planned(policy, {"membership": "2025-06-01T10:00Z"})) == [
        ("2026-05-31T10:00Z", "app", "erase", "care"),
        ("2026-05-31T22:00Z", "lab", "pseudonymise", "study"),
        ("2044-03-15T01:00Z", "lab", "erase", "study"),
    ]


def test_pseudonymising_is_left_out_where_the_erasure_is_due_by_then() -> None:
    """Ruling 2: data that must be erased by then is not pseudonymised."""
    policy = small("purpose: care, basis: contract, rule: membership, systems: [app]", STUDY)
    steps = planned(policy, {"membership": "2044-03-15T10:00Z"})
    assert brief(steps) == [
        ("2044-03-15T01:00Z", "lab", "erase", "study"),
        ("2045-03-14T10:00Z", "app", "erase", "care"),
    ]


def test_research_alone_is_pseudonymised_at_once() -> None:
    """Nothing else needs the person."""
    assert brief(planned(small(STUDY)))[0] == ("2024-03-15T13:00Z", "lab", "pseudonymise", "study")


def test_pseudonymising_waits_for_every_subject_of_the_event() -> None:
    """Ruling 11: the last non-statutory holding of the event, over all its subjects."""
    policy = small(
        "purpose: care, basis: contract, rule: year, systems: [app]",
        "purpose: care, basis: contract, rule: stay, systems: [app],"
        " subject: {kind: guest, field: guest_ids, each: true}",
        STUDY,
    )
    open_stay = planned(policy, guests=("g1", "g2"))
    assert [step.action for step in open_stay] == ["erase", "erase"]
    steps = planned(policy, {"stay": "2026-01-31T10:00Z"}, guests=("g1", "g2"))
    assert brief(steps)[1] == ("2026-02-27T22:00Z", "lab", "pseudonymise", "study")
    assert brief(planned(policy, {"stay": "2026-01-31T10:00Z"}, "guest:g2", ("g1", "g2"))) == [
        ("2026-02-27T10:00Z", "app", "erase", "care")
    ]


def test_a_record_depends_on_the_clocks_that_its_obligations_wait_for() -> None:
    """Research depends on the clocks of all subjects of the event, a guest's record on its own."""
    policy = small(
        "purpose: service, basis: contract, rule: membership, systems: [app]",
        "purpose: care, basis: contract, rule: stay, systems: [app],"
        " subject: {kind: guest, field: guest_ids, each: true}",
        STUDY,
    )
    event = tagged(policy, "g1")
    assert [clock.clock for clock in clocks_of(event, "client:1", policy)] == ["membership", "stay"]
    assert [clock.clock for clock in clocks_of(event, "guest:g1", policy)] == ["stay"]


@pytest.mark.parametrize(
    ("holdings", "expected"),
    [
        pytest.param(
            ("purpose: care, basis: contract, rule: year, systems: [app, lab]",),
            ["2025-03-14T13:00Z", "2025-03-15T01:00Z"],
            id="one-per-lead-time",
        ),
        pytest.param(
            ("purpose: care, basis: contract, rule: membership, systems: [app]",), [], id="clock"
        ),
        pytest.param((STUDY,), ["2024-03-15T13:00Z", "2044-03-15T01:00Z"], id="research-alone"),
        pytest.param(
            ("purpose: tax, basis: law, rule: books, systems: [books]",),
            ["2031-12-31T23:00Z"],
            id="book-year",
        ),
        pytest.param(
            (
                "purpose: care, basis: contract, rule: year, systems: [app]",
                "purpose: service, basis: contract, rule: membership, systems: [app]",
                STUDY,
            ),
            ["2025-03-14T13:00Z", "2025-03-15T01:00Z", "2044-03-15T01:00Z"],
            id="pseudonym-by-event-or-clock",
        ),
    ],
)
def test_a_record_has_a_check_time_for_each_time_fixed_by_its_event(
    holdings: tuple[str, ...], expected: list[str]
) -> None:
    """Times that a clock fixes are check times of the clock."""
    policy = small(*holdings)
    wakes = event_check_times(tagged(policy), "client:1", policy)
    assert list(wakes) == [instant(text) for text in expected]


class Counted(tuple[Holding, ...]):
    """Holdings that count how often all of them are read."""

    times = 0

    def __iter__(self) -> Iterator[Holding]:
        type(self).times += 1
        return super().__iter__()


def test_an_event_of_many_subjects_is_scanned_once_and_not_for_each() -> None:
    """A ticket of thousands of consumers took the recorder fifteen seconds."""
    policy = small(
        "purpose: care, basis: contract, rule: year, systems: [books],"
        " subject: {kind: guest, field: guest_ids, each: true}"
    )
    guests = [f"g{number}" for number in range(300)]
    tagged_event = tagged(policy, *guests)
    many = replace(tagged_event, holdings=Counted(tagged_event.holdings))
    Counted.times = 0
    facts = Ended({})
    for subject in many.subjects:
        assert event_check_times(many, subject, policy)
        assert clocks_of(many, subject, policy) == ()
        assert obligations_of(many, subject, facts, policy)
    assert len(many.subjects) == 300
    assert Counted.times < 5
