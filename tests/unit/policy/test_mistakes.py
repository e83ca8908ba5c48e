"""Mistakes that a beginner makes in a policy file: each is reported once, in one clear line."""

from __future__ import annotations

from contextlib import suppress

import pytest

from services.policy.loader import InvalidPolicy, load_text
from tests.unit.policy.small import SMALL, line_of, replaced

HOLDING = "{purpose: care, basis: contract, rule: year, systems: [app]}"


def lines(text: str) -> list[str]:
    """Return the lines of the error about a policy, without the name of its file."""
    with pytest.raises(InvalidPolicy) as refused:
        load_text(text, "small.yaml")
    return [line.removeprefix("small.yaml:") for line in str(refused.value).splitlines()]


@pytest.mark.parametrize(
    ("old", "new", "reported"),
    [
        (
            "controller:\n",
            "contoller:\n",
            "4: contoller: is not a known key; did you mean controller?",
        ),
        (
            "  name: Small\n",
            "  nam: Small\n",
            "5: controller.nam: is not a known key; did you mean name?",
        ),
        ("  contact: privacy@small.example\n", "", "4: controller.contact: is missing"),
        (
            "time_zone: Europe/Amsterdam",
            "time_zone: Amsterdam",
            "7: controller.time_zone: 'Amsterdam' is not a time zone such as"
            " Europe/Amsterdam; did you mean Europe/Amsterdam?",
        ),
        (
            "time_zone: Europe/Amsterdam",
            "time_zone: europe/amsterdam",
            "7: controller.time_zone: 'europe/amsterdam' is not a time zone such as"
            " Europe/Amsterdam; did you mean Europe/Amsterdam?",
        ),
        (
            'version: "1"',
            "version: 1",
            "2: version: is not text; write it in quotes, got a whole number",
        ),
        (
            "https://w3id.org/dpv/2.3",
            "https://w3id.org/dpv",
            "3: dpv: is not one of https://w3id.org/dpv/2.3, got 'https://w3id.org/dpv'; did you mean"
            " https://w3id.org/dpv/2.3?",
        ),
        (
            "term: P7Y",
            "term: 7 years",
            "79: rules.books.term: '7 years' is not an ISO 8601 period such as P2Y, P1M or"
            " PT24H; did you mean P7Y?",
        ),
        (
            "term: P7Y",
            "term: 7Y",
            "79: rules.books.term: '7Y' is not an ISO 8601 period such as P2Y, P1M or"
            " PT24H; did you mean P7Y?",
        ),
        (
            "term: P7Y",
            "term: 7",
            "79: rules.books.term: is not text; write it in quotes, got a whole number",
        ),
        (
            "term: P7Y",
            "term: P7Years",
            "79: rules.books.term: 'P7Years' is not an ISO 8601 period such as P2Y, P1M or"
            " PT24H; did you mean P7Y?",
        ),
        (
            "kind: at_least",
            "kind: atleast",
            "78: rules.books.kind: is not one of at_most, at_least, got 'atleast'; did you mean at_least?",
        ),
        (
            "kind: at_least",
            "kind: minimum",
            "78: rules.books.kind: is not one of at_most, at_least, got 'minimum'",
        ),
        (
            "term_from: statute",
            "term_from: law",
            "81: rules.books.term_from: is not one of stated, statute, derived, got 'law'",
        ),
        (
            "    rationale: Long enough.\n",
            "",
            "59: rules.stay: a derived term or anchor needs a rationale",
        ),
        (
            "anchor: {kind: book-year}",
            "anchor: {kind: bookyear}",
            "80: rules.books.anchor.kind: is not one of event, book-year, clock,"
            " field, got 'bookyear'; did you mean book-year?",
        ),
        (
            "anchor: {kind: book-year}",
            "anchor: book-year",
            "80: rules.books.anchor: is not a map, got text; write its keys and values in { }",
        ),
        (
            "anchor: {kind: clock, clock: membership}",
            "anchor: {kind: clock, clock: memberships}",
            "55: rules.membership.anchor.clock: 'memberships' is not defined; did you mean"
            " membership?",
        ),
        (
            "anchor: {kind: clock, clock: membership}",
            "anchor: {kind: clock}",
            "55: rules.membership.anchor: `clock` must be set for kind `clock`, and for no"
            " other kind",
        ),
        (
            "anchor: {kind: clock, clock: membership}",
            "anchor: {kind: event, clock: membership}",
            "55: rules.membership.anchor: `clock` must be set for kind `clock`, and for no"
            " other kind",
        ),
        (
            "{purpose: care, basis: contract, rule: year, systems: [app]}",
            "{purpose: Care, basis: contract, rule: year, systems: [app]}",
            "106: events.club.joined.holdings.0.purpose: 'Care' is not defined; did you mean care?",
        ),
        (
            "{purpose: care, basis: contract, rule: year, systems: [app]}",
            "{purpose: care, basis: contarct, rule: year, systems: [app]}",
            "106: events.club.joined.holdings.0.basis: 'contarct' is not defined; did you"
            " mean contract?",
        ),
        (
            "{purpose: care, basis: contract, rule: year, systems: [app]}",
            "{purpose: care, basis: contract, rule: years, systems: [app]}",
            "106: events.club.joined.holdings.0.rule: 'years' is not defined; did you mean year?",
        ),
        (
            "{purpose: care, basis: contract, rule: year, systems: [app]}",
            "{purpose: care, basis: contract, rule: year, systems: app}",
            "106: events.club.joined.holdings.0.systems: is not a list, got text; write it in [ ]",
        ),
        (
            "{purpose: care, basis: contract, rule: year, systems: [app]}",
            "{purpose: care, basis: contract, rule: year, systems: [ap]}",
            "106: events.club.joined.holdings.0.systems.0: 'ap' is not defined; did you mean app?",
        ),
        (
            "{purpose: care, basis: contract, rule: year, systems: [app]}",
            "{purpose: care, basis: contract, rule: year, system: [app]}",
            "106: events.club.joined.holdings.0.system: is not a known key; did you mean systems?",
        ),
        (
            "{purpose: care, basis: contract, rule: year, systems: [app]}",
            "{purpose: care, basis: contract, rule: year, systems: [app], when: {level: [ful]}}",
            "106: events.club.joined.holdings.0.when.level: 'ful' is not one of basic,"
            " full; did you mean full?",
        ),
        (
            "{purpose: care, basis: contract, rule: year, systems: [app]}",
            "{purpose: care, basis: contract, rule: year, systems: [app], when: {lvel: [full]}}",
            "106: events.club.joined.holdings.0.when.lvel: 'lvel' is not defined; did you"
            " mean level?",
        ),
        (
            "{purpose: care, basis: contract, rule: year, systems: [app]}",
            "{purpose: care, basis: contract, rule: year, systems: [app], when: {paid:"
            " [yes please]}}",
            "106: events.club.joined.holdings.0.when.paid: 'yes please' is text, and the field"
            " is a boolean; write true or false, without quotes",
        ),
        (
            HOLDING,
            HOLDING.replace("}", ", when: {level: [on]}}"),
            "106: events.club.joined.holdings.0.when.level: is true, as which YAML also reads yes or"
            " on, and not text; write it in quotes",
        ),
        (
            HOLDING,
            HOLDING.replace("}", ", when: {level: [[full]]}}"),
            "106: events.club.joined.holdings.0.when.level.0: is neither text nor true or false, got"
            " a list",
        ),
        (
            "      level: {default: basic, one_of: [basic, full]}",
            "      level: {default: no, one_of: [basic, full]}",
            "101: events.club.joined.fields.level.default: is false, as which YAML also reads no or"
            " off, and not text; write it in quotes",
        ),
        (
            "      guest_ids: {type: strings, required: false}",
            "      guest_ids: {type: strings, required: false}\n      vip: {type: boolean, default: 'no'}",
            "100: events.club.joined.fields.vip.default: 'no' is text, and the field is a boolean;"
            " write true or false, without quotes",
        ),
        (
            "{purpose: care, basis: contract, rule: year, systems: [app]}",
            "{purpose: care, basis: contract, rule: stay, systems: [app], key: {stay: stay_id}}",
            "106: events.club.joined.holdings.0.key.stay: 'stay' is not a key field of the"
            " rule's clock; did you mean stay_id?",
        ),
        (
            "      - {kind: client, field: client_id}",
            "      - {kind: client, field: clientid}",
            "103: events.club.joined.subject.0.field: 'clientid' is not defined; did you"
            " mean client_id?",
        ),
        (
            "      - {kind: client, field: client_id}",
            "      - {kind: clients, field: client_id}",
            "103: events.club.joined.subject.0.kind: 'clients' is not defined; did you"
            " mean client?",
        ),
        (
            "    categories: [contact]",
            "    categories: [contacts]",
            "104: events.club.joined.categories.0: 'contacts' is not defined; did you mean"
            " contact?",
        ),
        (
            "      - {clock: membership, move: end}",
            "      - {clock: membership, move: stop}",
            "112: events.club.left.moves.0.move: is not one of start, end, got 'stop'",
        ),
        (
            "      client_id: {business_key: true}",
            "      client_id: {busines_key: yes}",
            "97: events.club.joined.fields.client_id.busines_key: is not a known key; did"
            " you mean business_key?",
        ),
        (
            "      level: {default: basic, one_of: [basic, full]}",
            "      level: {default: basik, one_of: [basic, full]}",
            "101: events.club.joined.fields.level.default: 'basik' is not one of basic,"
            " full; did you mean basic?",
        ),
        (
            "      guest_ids: {type: strings, required: false}",
            "      guest_ids: {type: list, required: false}",
            "99: events.club.joined.fields.guest_ids.type: is not one of string, boolean, strings,"
            " date, got 'list'",
        ),
        (
            "  books: {title: Books, owner: us, lead_time: PT48H}",
            "  books: {title: Books, owner: us, lead_time: P2D}",
            "24: systems.books.lead_time: 'P2D' is not an exact period such as PT24H: a"
            " day's length varies",
        ),
        (
            "  books: {title: Books, owner: us, lead_time: PT48H}",
            "  Books: {title: Books, owner: us, lead_time: PT48H}",
            "24: systems.Books: is not a valid name of a system: small letters, digits and"
            " ._- only, at most 100; it is part of topics' names",
        ),
        (
            "  books: {title: Books, owner: us, lead_time: PT48H}",
            "  books: {title: Books, owner: us, outside_eea: true}",
            "24: systems.books.outside_eea: a system outside the EEA needs a safeguard",
        ),
        (
            "  contact: {title: Contact, dpv: [pd:Name]}",
            "  contact: {title: Contact, dpv: pd:Name}",
            "18: categories.contact.dpv: is not a list, got text; write it in [ ]",
        ),
        (
            "  contact: {title: Contact, dpv: [pd:Name]}",
            "  contact: {title: Contact, dpv: [pd:Naam]}",
            "18: categories.contact.dpv.0: 'pd:Naam' is not a term of DPV 2.3; did you"
            " mean pd:Name?",
        ),
        (
            "ground: contract}",
            "ground: contracts}",
            "15: bases.contract.ground: is not one of consent, contract, legal_obligation,"
            " vital_interests, public_task, legitimate_interest, got 'contracts'; did you mean contract?",
        ),
        (
            "  care: {title: Care, dpv",
            "  care: {titel: Care, dpv",
            "10: purposes.care.titel: is not a known key; did you mean title?",
        ),
        (
            "    title: A year\n",
            "\ttitle: A year\n",
            "36: is not YAML: a tab is not allowed here; indent with spaces",
        ),
        (
            "    title: A year\n",
            "    title: A year: in short\n",
            "36: is not YAML: a colon is not allowed here; check the line above, or write"
            " the text in quotes",
        ),
        (
            "    title: A year\n",
            "    title: 'A year\n",
            "36: is not YAML: a quote is not closed; add it",
        ),
        (
            "    title: A year\n",
            "   title: A year\n",
            "37: is not YAML: a colon is not allowed here; check the line above, or write"
            " the text in quotes",
        ),
        (
            "    title: A year\n",
            "    title A year\n",
            "37: is not YAML: a colon is not allowed here; check the line above, or write"
            " the text in quotes",
        ),
        (
            "    categories: [contact]",
            "    categories: [contact",
            "104: is not YAML: a list is not closed; add a comma or ]",
        ),
        (
            "    title: A year\n",
            "    title: @year\n",
            "36: is not YAML: a text cannot begin with this character; write it in quotes",
        ),
        (
            "    title: A year\n",
            "    title: A year\n    title: One year\n",
            "37: is not YAML: the key 'title' is there twice, first in line 36; remove one",
        ),
        (
            "    categories: [contact]",
            "    categories: *contats",
            "104: is not YAML: *contats has no &contats",
        ),
        (
            "  club.checked-out:\n    process: p",
            "  club.checked-out:\n    proces: p",
            "120: events.club.checked-out.proces: is not a known key; did you mean process?",
        ),
        (
            "max_open: P30D",
            "max_open: P1M",
            "33: clocks.stay.max_open: 'P1M' is not a period in days such as P90D",
        ),
        (
            "    key: [stay_id]",
            "    key: stay_id",
            "32: clocks.stay.key: is not a list, got text; write it in [ ]",
        ),
        (
            "      - {clock: stay, move: end}\n",
            "      - {clock: stays, move: end}\n",
            "124: events.club.checked-out.moves.0.clock: 'stays' is not defined; did you"
            " mean stay?",
        ),
    ],
    ids=lambda text: text.strip()[:40],
)
def test_each_mistake_is_one_clear_line(old: str, new: str, reported: str) -> None:
    """It has the line, the key, what is wrong, and the nearest name or what to write."""
    assert lines(replaced(SMALL, old, new)) == [reported]


def with_mistakes(changes: dict[str, str]) -> str:
    text = SMALL
    for old, new in changes.items():
        text = replaced(text, old, new)
    return text


def test_mistakes_of_shape_and_of_meaning_are_told_together() -> None:
    """What is missing or of the wrong kind does not hide that a name is not defined."""
    text = with_mistakes(
        {
            "  name: Small\n": "  nam: Small\n",
            "kind: at_least": "kind: atleast",
            "term: P1M": "term: 1 month",
            HOLDING: HOLDING.replace("care", "cara"),
            "      - {clock: membership, move: end}": "      - {clock: membership}",
        }
    )
    assert [line.partition(": ")[2] for line in lines(text)] == [
        "controller.nam: is not a known key; did you mean name?",
        "rules.books.kind: is not one of at_most, at_least, got 'atleast'; did you mean at_least?",
        "events.club.left.moves.0.move: is missing",
        "rules.stay.term: '1 month' is not an ISO 8601 period such as P2Y, P1M or PT24H;"
        " did you mean P1M?",
        "events.club.joined.holdings.0.purpose: 'cara' is not defined; did you mean care?",
    ]


def test_values_that_yaml_reads_as_true_and_false_are_reported_without_samples() -> None:
    """One line for each value, and none about what replaces the wrong ones."""
    text = with_mistakes(
        {
            "level: {default: basic, one_of: [basic, full]}": "level: {one_of: [yes, no]}",
            HOLDING: HOLDING.replace("}", ", when: {level: ['yes']}}"),
        }
    )
    assert [line.partition(": ")[2] for line in lines(text)] == [
        f"events.club.joined.fields.level.one_of.{position}: is not text; write it in quotes, got true"
        " or false"
        for position in (0, 1)
    ]


def test_what_only_follows_from_another_mistake_is_not_told() -> None:
    """Which fields a holding needs is unknown while the kind of its rule's anchor is."""
    text = with_mistakes(
        {
            "anchor: {kind: clock, clock: membership}": "anchor: {kind: klok, clock: membership}",
            HOLDING: HOLDING.replace("year", "membership")[:-1] + ", key: {client_id: stay_id}}",
        }
    )
    assert lines(text) == [
        f"{line_of(text, 'kind: klok')}: rules.membership.anchor.kind:"
        " is not one of event, book-year, clock, field, got 'klok'"
    ]


@pytest.mark.parametrize(
    ("old", "new", "reported"),
    [
        (
            "    subject:\n      - {kind: client, field: client_id}\n",
            "    subjects:\n      - {kind: client, field: client_id}\n",
            "events.club.joined.subjects: is not a known key; did you mean subject?",
        ),
        (
            "    title: A year\n",
            "    title: A year\n    extends: base\n    objections: restrict\n",
            "rules.year.objections: is not a known key",
        ),
    ],
)
def test_a_misspelt_key_is_read_as_what_it_certainly_means(
    old: str, new: str, reported: str
) -> None:
    """So the event does not seem to lack its subject; a key that is only alike is left out."""
    found = [line.partition(": ")[2] for line in lines(replaced(SMALL, old, new))]
    assert [line for line in found if not line.startswith("rules.year.extends")] == [reported]


SHARED = "      - &care {purpose: care, basis: contract, rule: year, systems: [app]}\n"


@pytest.mark.parametrize(
    ("old", "new", "key", "reported"),
    [
        ("care, basis", "cara, basis", "purpose", "'cara' is not defined; did you mean care?"),
        ("basis: con", "bases: con", "bases", "is not a known key; did you mean basis?"),
        ("[app]", "app", "systems", "is not a list, got text; write it in [ ]"),
    ],
)
@pytest.mark.parametrize("use", ["*care", "{<<: *care}", "{<<: *care, for_kinds: [client]}"])
def test_a_mistake_in_what_an_anchor_shares_is_told_once(
    old: str, new: str, key: str, reported: str, use: str
) -> None:
    """At the anchor, however many places share it."""
    text = replaced(
        SMALL, f"      - {HOLDING}\n", replaced(SHARED, old, new) + f"      - {use}\n" * 3
    )
    place = line_of(text, "&care")
    assert lines(text) == [f"{place}: events.club.joined.holdings.0.{key}: {reported}"]


def test_an_anchor_that_is_not_defined_is_told_once_for_each_name() -> None:
    """At its first use, with the nearest name of an anchor; later lines are read as well."""
    text = (
        replaced(
            SMALL,
            f"      - {HOLDING}\n",
            SHARED + "      - *caer\n" * 2 + "      - *later\n",
        )
        + "titles: {nl: &later {purposes.care: Zorg, purposes.care: Hulp}}\n"
    )
    first = line_of(text, "&care") + 1
    last = len(text.splitlines())
    assert lines(text) == [
        f"{first}: is not YAML: *caer has no &caer; did you mean care?",
        f"{first + 2}: is not YAML: *later is used above &later in line {last}; move that up",
        f"{last}: is not YAML: the key 'purposes.care' is there twice, first in line"
        f" {last}; remove one",
    ]


def test_no_mistake_is_told_in_the_words_of_a_library() -> None:
    """Whatever is cut out of the file or put into it, at any place."""
    foreign = ("pydantic", "Input should", "scanning", "expected", "token", "mapping", "Traceback")
    for place in range(3, len(SMALL), 61):
        for text in (
            SMALL[:place] + SMALL[place + 3 :],
            SMALL[:place] + "'" + SMALL[place:],
            SMALL[:place],
        ):
            with suppress(InvalidPolicy):
                load_text(text, "small.yaml")
                continue
            reported = "\n".join(lines(text))
            assert not [word for word in foreign if word in reported], reported


def test_an_event_without_the_key_of_a_clock_is_named_with_clock_and_field() -> None:
    """Where its data waits for the clock, and where it ends the clock."""
    text = replaced(SMALL, "rule: year, systems", "rule: stay, systems")
    why = (
        "the clock stay has the key field 'stay_nr', which this event does not have; add it to"
        " `fields`, or name its field in `key`; did you mean stay_id?"
    )
    assert lines(replaced(text, "    key: [stay_id]", "    key: [stay_nr]")) == [
        f"106: events.club.joined.holdings.0.rule: {why}",
        f"124: events.club.checked-out.moves.0.key.stay_nr: {why}",
    ]


@pytest.mark.parametrize(
    ("old", "new", "reported"),
    [
        pytest.param(
            "      - {clock: stay, move: end}\n",
            "      - {clock: stay, move: ended, outcome: paid}\n",
            [
                "124: events.club.checked-out.moves.0.move: is not one of start, end, got 'ended'; did you"
                " mean end?"
            ],
            id="outcome of an end that is written otherwise",
        ),
        pytest.param(
            "      stay_id: {}\n    moves:\n      - {clock: stay, move: end}\n",
            "      stay_id: {}\n      left_on: {type: datetime}\n    moves:\n"
            "      - {clock: stay, move: end, at: left_on}\n",
            [
                "123: events.club.checked-out.fields.left_on.type: is not one of string, boolean,"
                " strings, date, got 'datetime'"
            ],
            id="a field of another type",
        ),
        pytest.param(
            "systems:\n",
            "system:\n",
            ["22: system: is not a known key; did you mean systems?"],
            id="a section that is written otherwise",
        ),
    ],
)
def test_what_follows_from_a_mistake_is_not_reported_beside_it(
    old: str, new: str, reported: list[str]
) -> None:
    assert lines(replaced(SMALL, old, new)) == reported
