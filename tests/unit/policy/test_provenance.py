"""The duty to inform people where their data comes from (GDPR 14(3)); every instant is written by hand."""

from __future__ import annotations

from itertools import permutations

import pytest

from services.policy import loader
from services.policy.event_type import ProvenanceReport
from services.policy.lint import lint
from services.policy.loader import InvalidPolicy, load_text
from services.policy.provenance import Duty, find_duty, report_of
from tests.unit.policy.constructs import instant
from tests.unit.policy.small import SMALL, replaced

SHIPPED = loader.load()


def duty(obtained: str, *others: tuple[ProvenanceReport, str]) -> Duty:
    """The duty about data of that time under the shipped policy, in Amsterdam."""
    return find_duty(instant(obtained), [(report, instant(at)) for report, at in others], SHIPPED)


@pytest.mark.parametrize(
    ("obtained", "inform_by"),
    [
        ("2024-03-15T14:00+01:00", "2024-04-15T14:00+02:00"),
        ("2024-01-31T23:30+01:00", "2024-02-29T23:30+01:00"),
        ("2023-01-31T23:30+01:00", "2023-02-28T23:30+01:00"),
        ("2024-12-31T12:00+01:00", "2025-01-31T12:00+01:00"),
        # 02:30 does not exist on 31 March, and exists twice on 27 October: the earlier instant.
        ("2024-02-29T02:30+01:00", "2024-03-29T02:30+01:00"),
        ("2024-01-31T02:30+01:00", "2024-02-29T02:30+01:00"),
        ("2024-09-27T02:30+02:00", "2024-10-27T02:30+02:00"),
        # Local days: still 31 January in London, already 1 February here.
        ("2024-01-31T23:30Z", "2024-03-01T00:30+01:00"),
    ],
)
def test_the_month_is_one_of_the_calendar(obtained: str, inform_by: str) -> None:
    assert duty(obtained) == Duty(inform_by=instant(inform_by), reason="month", informed_at=None)


def test_a_contact_or_a_disclosure_ends_the_time_early() -> None:
    """GDPR 14(3)(b) and (c): at the latest when they are first written to, or their data passed on."""
    contacted = duty("2024-03-15T14:00Z", ("contacted", "2024-03-20T09:00Z"))
    assert (contacted.reason, contacted.inform_by) == ("contacted", instant("2024-03-20T09:00Z"))
    disclosed = duty(
        "2024-03-15T14:00Z",
        ("contacted", "2024-03-20T09:00Z"),
        ("disclosed", "2024-03-18T09:00Z"),
    )
    assert (disclosed.reason, disclosed.inform_by) == ("disclosed", instant("2024-03-18T09:00Z"))
    after = duty("2024-03-15T14:00Z", ("contacted", "2024-05-20T09:00Z"))
    assert (after.reason, after.inform_by) == ("month", instant("2024-04-15T13:00Z"))


def test_what_happened_before_the_data_was_obtained_changes_nothing() -> None:
    """Who was informed of an earlier source, or written to because of it, does not know this one."""
    found = duty(
        "2024-03-15T14:00Z",
        ("informed", "2024-03-15T13:59:59Z"),
        ("contacted", "2024-03-01T09:00Z"),
    )
    assert found == Duty(inform_by=instant("2024-04-15T13:00Z"), reason="month", informed_at=None)


def test_told_with_the_first_message_is_in_time() -> None:
    """At the same instant: it is part of the message."""
    at = "2024-03-20T09:00Z"
    found = duty("2024-03-15T14:00Z", ("contacted", at), ("informed", at))
    assert (found.informed_at, found.is_late) == (instant(at), False)
    assert duty(
        "2024-03-15T14:00Z", ("contacted", at), ("informed", "2024-03-20T09:00:01Z")
    ).is_late


def test_the_order_of_reports_does_not_matter() -> None:
    reports: list[tuple[ProvenanceReport, str]] = [
        ("informed", "2024-03-30T09:00Z"),
        ("informed", "2024-03-01T09:00Z"),
        ("contacted", "2024-03-25T09:00Z"),
        ("disclosed", "2024-03-26T09:00Z"),
    ]
    found = {duty("2024-03-15T14:00Z", *order) for order in permutations(reports)}
    assert found == {
        Duty(
            inform_by=instant("2024-03-25T09:00Z"),
            reason="contacted",
            informed_at=instant("2024-03-30T09:00Z"),
        )
    }


@pytest.mark.parametrize(
    ("source", "report"),
    [("fair", None), ("website", None), ("bought list", "obtained"), ("anything new", "obtained")],
)
def test_a_source_that_is_not_known_to_be_the_person_starts_the_duty(
    source: str, report: str | None
) -> None:
    """A new name for a bought list must not be silently taken for the person."""
    kind = SHIPPED.events["acquisition.lead-acquired"]
    assert report_of(kind, {"prospect_id": "P1", "source": source}) == report
    assert report_of(SHIPPED.events["acquisition.lead-contacted"], {"prospect_id": "P1"}) == (
        "contacted"
    )


def test_both_conditions_must_hold() -> None:
    """A report `when` some values, `unless` others."""
    line = "    provenance: {reports: obtained, when: {level: [full]}, unless: {paid: [true]}}\n"
    policy = load_text(
        replaced(SMALL, "    categories: [contact]\n", f"    categories: [contact]\n{line}"), "s"
    )
    kind = policy.events["club.joined"]
    assert report_of(kind, {"level": "full", "paid": False}) == "obtained"
    assert report_of(kind, {"level": "full"}) == "obtained"
    assert report_of(kind, {"level": "basic"}) is None
    assert report_of(kind, {"level": "full", "paid": True}) is None


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            "{reports: obtained, unless: {levell: [full]}}",
            "events.club.joined.provenance.unless.levell: 'levell' is not defined; did you mean level?",
        ),
        (
            "{reports: obtained, when: {level: [ful]}}",
            "events.club.joined.provenance.when.level: 'ful' is not one of basic, full;"
            " did you mean full?",
        ),
        (
            "{reports: obtain}",
            "events.club.joined.provenance.reports: is not one of obtained, contacted, disclosed, informed,"
            " got 'obtain'; did you mean obtained?",
        ),
    ],
)
def test_a_mistake_in_it_is_one_clear_line(line: str, problem: str) -> None:
    text = replaced(
        SMALL, "    categories: [contact]\n", f"    categories: [contact]\n    provenance: {line}\n"
    )
    with pytest.raises(InvalidPolicy) as refused:
        load_text(text, "small.yaml")
    assert [part.partition(": ")[2] for part in str(refused.value).splitlines()] == [problem]


def test_an_event_without_a_subject_reports_nothing_about_a_person() -> None:
    text = replaced(
        SMALL,
        "  club.left:\n    process: o\n",
        "  club.left:\n    process: o\n    provenance: {reports: informed}\n",
    )
    with pytest.raises(
        InvalidPolicy, match="provenance: needs an event that names its data subject"
    ):
        load_text(text, "small.yaml")


@pytest.mark.parametrize(
    ("reports", "warning"),
    [
        ("obtained", "no event reports that they were"),
        ("informed", "no event reports that data was obtained"),
    ],
)
def test_lint_names_a_duty_with_one_end(reports: str, warning: str) -> None:
    text = replaced(
        SMALL,
        "    categories: [contact]\n",
        f"    categories: [contact]\n    provenance: {{reports: {reports}}}\n",
    )
    found = [str(line) for line in lint(load_text(text, "small.yaml"))]
    assert any(warning in line for line in found), found
    assert not [line for line in map(str, lint(SHIPPED)) if "where their data comes from" in line]
