"""Printed data is never markup, emoji or an escape code, in tables, titles, JSON and errors."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from services.app.cli.output import cell, table, visible
from services.app.cli.up import render_screen
from services.operations.status import RecentCommand
from services.policy import loader
from services.storage import dead_letters
from services.storage.database import Database, open_database
from services.storage.dead_letters import DeadLetter
from tests.contract.event_builders import event, feedback
from tests.unit.cli.conftest import Call, Write
from tests.unit.cli.test_operating import NOW, recorded
from tests.unit.operations.test_observers import EMPTY

HOSTILE = (
    "Q[/1]",
    "Q[red]7",
    "visitor:id:5",
    "[link=http://x]y",
    r"back\[slash]",
    "[/unsubscribe]",
)
UNSEEN = {
    "a\x1b[2Jb": r"a\u001b[2Jb",  # clears a screen
    "a\x9b2Jb": r"a\u009b2Jb",  # the same in one character
    "a\u202eb": r"a\u202eb",  # turns what follows round
    "a\u200bb": r"a\u200bb",  # is not seen at all
    "a\u2028b": r"a\u2028b",
    "a\nb": r"a\nb",
    "a\U000e0041b": r"a\udb40\udc41b",
}


@pytest.fixture
def ledger(termijn: Call) -> Iterator[Database]:
    """A ledger where the commands look for it."""
    assert termijn("ledger", "migrate").code == 0
    with closing(open_database(f"sqlite:///{Path.cwd() / '.termijn' / 'ledger.sqlite'}")) as opened:
        yield opened


@pytest.mark.parametrize("id", HOSTILE)
def test_a_table_of_holdings_shows_an_id_as_it_is(termijn: Call, events: Write, id: str) -> None:
    outcome = termijn("explain", events([feedback(id, "2024-03-15T13:00:00Z")]))
    assert outcome.code == 0
    assert f" {id} " in outcome.out


@pytest.mark.parametrize("id", HOSTILE)
def test_a_list_of_requests_shows_an_id_as_it_is(termijn: Call, ledger: Database, id: str) -> None:
    data = {"subject": "consumer:c1", "request_id": id, "right": "erasure"}
    recorded(ledger, event("r1", "privacy.request-received", "2024-03-15T13:00:00Z", **data))
    outcome = termijn("requests", "list")
    assert (outcome.code, outcome.err) == (0, "")
    assert f" {id} " in outcome.out


@pytest.mark.parametrize("name", HOSTILE)
def test_a_title_shows_a_name_as_it_is(termijn: Call, ledger: Database, name: str) -> None:
    recorded(ledger, feedback("f1", "2024-03-15T13:00:00Z"), backfill=name)
    outcome = termijn("backfill", "forecast", name)
    assert (outcome.code, outcome.err) == (0, "")
    assert f"{name}: sent on release" in outcome.out


@pytest.mark.parametrize("reason", HOSTILE)
def test_the_reason_of_a_stop_is_shown_as_it_is(
    termijn: Call, ledger: Database, reason: str
) -> None:
    assert termijn("pause", "deleter", "--operator", "me", "--reason", reason).code == 0
    assert f" me: {reason} " in termijn("status").out


@pytest.mark.parametrize(("detail", "shown"), UNSEEN.items(), ids=ascii)
def test_control_codes_are_made_visible(
    termijn: Call, ledger: Database, detail: str, shown: str
) -> None:
    """In a line of JSON the value stays the same."""
    letter = DeadLetter(
        role="tagger",
        reason="malformed",
        detail=detail,
        topic="t",
        partition=0,
        offset=0,
        timestamp=NOW,
        at=NOW,
        key_id="k",
        sealed=b"",
    )
    ledger.run_in_transaction(lambda connection: dead_letters.store(connection, [letter]))
    assert shown in termijn("dead-letters", "list").out
    outcome = termijn("dead-letters", "list", "--json")
    assert shown in outcome.out
    assert [row["detail"] for row in outcome.rows] == [detail]


@pytest.mark.parametrize(
    ("text", "shown"), [pair for pair in UNSEEN.items() if "\n" not in pair[0]], ids=ascii
)
def test_an_error_makes_visible_what_it_repeats(termijn: Call, text: str, shown: str) -> None:
    outcome = termijn("explain", text)
    assert outcome.code == 1
    [line] = outcome.err.splitlines()
    assert shown in line


def test_the_screen_of_up_shows_texts_unchanged() -> None:
    """Ids of rules and reasons of errors are texts of other people too."""
    policy = loader.load()
    rule = "R[red]1 :id: \x1b[2J"
    recent = RecentCommand(
        created_at=NOW,
        system="crm",
        action="erase",
        rules=rule,
        records=1,
        attempt=1,
        state="sent",
    )
    console = Console(width=200, force_terminal=False, no_color=True)
    with console.capture() as capture:
        console.print(render_screen(EMPTY, [recent], {}, policy))
    assert r"R[red]1 :id: \u001b[2J" in capture.get()


@given(text=st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp"))))
def test_visible_characters_stay_unchanged(text: str) -> None:
    assert visible(text) == text


@given(text=st.text(st.characters()))
def test_no_invisible_character_reaches_a_terminal(text: str) -> None:
    """In JSON the text is unchanged."""
    printed = visible(text)
    assert not any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in printed)
    quoted = json.dumps(text, ensure_ascii=False)
    assert json.loads(visible(quoted)) == text


@given(cells=st.lists(st.text(), min_size=1, max_size=4))
def test_a_table_takes_any_text(cells: list[str]) -> None:
    """Each cell is there, letter by letter."""
    rendered = table(title=cells[0], columns=[f"c{index}" for index in range(len(cells))])
    rendered.add_row(*map(cell, cells))
    console = Console(width=4_000, no_color=True, force_terminal=False)
    with console.capture() as capture:
        console.print(rendered)
    for text in cells:
        assert visible(text).strip() in capture.get()


def test_only_one_module_makes_tables() -> None:
    """Rich reads text as markup by default, and that is easily forgotten."""
    widths = set()
    for file in (Path(__file__).parents[3] / "services").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rich"):
                widths |= {(file.name, alias.name) for alias in node.names}
    assert {file for file, name in widths if name in ("Table", "Text", "Console")} == {"output.py"}
