"""A hook: the letters of orders lie as files in a directory, each under the number of its order.

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
    numbers = {one["id"]: one["keys"].get("order_id", "") for one in command["records"]}
    if not all(map(NUMBER.fullmatch, numbers.values())):
        # Never done: nobody knows where such a letter would lie.
        return {"status": "failed", "detail": "an order number is missing or not a number"}
    letters = {id: directory / f"{number}.txt" for id, number in numbers.items()}
    held = {id: letter for id, letter in letters.items() if letter.exists()}
    counts = {"letters": len(held)}
    match command["action"]:
        case "erase":
            for letter in held.values():
                letter.unlink(missing_ok=True)
        case "verify":
            return {"status": "done", "counts": counts}
        case "disclose":
            records = [
                {"type": "letter", "id": id, "data": {"letter": letter.read_text("utf-8")}}
                for id, letter in held.items()
            ]
            return {"status": "done", "counts": counts, "records": records}
        case "recall":
            return {"status": "recalled" if held else "already_done"}
        case action:
            return {"status": "failed", "detail": f"letters know no {action}"}
    return {"status": "done" if held else "nothing_held", "counts": counts}


if __name__ == "__main__":
    main()
