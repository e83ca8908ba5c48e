"""Lint warns of policies that are valid, and are probably not what was meant."""

from __future__ import annotations

import pytest

from services.policy.lint import lint
from services.policy.loader import load, load_text
from tests.unit.policy.small import SMALL, replaced


def remarks(old: str, new: str) -> list[str]:
    """Return the warnings about the small policy after one change."""
    before = {(warning.key, warning.message) for warning in lint(load_text(SMALL, "small.yaml"))}
    after = lint(load_text(replaced(SMALL, old, new), "small.yaml"))
    return [
        f"{warning.key}: {warning.message}"
        for warning in after
        if (warning.key, warning.message) not in before
    ]


@pytest.mark.parametrize("term", ["PT6M", "PT23H59M59S", "PT1S"])
def test_lint_warns_of_a_term_below_a_day(term: str) -> None:
    """M after T means minutes, where months were meant."""
    assert f"rules.books: lasts less than a day ({term}): after T, M is minutes, not months" in (
        remarks("term: P7Y", f"term: {term}")
    )


@pytest.mark.parametrize("term", ["PT24H", "P1D", "P6M"])
def test_lint_accepts_a_term_of_a_day(term: str) -> None:
    assert not [
        remark for remark in remarks("term: P7Y", f"term: {term}") if "less than a day" in remark
    ]


def test_lint_accepts_a_term_of_zero() -> None:
    """With P0D data is due at the time of its event: the small policy has one."""
    assert not [
        warning
        for warning in lint(load_text(SMALL, "small.yaml"))
        if "less than a day" in warning.message
    ]


def test_lint_warns_of_a_lead_time_longer_than_a_term() -> None:
    """The command is sent at once, and is late from the beginning."""
    warnings = remarks("lead_time: PT48H", "lead_time: PT9000H")
    assert warnings == []  # the books have a duty of a minimum only: no promise to be late for
    [remark] = remarks(
        "app: {title: App, owner: us}", "app: {title: App, owner: us, lead_time: PT9000H}"
    )
    assert remark == (
        "systems.app.lead_time: PT9000H is longer than the term of year (P1Y):"
        " its commands leave at once, without time for retries"
    )


def test_lint_has_no_such_warnings_about_the_shipped_policy() -> None:
    warnings = [warning.message for warning in lint(load())]
    assert not [
        warning
        for warning in warnings
        if "less than a day" in warning or "is longer than the term" in warning
    ]


def about(text: str, *keys: str) -> list[str]:
    """Return the warnings about these keys of a policy."""
    warnings = lint(load_text(text, "small.yaml"))
    return [f"{item.key}: {item.message}" for item in warnings if item.key in keys]


BASES = (
    "  consent: {title: Consent, dpv: eu-gdpr:A6-1-a, article: GDPR 6(1)(a), ground: consent}\n"
    "  law: {title: Law"
)
HOLDING = "{purpose: care, basis: contract, rule: year, systems: [app]}"


@pytest.mark.parametrize(
    ("holding", "change"),
    [
        ("basis: contract, rule: year", "on_consent: {basis: consent, rule: two-years}"),
        ("basis: consent, rule: two-years", "on_withdrawal: {basis: contract, rule: year}"),
    ],
)
def test_what_only_a_change_of_consent_names_is_used(holding: str, change: str) -> None:
    text = replaced(
        replaced(SMALL, "  law: {title: Law", BASES),
        HOLDING,
        f"{{purpose: care, {holding}, systems: [app], {change}}}",
    )
    assert about(text, "rules.year", "rules.two-years", "bases.contract") == []
    assert "is defined and never used" in "".join(about(SMALL, "rules.two-years"))


@pytest.mark.parametrize(
    ("system", "warnings"),
    [
        (
            "museum: {title: Museum, owner: them, role: controller}",
            ["systems.museum: holds no data and gives no notice: nothing is ever commanded there"],
        ),
        ("museum: {title: Museum, owner: them, retired: 2020-01-01T00:00:00Z}", []),
    ],
)
def test_lint_warns_of_a_system_that_holds_nothing(system: str, warnings: list[str]) -> None:
    """One that is retired may be empty."""
    text = replaced(SMALL, "  app: {title: App", f"  {system}\n  app: {{title: App")
    assert about(text, "systems.museum", "systems.app") == warnings


def test_lint_warns_of_a_clock_that_no_event_ends() -> None:
    text = replaced(
        SMALL,
        "      - {clock: membership, move: end}\n",
        "      - {clock: membership, move: start}\n",
    )
    assert about(text, "clocks.membership") == [
        "clocks.membership: no event ends it, so what membership keeps is kept permanently:"
        " add an event with `moves`"
    ]
    alarmed = replaced(
        SMALL, "    key: [client_id]\n", "    key: [client_id]\n    max_open: P3650D\n"
    )
    assert about(alarmed, "clocks.membership") == []


RARE = (
    "clocks.membership: may stay open, and what membership keeps with it, without an alarm;"
    " set `max_open`"
)
JOINS_CLUB = "      - {clock: membership, move: start}\n"


@pytest.mark.parametrize("joined", ["", f"    moves:\n{JOINS_CLUB}"], ids=["", "started"])
def test_lint_warns_of_a_clock_that_only_another_event_ends(joined: str) -> None:
    """Whether an event starts it makes no difference: the one that ends it may never come."""
    joins = (
        "  club.renewed:\n    process: p\n    fields: {client_id: {}}\n"
        "    subject: [{kind: client, field: client_id}]\n    categories: [contact]\n"
        "    holdings: [{purpose: care, basis: contract, rule: membership, systems: [app]}]\n"
    )
    assert about(SMALL + joins + joined, "clocks.membership") == [RARE]


@pytest.mark.parametrize(
    ("field", "move", "warned"),
    [
        ("", "", False),
        ("until: {type: date}", ", at: until", False),
        ("until: {type: date, required: false}", ", at: until", True),
        ("other: {}", ", key: {client_id: other}", True),
    ],
)
def test_an_event_that_surely_ends_the_clock_of_its_own_data_needs_no_alarm(
    field: str, move: str, warned: bool
) -> None:
    """As a last activity does; one without its date, or that ends another one's clock, does not."""
    seen = (
        f"  club.seen:\n    process: p\n    fields: {{client_id: {{}}, {field}}}\n"
        "    subject: [{kind: client, field: client_id}]\n    categories: [contact]\n"
        "    holdings: [{purpose: care, basis: contract, rule: membership, systems: [app]}]\n"
        f"    moves: [{{clock: membership, move: end{move}}}]\n"
    )
    assert about(SMALL + seen, "clocks.membership") == ([RARE] if warned else [])


def test_the_end_of_a_parent_ends_a_clock() -> None:
    text = replaced(
        SMALL, "    key: [stay_id]\n", "    key: [client_id, stay_id]\n    parent: membership\n"
    )
    text = replaced(
        text,
        "  club.checked-out:\n    process: p\n    fields:\n      stay_id: {}\n    moves:\n"
        "      - {clock: stay, move: end}\n",
        "",
    )
    assert about(text, "clocks.stay") == []


def test_lint_warns_of_an_end_that_cannot_be_undone_and_erases_at_once() -> None:
    """A stay that was ended by mistake: everything is erased before anybody notices."""
    at_once = HOLDING.replace("rule: year", "rule: at-once")
    text = replaced(SMALL, HOLDING, at_once)
    assert about(text, "clocks.stay") == [
        "clocks.stay: no event starts it again, and at-once erases at its end:"
        " an end by mistake cannot be undone"
    ]
    started = (
        text
        + "  club.checked-in: {process: p, fields: {stay_id: {}}, moves: [{clock: stay, move: start}]}\n"
    )
    assert about(started, "clocks.stay") == []
    assert about(SMALL, "clocks.stay") == []


ACT = (
    "  club.{0}: {{process: q, fields: {{client_id: {{}}{1}}},"
    " subject: [{{kind: client, field: client_id}}], act: {0}}}\n"
)


def test_lint_warns_of_consent_that_no_event_withdraws() -> None:
    text = replaced(
        replaced(SMALL, "  law: {title: Law", BASES),
        HOLDING,
        HOLDING.replace("contract", "consent"),
    )
    assert about(text, "bases.consent") == [
        "bases.consent: is consent, and no event withdraws it (GDPR 7(3)); `include: gdpr` adds one"
    ]
    assert about(text + ACT.format("consent-withdrawn", ", purpose: {}"), "bases.consent") == []


def test_lint_warns_of_requests_that_no_event_answers() -> None:
    rights = "[access, rectification, erasure, portability, restriction]"
    text = SMALL + ACT.format(
        "request-received", f", request_id: {{}}, right: {{one_of: {rights}}}"
    )
    assert about(text, "events.club.request-received")[:2] == [
        "events.club.request-received: requests are received, and no event answers them;"
        " `include: gdpr` adds one",
        "events.club.request-received: requests are received, and no event refuses them;"
        " `include: gdpr` adds one",
    ]
    text += ACT.format("request-answered", ", request_id: {}")
    text += ACT.format("request-refused", ", request_id: {}")
    assert not [line for line in about(text, "events.club.request-received") if "no event" in line]


def test_lint_warns_where_nobody_can_place_or_release_a_legal_hold() -> None:
    assert about(SMALL, "events") == [
        "events: no event places a legal hold; `include: gdpr` adds one"
    ]
    placed = SMALL + ACT.format("hold-placed", ", hold_id: {}")
    assert about(placed, "events") == []
    assert about(placed, "events.club.hold-placed")[0] == (
        "events.club.hold-placed: legal holds are placed, and no event releases them;"
        " `include: gdpr` adds one"
    )
    released = placed + ACT.format("hold-released", ", hold_id: {}")
    assert not [line for line in about(released, "events.club.hold-placed") if "no event" in line]


def test_lint_finds_nothing_missing_in_what_include_gdpr_adds() -> None:
    """The shipped policy includes it."""
    assert not [item for item in lint(load()) if "no event" in item.message]


@pytest.mark.parametrize(
    ("term_from", "basis", "warned"),
    [
        ("stated", "interest", True),
        ("statute", "interest", False),
        ("stated", "contract", False),
    ],
)
def test_lint_warns_of_a_stated_minimum_on_a_legitimate_interest(
    term_from: str, basis: str, warned: bool
) -> None:
    """A promise that was written as a minimum: a granted request for erasure would not end it."""
    text = replaced(
        SMALL,
        "  law: {title: Law",
        "  interest: {title: I, dpv: eu-gdpr:A6-1-f, article: GDPR 6(1)(f), ground:"
        " legitimate_interest}\n  law: {title: Law",
    )
    rule = (
        f"  photos: {{title: P, kind: at_least, term: P10Y, anchor: {{kind: event}}, source: s,"
        f" term_from: {term_from}, anchor_from: stated}}\n"
    )
    text = replaced(text, "rules:\n", f"rules:\n{rule}")
    text = replaced(
        text, HOLDING, f"{{purpose: care, basis: {basis}, rule: photos, systems: [app]}}"
    )
    expected = (
        "rules.photos.kind: is a minimum by the statement alone, and club.joined keeps data under it on a"
        " legitimate interest: it also holds against a request for erasure; use `at_most` for what is"
        " promised"
    )
    assert about(text, "rules.photos.kind") == ([expected] if warned else [])


def test_lint_warns_of_a_clock_from_which_no_rule_counts() -> None:
    """Its events do nothing; a parent of a clock that counts does, and those of requests may."""
    assert remarks("{kind: clock, clock: membership}", "{kind: event}") == [
        "clocks.membership: no rule counts from it, and what moves it has no effect:"
        " club.left, club.returned"
    ]


def test_lint_warns_of_an_optional_field_without_which_an_event_is_parked() -> None:
    """Its data would wait for a clock that the event does not name."""
    text = replaced(SMALL, "rule: year, systems", "rule: stay, systems")
    optional = replaced(
        text,
        "      stay_id: {business_key: true}",
        "      stay_id: {business_key: true, required: false}",
    )
    new = [
        f"{warning.key}: {warning.message}"
        for warning in lint(load_text(optional, "small.yaml"))
        if warning not in list(lint(load_text(text, "small.yaml")))
    ]
    assert new == [
        "events.club.joined.fields.stay_id: is optional, and a key field of stay: an event without it"
        " is parked"
    ]
