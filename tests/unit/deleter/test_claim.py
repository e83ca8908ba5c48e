"""Claiming without a ledger: which due obligations are not commanded yet, and how they form commands."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from services.deleter.planning import outstanding
from services.deleter.record_planning import PlannedObligation, group_into_commands
from services.policy.obligation import Action, Obligation

DUE = datetime(2024, 3, 15, 13, tzinfo=UTC)
CLOCK = UUID(int=9)


def step(system: str, action: Action, *purposes: str) -> Obligation:
    return Obligation(
        system=system,
        action=action,
        due=DUE,
        not_before=None,
        erase_by=DUE,
        rules=("R1",),
        purposes=purposes or ("service_delivery",),
        clocks=(),
        reason="the purpose has ended",
    )


def wanted(
    number: int, obligation: Obligation, subject: str = "customer:1", epoch: int = 1
) -> PlannedObligation:
    return PlannedObligation(
        record_id=UUID(int=number),
        subject=subject,
        obligation=obligation,
        epochs=(("relationship:1", CLOCK, epoch),),
        names_subject=True,
        acts=0,
    )


ERASE, RESTRICT = step("crm", "erase"), step("crm", "restrict", "a", "b")
MASK = step("research", "pseudonymise")


@pytest.mark.parametrize(
    ("due", "done", "expected"),
    [
        pytest.param([ERASE], [], [ERASE], id="nothing-done"),
        pytest.param([ERASE], [("crm", "erase")], [], id="done"),
        pytest.param([ERASE], [("psp", "erase")], [ERASE], id="another-systems"),
        pytest.param([RESTRICT, ERASE], [], [ERASE], id="an-erasure-makes-the-rest-needless"),
        pytest.param([RESTRICT], [("crm", "erase")], [], id="erased-already"),
        pytest.param([RESTRICT], [("crm", "restrict a b")], [], id="the-same-restriction"),
        pytest.param([RESTRICT], [("crm", "restrict a")], [RESTRICT], id="another-restriction"),
        pytest.param([ERASE], [("crm", "restrict a b")], [ERASE], id="restricted-before"),
        pytest.param([MASK, ERASE], [], [MASK, ERASE], id="each-system-by-itself"),
        pytest.param([MASK], [("research", "pseudonymise")], [], id="pseudonymised"),
    ],
)
def test_due_obligations_that_are_not_commanded_are_claimed(
    due: list[Obligation], done: list[tuple[str, str]], expected: list[Obligation]
) -> None:
    """They are what the facts require, minus what the outbox has."""
    assert outstanding(due, done) == expected


def test_restrictions_are_distinguished_by_their_purposes() -> None:
    """There may be several in one system."""
    assert RESTRICT.key == "restrict a b"
    assert ERASE.key == "erase"
    assert MASK.key == "pseudonymise"


def test_records_with_the_same_instruction_are_one_command() -> None:
    """They are in the order of their keys, in whatever order they were found."""
    (draft,) = group_into_commands([wanted(3, ERASE), wanted(1, ERASE), wanted(2, ERASE)])
    assert draft.records == (UUID(int=1), UUID(int=2), UUID(int=3))
    assert (draft.system, draft.subject, draft.action, draft.cause) == (
        "crm",
        "customer:1",
        "erase",
        "relationship:1#1",
    )


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(wanted(2, ERASE, subject="customer:2"), id="subject"),
        pytest.param(wanted(2, step("psp", "erase")), id="system"),
        pytest.param(wanted(2, ERASE._replace(due=datetime(2025, 1, 1, tzinfo=UTC))), id="due"),
        pytest.param(wanted(2, ERASE._replace(not_before=DUE)), id="not-before"),
        pytest.param(wanted(2, ERASE, epoch=2), id="epoch"),
        pytest.param(wanted(2, ERASE)._replace(names_subject=False), id="naming"),
    ],
)
def test_records_with_different_instructions_are_in_different_commands(
    other: PlannedObligation,
) -> None:
    """A command has the same instruction for all its records."""
    assert len(group_into_commands([wanted(1, ERASE), other])) == 2


@pytest.mark.parametrize(
    ("count", "sizes"), [(500, [500]), (501, [500, 1]), (1200, [500, 500, 200])]
)
def test_a_command_names_500_records_at_most(count: int, sizes: list[int]) -> None:
    """The rest is in the next, in the order of the keys."""
    drafts = group_into_commands(wanted(number, ERASE) for number in range(1, count + 1))
    assert sorted((len(draft.records) for draft in drafts), reverse=True) == sizes
    assert sorted(record for draft in drafts for record in draft.records) == [
        UUID(int=number) for number in range(1, count + 1)
    ]


def test_a_command_is_split_where_its_records_would_be_too_large_for_kafka() -> None:
    """A record that is too large alone has a command of its own; no record is left out."""
    sizes = [200_000, 200_000, 100_000, 1, 600_000, 1]
    drafts = group_into_commands(
        wanted(number, ERASE)._replace(size=size) for number, size in enumerate(sizes, start=1)
    )
    assert [[record.int for record in each.records] for each in drafts] == [
        [1, 2, 3],
        [4],
        [5],
        [6],
    ]


def test_the_id_of_a_command_depends_on_its_action_and_records() -> None:
    """Epoch, system and number count too; the same command has the same id."""
    (draft,) = group_into_commands([wanted(1, ERASE), wanted(2, ERASE)])
    (same,) = group_into_commands([wanted(2, ERASE), wanted(1, ERASE)])
    others = [
        *group_into_commands([wanted(1, ERASE, epoch=2), wanted(2, ERASE, epoch=2)]),
        *group_into_commands([wanted(1, RESTRICT), wanted(2, RESTRICT)]),
        *group_into_commands([wanted(1, step("psp", "erase")), wanted(2, step("psp", "erase"))]),
        *group_into_commands([wanted(1, ERASE)]),
        draft._replace(supersedes=UUID(int=7)),
    ]
    assert draft.command_id(1) == same.command_id(1)
    ids = {draft.command_id(1), draft.command_id(2), *(other.command_id(1) for other in others)}
    assert len(ids) == 7


def test_the_id_of_a_command_is_fixed() -> None:
    """A later version must compute the same id, or it would command again what was sent."""
    (draft,) = group_into_commands([wanted(1, ERASE)])
    assert str(draft.command_id(1)) == "2a9f67f3-9372-56a2-93ca-9b94472cd9cb"
