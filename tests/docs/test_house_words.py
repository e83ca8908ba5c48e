"""The house style: no room gets more of the words that it replaces."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.docs import house_words


def test_no_room_has_more_of_a_replaced_word_than_before() -> None:
    """`python -m tests.docs.house_words` lists the places; write the plain word instead."""
    assert "\n".join(house_words.excess(house_words.find_words())) == ""


def test_a_new_word_is_found_and_named_with_its_place() -> None:
    """The room `schemas/new` has no baseline, so that one word is one too many."""
    places = {("schemas/new", "anew"): [("schemas/new/a.py", 3, "written anew")]}
    [problem] = house_words.excess(places)
    assert "schemas/new/a.py:3: written anew" in problem


def test_the_baseline_never_rises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing it again lowers a bound and keeps no room that has none of a word."""
    path = tmp_path / "words.json"
    path.write_text('{"a": {"anew": 2}, "b": {"anew": 1}}', "utf-8")
    monkeypatch.setattr(house_words, "BASELINE", path)
    place = ("a/x.py", 1, "anew")
    house_words.write_baseline({("a", "anew"): [place], ("c", "anew"): [place]})
    assert json.loads(path.read_text("utf-8")) == {"a": {"anew": 1}}
