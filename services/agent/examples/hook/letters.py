"""A hook: the letters of orders lie as files in a directory, each under the number of its order.

A letter may be filed elsewhere in it, under another name; its first line then says `Order NUMBER`.

It needs nothing of Termijn: a command comes in as JSON, and a result goes out as JSON.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

NUMBER = re.compile(r"[A-Za-z0-9-]+")


def main() -> None:
    """Carry out the command on stdin, and say on stdout what became of it."""
    command = json.load(sys.stdin)["command"]
    directory = Path(os.environ["LETTERS"])
    json.dump(carry_out(command, directory), sys.stdout)


def carry_out(command: dict[str, Any], directory: Path) -> dict[str, Any]:
    """What became of a command. Doing it again does no harm."""
    records = command["records"]  # an id is its source's own: two records may have the same
    numbers = [one["keys"].get("order_id", "") for one in records]
    if not all(map(NUMBER.fullmatch, numbers)):
        # Never done: nobody knows where such a letter would lie.
        return {"status": "failed", "detail": "an order number is missing or not a number"}
    letters = [directory / f"{number}.txt" for number in numbers]
    held = [(one, letter) for one, letter in zip(records, letters, strict=True) if letter.exists()]
    counts = {"letters": len({letter for _, letter in held})}
    match command["action"]:
        case "erase":
            for _, letter in held:
                letter.unlink(missing_ok=True)
        case "verify":
            return {"status": "done", "counts": {"letters": left(set(numbers), directory)}}
        case "disclose":
            told = [
                {"type": "letter", "id": one["id"], "data": {"letter": letter.read_text("utf-8")}}
                for one, letter in held
            ]
            return {"status": "done", "counts": counts, "records": told}
        case "recall":
            return {"status": "recalled" if held else "already_done"}
        case action:
            return {"status": "failed", "detail": f"letters know no {action}"}
    return {"status": "done" if held else "nothing_held", "counts": counts}


def left(numbers: set[str], directory: Path) -> int:
    """How many letters there are, by another way than they are erased by: each is looked into."""
    return sum(
        letter.stem in numbers or first_line(letter).removeprefix("Order ") in numbers
        for letter in directory.rglob("*")
        if letter.is_file()
    )


def first_line(letter: Path) -> str:
    """The first line of a letter; nothing of one that was erased just now."""
    try:
        with letter.open(encoding="utf-8", errors="replace") as lines:
            return lines.readline().strip()
    except FileNotFoundError:
        return ""


if __name__ == "__main__":
    main()
