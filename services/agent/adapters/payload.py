"""The JSON object that hooks and webhooks get."""

from __future__ import annotations

import json
from typing import Any

from services.agent.adapters.base import CommandTask


def command_payload(task: CommandTask, **extra: Any) -> bytes:
    """Return the command, the number of the run and, for rectify, the corrections in clear, as JSON."""
    document = {**task_document(task), **extra}
    if task.corrections is not None:
        document["corrections"] = dict(task.corrections)
    return json.dumps(document, ensure_ascii=False).encode()


def task_document(task: CommandTask) -> dict[str, Any]:
    """Return the command and the number of the run as JSON values."""
    command = task.command.as_json()
    command.pop("corrections")  # encrypted to the agent, which has decrypted them
    return {"command": command, "run": task.run}
