"""What hooks and webhooks get: one JSON object."""

from __future__ import annotations

import json
from typing import Any

from services.agent.adapters.base import CommandTask


def command_payload(task: CommandTask, **further: Any) -> bytes:
    """The command and how often it was begun, with the corrections of a rectify, in clear."""
    document: dict[str, Any] = {"command": task.command.as_json(), "run": task.run, **further}
    document["command"].pop("corrections")  # encrypted to the agent, which has opened them
    if task.corrections is not None:
        document["corrections"] = dict(task.corrections)
    return json.dumps(document, ensure_ascii=False).encode()
