"""Names that cannot work are refused with the policy, and not found at the first event."""

from __future__ import annotations

import pytest

from services.policy.loader import InvalidPolicy, load_text
from tests.unit.policy.small import SMALL

LONG = "x" * 101


def problem_texts(text: str) -> list[str]:
    """Return what is wrong with a policy, without its file and line."""
    with pytest.raises(InvalidPolicy) as refused:
        load_text(text, "small.yaml")
    return [f"{problem.key}: {problem.why}" for problem in refused.value.problems]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("  lab: {", "  my crm/1: {", "systems.my crm/1: is not a valid name of a system: "),
        ("  lab: {", "  ../crm: {", "systems.../crm: is not a valid name of a system: "),
        ("  lab: {", "  CRM: {", "systems.CRM: is not a valid name of a system: "),
        ("  lab: {", "  lab.: {", "systems.lab.: is not a valid name of a system: "),
        ("  lab: {", f"  {LONG}: {{", f"systems.{LONG}: is not a valid name of a system: "),
        ("  lab: {", "  deleter: {", "systems.deleter: is Termijn's own name"),
        (
            "  guest: {",
            "  gu:est: {",
            "subjects.gu:est: is not a valid name of a kind of data subject: ",
        ),
        (
            "  guest: {",
            "  'gu est': {",
            "subjects.gu est: is not a valid name of a kind of data subject: ",
        ),
        (
            "  stay:\n    title: Stay\n",
            "  s:tay:\n    title: Stay\n",
            "clocks.s:tay: is not a valid name: ",
        ),
        ("  two-years:", '  "two\\x00years":', "rules.two\x00years: is not a valid name: "),
        ("  two-years:", '  "":', "rules.: is not a valid name: "),
        ("  two-years:", '  " a":', "rules. a: is not a valid name: "),
        ("  care: {", f"  {LONG}: {{", f"purposes.{LONG}: is not a valid name: "),
        ("  law: {", '  "l\\x1baw": {', "bases.l\x1baw: is not a valid name: "),
        (
            "  contact: {title",
            '  "c\\u202eontact": {title',
            "categories.c\u202eontact: is not a valid name",
        ),
        (
            "  club.joined:",
            "  clinic visit made!:",
            "events.clinic visit made!: is not a valid event type",
        ),
        ("  club.joined:", f"  {'a' * 247}:", f"events.{'a' * 247}: is not a valid event type"),
        ("  club.joined:", "  retention.tagged:", "events.retention.tagged: begins with"),
        ("  club.joined:", "  __consumer:", "events.__consumer: is not a valid event type"),
        ("policy: small", 'policy: "a\\x00"', "policy: is not a valid name: "),
        ('version: "1"', 'version: ""', "version: is not a valid name: "),
    ],
    ids=lambda text: ascii(text)[:24],
)
def test_a_name_that_cannot_be_used_everywhere_is_refused(
    old: str, new: str, expected: str
) -> None:
    assert old in SMALL
    assert any(
        problem.startswith(expected) for problem in problem_texts(SMALL.replace(old, new, 1))
    )


def test_a_field_that_no_schema_can_have_is_refused() -> None:
    """Avro has no such field, so that it would always be missing."""
    new = SMALL.replace("client_id: {", "'client id': {}\n      client_id: {", 1)
    assert new != SMALL
    assert any(
        ".fields.client id: is not a valid name of a field: " in problem
        for problem in problem_texts(new)
    )


@pytest.mark.parametrize("section", ["systems", "events"])
def test_two_names_that_kafka_cannot_distinguish_are_refused(section: str) -> None:
    """Its metrics write a dot as an underscore, so it refuses the second topic."""
    other = {
        "systems": ("  lab: {", "  my.lab: {title: A, owner: us}\n  my_lab: {", "systems.my_lab"),
        "events": ("  club.joined:", "  club_joined: &x\n", "events.club_joined"),
    }
    if section == "systems":
        old, new, key = other["systems"]
        assert f"{key}: is to Kafka the same topic name as my.lab" in problem_texts(
            SMALL.replace(old, new, 1)
        )
        return
    text = SMALL.replace("  club.joined:", "  club_joined: &joined", 1).replace(
        "\n  club.", "\n  club.joined: *joined\n  club.", 1
    )
    assert "events.club.joined: is to Kafka the same topic name as club_joined" in problem_texts(
        text
    )
