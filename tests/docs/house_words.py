"""Count the words that the house style replaces, and fail where a room has more of one than before.

    python -m tests.docs.house_words            fails where a room has more than the baseline
    python -m tests.docs.house_words --write    lowers the baseline to what there is; raises no number

A room is a folder of `services/` or `tests/`, or another folder of the tree. The baseline is an upper
bound, so a change that removes a word need not touch it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[2]
_SHOWN = 10
BASELINE = Path(__file__).with_suffix(".json")
WORDS: Mapping[str, str] = {
    r"anew": "again",
    r"mend(s|ed|ing)?": "fix",
    r"(is|are|was|were) no (?!longer|more\b)\w+": "is not a",
    r"stands(?! for)": "is",
    r"whoever": "anyone who, or the noun",
    r"nobody": "the noun",
    r"told": "reported, commanded, shown, named",
    r"tells?": "report, show, name",
    r"said": "the noun: reported, logged, published",
    r"says": "reports, shows, names",
    r"of (ours|theirs)": "our, its",
    r"by (itself|themselves)": "on its own, automatically",
    r"com(es?|ing) to": "results in, arrives at",
    r"for ever": "permanently",
    r"hang(s|ing)? on": "depends on",
    r"(goes?|went|gone) round": "runs, heartbeat",
    r"vouch(es|ed)?": "sign, trust",
    r"in vain": "without effect",
    r"likewise": "a whole sentence",
    r"ours": "Termijn's, internal",
    r"in words": "described",
    r"at hand": "configured, local",
    r"look(s|ed)? again": "rescan",
    r"t(ake|akes|ook|aken|aking) back": "cancel, recall",
    r"the (broker|system|machine)'?s?'? (own )?word": "acknowledgement",
}
"""A regular expression of whole words, and what to write instead."""
SUFFIXES = frozenset({".py", ".md", ".yaml", ".yml", ".avsc", ".toml", ".sh", ".js", ".java"})
LEFT_OUT = ("tests/docs/house_words.py", "tests/docs/test_house_words.py", "CHANGELOG.md")
_PATTERNS = {word: re.compile(rf"\b(?:{word})\b", re.IGNORECASE) for word in WORDS}
_ANY = re.compile(rf"\b(?:{'|'.join(WORDS)})\b", re.IGNORECASE)

Place = tuple[str, int, str]
"""A file, a line number and the line."""


def room_of(path: str) -> str:
    """Return the room of a file: two folders deep in `services/` and `tests/`, else the first folder."""
    folders = PurePosixPath(path).parts[:-1]
    depth = 2 if folders[:1] in (("services",), ("tests",)) else 1
    return "/".join(folders[:depth]) or "."


def find_words() -> Mapping[tuple[str, str], list[Place]]:
    """Return each place of each word, by room and word."""
    places: dict[tuple[str, str], list[Place]] = defaultdict(list)
    for path in _files():
        lines = (ROOT / path).read_text("utf-8", errors="replace").splitlines()
        for number, line in enumerate(lines, start=1):
            for word, pattern in _PATTERNS.items() if _ANY.search(line) else ():
                places[room_of(path), word] += [(path, number, line.strip())] * len(
                    pattern.findall(line)
                )
    return places


def excess(places: Mapping[tuple[str, str], list[Place]]) -> Iterator[str]:
    """Return one message for each room that has more of a word than the baseline allows."""
    allowed = _read_baseline()
    for (room, word), uses in sorted(places.items()):
        bound = allowed.get(room, {}).get(word, 0)
        if len(uses) > bound:
            lines = "".join(f"\n  {path}:{number}: {line}" for path, number, line in uses[:_SHOWN])
            lines += f"\n  and {len(uses) - _SHOWN} more" if len(uses) > _SHOWN else ""
            yield f"{room}: {word!r} {len(uses)} times, at most {bound}; write {WORDS[word]!r}{lines}"


def write_baseline(places: Mapping[tuple[str, str], list[Place]]) -> None:
    """Lower every bound to what there is; the first time, take what there is."""
    first = not BASELINE.exists()
    allowed = _read_baseline()
    bounds: dict[str, Counter[str]] = defaultdict(Counter)
    for (room, word), uses in places.items():
        bound = len(uses) if first else min(len(uses), allowed.get(room, {}).get(word, 0))
        if bound:
            bounds[room][word] = bound
    BASELINE.write_text(json.dumps(bounds, indent=1, sort_keys=True) + "\n", "utf-8")


def _read_baseline() -> Mapping[str, Mapping[str, int]]:
    if not BASELINE.exists():
        return {}
    bounds: Mapping[str, Mapping[str, int]] = json.loads(BASELINE.read_text("utf-8"))
    return bounds


def _files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return [
        path
        for path in listed
        if Path(path).suffix in SUFFIXES and path not in LEFT_OUT and (ROOT / path).exists()
    ]


def main() -> int:
    """Check, or write the baseline; the exit code is 1 where a room has too many of a word."""
    places = find_words()
    if "--write" in sys.argv[1:]:
        write_baseline(places)
    problems = list(excess(places))
    for problem in problems:
        print(problem)
    total = sum(map(len, places.values()))
    print(f"{total} words of the list are left", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
