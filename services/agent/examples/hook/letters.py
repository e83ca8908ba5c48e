"""An example of a hook: the letters of orders are files in a directory, named by the number of the order.

The agent's file has `batch: true`, so that one run carries out many commands.

A letter may have another name; its first line then is `Order NUMBER`.

It imports nothing of Termijn: it reads a command as JSON, and writes a result as JSON.
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
    """Carry out the commands on stdin, and write their results on stdout."""
    request = json.load(sys.stdin)
    directory = Path(os.environ["LETTERS"])
    if "commands" not in request:  # a recall, or a command to disclose or rectify, comes alone
        json.dump(carry_out(request["command"], directory), sys.stdout)
        return
    commands = [item["command"] for item in request["commands"]]
    results = [
        {"command_id": command["command_id"], **carry_out(command, directory)}
        for command in commands
    ]
    json.dump({"results": results}, sys.stdout)


def carry_out(command: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Carry out a command and return its result. A repetition has no further effect."""
    records = command[
        "records"
    ]  # ids are unique within a source only: two records may have the same
    numbers = [record["keys"].get("order_id", "") for record in records]
    if not all(map(NUMBER.fullmatch, numbers)):
        # Not `done`: such a letter cannot be found.
        return {"status": "failed", "detail": "an order number is missing or not a number"}
    letters = [directory / f"{number}.txt" for number in numbers]
    found_letters = [
        (record, letter) for record, letter in zip(records, letters, strict=True) if letter.exists()
    ]
    counts = {"letters": len({letter for _, letter in found_letters})}
    match command["action"]:
        case "erase":
            for _, letter in found_letters:
                letter.unlink(missing_ok=True)
        case "verify":
            return {
                "status": "done",
                "counts": {"letters": count_remaining(set(numbers), directory)},
            }
        case "disclose":
            disclosed = [
                {
                    "type": "letter",
                    "id": record["id"],
                    "data": {"letter": letter.read_text("utf-8")},
                }
                for record, letter in found_letters
            ]
            return {"status": "done", "counts": counts, "records": disclosed}
        case "recall":
            return {"status": "recalled" if found_letters else "already_done"}
        case action:
            return {"status": "failed", "detail": f"letters have no action {action}"}
    return {"status": "done" if found_letters else "nothing_held", "counts": counts}


def count_remaining(numbers: set[str], directory: Path) -> int:
    """Count the letters in another way than they are erased by: by reading each."""
    return sum(
        letter.stem in numbers or first_line(letter).removeprefix("Order ") in numbers
        for letter in directory.rglob("*")
        if letter.is_file()
    )


def first_line(letter: Path) -> str:
    """Return the first line of a letter; empty if it was erased meanwhile."""
    try:
        with letter.open(encoding="utf-8", errors="replace") as lines:
            return lines.readline().strip()
    except FileNotFoundError:
        return ""


if __name__ == "__main__":
    main()
