"""`termijn policy new`: a company's first policy, from options, questions, schema files or a registry."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from schemas.registry import RegisteredSchema
from services.policy import draft, loader
from services.policy.draft import Draft, DraftEvent, parse_event, write_policy
from services.policy.lint import lint
from services.policy.model import Policy
from tests.unit.cli.conftest import Call

COMPANY = ("--controller", "Bakery", "--contact", "privacy@bakery.example")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bakery.yaml"


def written(file: Path) -> Policy:
    return loader.load(file)


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
    """Answer the questions in their order."""
    terminal = io.StringIO("".join(f"{answer}\n" for answer in answers))
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)


def test_options_are_enough(termijn: Call, file: Path) -> None:
    """Each answer is where it belongs, and the rules are one of each kind."""
    outcome = termijn(
        *("policy", "new", file, *COMPANY, "--zone", "Europe/Berlin", "--year-end", "06-30"),
        *("--statement", "Website, May 2026", "--event-term", "P6M", "--books-term", "P10Y"),
    )
    assert outcome.code == 0
    policy = written(file)
    assert (policy.policy, policy.controller.name) == ("bakery", "Bakery")
    assert policy.controller.contact == "privacy@bakery.example"
    assert (policy.controller.time_zone, policy.controller.book_year_end) == (
        "Europe/Berlin",
        "06-30",
    )
    assert policy.controller.statement == "Website, May 2026"
    rules = {
        name: (rule.kind, rule.term, rule.parts[0].anchor.kind)
        for name, rule in policy.rules.items()
    }
    assert rules == {
        "event": ("at_most", "P6M", "event"),
        "relationship": ("at_most", "P2Y", "clock"),
        "books": ("at_least", "P10Y", "book-year"),
    }


def test_a_company_may_have_several_years(termijn: Call, file: Path) -> None:
    """Each may be the end of a term."""
    options = ("--year-end", "08-31", "--year", "calendar=12-31", "--year", "school=07-31")
    assert termijn("policy", "new", file, *COMPANY, *options).code == 0
    controller = written(file).controller
    assert controller.book_year_end == "08-31"
    assert controller.years == {"calendar": "12-31", "school": "07-31"}


def test_it_is_linted_at_once(termijn: Call, file: Path) -> None:
    """Every term is to be confirmed; nothing is unused."""
    outcome = termijn("policy", "new", file, *COMPANY)
    for rule in ("event", "relationship", "books"):
        assert f"rules.{rule} " in outcome.out
    assert "never used" not in outcome.out


def test_nothing_but_its_terms_is_to_be_looked_at(termijn: Call, file: Path) -> None:
    """Sources are named: the company's by the policy's name, and Termijn's own where it answers."""
    assert termijn("policy", "new", file, *COMPANY).code == 0
    policy = written(file)
    assert [warning.key for warning in lint(policy)] == [
        "rules.event",
        "rules.relationship",
        "rules.books",
    ]
    named = {name: event.sources for name, event in policy.events.items() if event.sources}
    answers = ("/bakery/*", "/termijn/rights")
    assert named == {
        "shop.account-opened": ("/bakery/*",),
        "shop.account-closed": ("/bakery/*",),
        "privacy.consent-withdrawn": ("/bakery/*",),
        "privacy.objection-raised": ("/bakery/*",),
        "privacy.objection-decided": ("/bakery/*",),
        "privacy.request-received": ("/bakery/*",),
        "privacy.identity-verified": ("/bakery/*",),
        "privacy.request-answered": answers,
        "privacy.request-refused": answers,
        "privacy.complaint-received": ("/bakery/*",),
        "privacy.complaint-answered": ("/bakery/*",),
        "privacy.hold-placed": ("/bakery/*",),
        "privacy.hold-released": ("/bakery/*",),
    }


def test_an_editor_checks_it(termijn: Call, file: Path) -> None:
    """The first line names the schema beside it, which the file fits."""
    assert termijn("policy", "new", file, *COMPANY).code == 0
    first, _, rest = file.read_text("utf-8").partition("\n")
    assert first == "# yaml-language-server: $schema=policy.schema.json"
    schema = json.loads((file.parent / "policy.schema.json").read_text("utf-8"))
    assert list(Draft202012Validator(schema).iter_errors(yaml.safe_load(rest))) == []


def test_event_types_are_described_in_a_line(termijn: Call, file: Path) -> None:
    """The first field names the subject; `?` is an optional field; a number of the event identifies."""
    outcome = termijn(
        *("policy", "new", file, *COMPANY, "--system", "till=shop", "--system", "ledger=finance"),
        *("--event", "bakery.bread-sold: client_id, sale_id, coupon? -> event, books"),
    )
    assert outcome.code == 0
    sold = written(file).events["bakery.bread-sold"]
    assert [subject.field for subject in sold.subject] == ["client_id"]
    assert {name: (field.required, field.identifies) for name, field in sold.fields.items()} == {
        "client_id": (True, False),
        "sale_id": (True, False),
        "coupon": (False, False),
    }
    assert [(holding.rule, holding.systems) for holding in sold.holdings] == [
        ("event", ("till",)),
        ("books", ("ledger",)),
    ]
    assert list(written(file).rules) == ["event", "books"]


def test_a_clock_may_have_another_field_in_each_event(termijn: Call, file: Path) -> None:
    """As publishers name the same customer differently."""
    outcome = termijn(
        *("policy", "new", file, *COMPANY, "--event", "a.joined: client_id -> relationship"),
        *("--event", "a.left: member_id -> ends"),
    )
    assert outcome.code == 0
    [move] = written(file).events["a.left"].moves
    assert dict(move.key) == {"client_id": "member_id"}


def test_what_no_option_gives_is_asked_on_a_terminal(
    termijn: Call, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that does not fit is asked again; no answer is the default."""
    on_a_terminal(
        monkeypatch,
        *("Bakery", "privacy@bakery.example", "Amsterdam", "Europe/Amsterdam", "31-12", ""),
        *("school", "school=07-31", ""),
        *("guest", "till", "till=shop", "", "2 years", "P3M", "", ""),
        *("a.sold client_id", "a.sold: client_id -> event", ""),  # event types
    )
    assert termijn("policy", "new", file).code == 0
    policy = written(file)
    assert (policy.controller.name, policy.controller.time_zone) == ("Bakery", "Europe/Amsterdam")
    assert policy.controller.years == {"school": "07-31"}
    assert list(policy.subjects) == ["guest"]
    assert {name: rule.term for name, rule in policy.rules.items()} == {"event": "P3M"}
    assert list(policy.systems) == ["till"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ((), "--controller is missing: Name of the company"),
        (
            (*COMPANY, "--zone", "Amsterdam"),
            "--zone: 'Amsterdam' is not a time zone such as Europe/Amsterdam",
        ),
        (
            (*COMPANY, "--event-term", "2 years"),
            "--event-term: '2 years' is not an ISO 8601 period such as P2Y, P1M or PT24H",
        ),
        (
            (*COMPANY, "--year-end", "31-12"),
            "--year-end: '31-12' is not a month and a day such as 12-31",
        ),
        ((*COMPANY, "--year", "school"), "--year: is not NAME=MM-DD, got 'school'"),
        (
            (*COMPANY, "--year", "school=31-07"),
            "--year: '31-07' is not a month and a day such as 12-31",
        ),
        ((*COMPANY, "--system", "till"), "--system: is not NAME=OWNER, got 'till'"),
        ((*COMPANY, "--event", "sold"), "--event: is not TYPE: FIELD, FIELD -> EFFECT, got 'sold'"),
        (
            (*COMPANY, "--event", "a.sold: client_id -> gone"),
            "--event: is not one of event, relationship, books, starts, ends, got 'gone'",
        ),
        ((*COMPANY, "--registry"), "no schema registry is configured; set SCHEMA_REGISTRY_URL"),
    ],
)
def test_a_wrong_option_is_one_clear_line(
    termijn: Call, file: Path, options: Sequence[str], problem: str
) -> None:
    """Nothing is written."""
    outcome = termijn("policy", "new", file, *options)
    assert (outcome.code, outcome.err) == (1, f"termijn: {problem}\n")
    assert not file.exists()


def test_what_does_not_fit_together_names_the_line_it_would_have(termijn: Call, file: Path) -> None:
    """The name of a system is part of topics."""
    outcome = termijn("policy", "new", file, *COMPANY, "--system", "Till=shop", "--books", "Till")
    assert outcome.code == 1
    assert "systems.Till: is not a valid name of a system" in outcome.err
    assert not file.exists()


def test_a_file_is_never_overwritten(termijn: Call, file: Path) -> None:
    file.write_text("mine", "utf-8")
    outcome = termijn("policy", "new", file, *COMPANY)
    assert (outcome.code, outcome.err) == (
        1,
        f"termijn: {file}: exists already; choose another name\n",
    )
    assert file.read_text("utf-8") == "mine"


def _schema(*fields: str) -> dict[str, Any]:
    return {
        "type": "record",
        "name": "Sold",
        "namespace": "bakery",
        "fields": [{"name": name, "type": "string"} for name in fields],
    }


def test_event_types_come_from_schema_files(termijn: Call, file: Path, tmp_path: Path) -> None:
    """With the fields that are keys by their name; what has none is described by hand."""
    avro = tmp_path / "avro"
    avro.mkdir()
    names = {"bakery.sold": ("client_id", "bread", "till_id"), "bakery.opened": ("door",)}
    for name, fields in names.items():
        schema = {**_schema(*fields), "name": name.rpartition(".")[2]}
        (avro / f"{name}.1.avsc").write_text(json.dumps(schema), "utf-8")
    outcome = termijn("policy", "new", file, *COMPANY, "--schemas", avro)
    assert outcome.code == 0
    assert outcome.err == (
        "bakery.opened: has no field that ends with _id; describe it with --event\n"
    )
    events = written(file).events
    assert list(events["bakery.sold"].fields) == ["client_id", "till_id"]
    assert "bakery.opened" not in events


class _Registry:
    def list_topics(self) -> Sequence[str]:
        return ["bakery.sold.v1", "orders.order-placed.v1", "other", "retention.tagged.v1"]

    def list_versions(self, topic: str) -> Sequence[RegisteredSchema]:
        assert topic == "bakery.sold.v1"
        text = json.dumps(_schema("client_id"))
        return [RegisteredSchema(version=1, id=1, text=text)]


def test_event_types_come_from_a_registry(
    termijn: Call, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that Termijn does not ship, on topics of Termijn's form."""
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", "http://127.0.0.1:1")
    monkeypatch.setattr("services.app.wiring.resources.open_registry", lambda *_: _Registry())
    assert termijn("policy", "new", file, *COMPANY, "--registry").code == 0
    own = [name for name in written(file).events if not name.startswith("privacy.")]
    assert own == ["bakery.sold"]


ANY_TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_any_text_stays_what_it_is(name: str, contact: str, owner: str) -> None:
    """A colon, a quote or `yes` is not taken for YAML."""
    answers = Draft(
        name="a",
        controller=name,
        contact=contact,
        zone="UTC",
        year_end="12-31",
        years=(),
        statement="b",
        subject="guest",
        systems=(("till", owner),),
        books="till",
        terms={"event": "P1Y", "relationship": "P1Y", "books": "P1Y"},
        events=(DraftEvent(type="a.b", fields=("guest_id",)),),
    )
    document = yaml.safe_load(write_policy(answers))
    assert document["controller"]["name"] == name
    assert document["controller"]["contact"] == contact
    assert document["systems"]["till"]["owner"] == owner


def test_a_description_is_read_with_any_spaces() -> None:
    assert parse_event(" a.b:c_id ,d?->ends , books") == DraftEvent(
        type="a.b", fields=("c_id", "d?"), effects=("ends", "books")
    )
    assert parse_event("a.b: c_id").effects == ("event",)


def test_fields_that_are_keys_are_known_by_their_names() -> None:
    assert draft.key_fields(_schema("a_id", "b", "id")) == ("a_id",)


def test_lint_of_what_needs_no_look_is_one_line(termijn: Call, file: Path) -> None:
    """The new policy, once its terms are those of the statement."""
    assert termijn("policy", "new", file, *COMPANY).code == 0
    text = file.read_text("utf-8").replace("_from: derived", "_from: stated")
    file.write_text(text, "utf-8")
    outcome = termijn("policy", "lint", file)
    assert (outcome.code, outcome.out) == (0, "bakery 1: valid, without warnings\n")
