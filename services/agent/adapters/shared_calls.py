"""Ask a system to carry out many commands in one call: a hook or webhook that has `batch: true`.

The call gets `{"commands": [{"command": {…}, "run": 1}, …]}`, and its reply names the result of each:
`{"results": [{"command_id": "…", "status": "done"}, …]}`. A command that the reply does not name comes
again: nothing is known about it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from schemas import limits
from services.agent.adapters.base import CommandTask, Outcome, Reply
from services.agent.adapters.payload import task_document
from services.agent.result import InvalidResult, RetryLater, parse_json, parse_result
from services.kafka.trace_context import TRACEPARENT
from services.policy.actions import ACTIONS

BATCHED: Final = frozenset(ACTIONS) - {"recall", "disclose", "rectify"}
"""Actions that share a call; the others need more than the command, or return data on the person."""
_NOT_NAMED = RetryLater("the reply has no result for the command")


def execute_in_calls(
    tasks: Sequence[CommandTask], call: Callable[[Sequence[CommandTask]], Sequence[Outcome]]
) -> list[Outcome]:
    """Carry out commands in as few calls as the limit of records allows, and return the outcome of each.

    Where a call for several raises, all of them come again, with ever fewer others: if one of them is the
    cause, it holds up no other for long.
    """
    outcomes: list[Outcome] = []
    for shared in _split_by_records(tasks):
        try:
            outcomes += call(shared)
        except RetryLater as cause:
            outcomes += [cause for _ in shared]
        except InvalidResult as cause:
            why = cause if len(shared) == 1 else RetryLater(cause.why)
            outcomes += [why for _ in shared]
    return outcomes


def commands_payload(
    tasks: Sequence[CommandTask],
    further: Callable[[CommandTask], Mapping[str, Any]] = lambda _: {},
) -> bytes:
    """Return the JSON object of a call for several commands, with `further` fields of each."""
    commands = [
        {**task_document(task), TRACEPARENT: task.trace.parent, **further(task)} for task in tasks
    ]
    return json.dumps({"commands": commands}, ensure_ascii=False).encode()


def parse_results(body: bytes, tasks: Sequence[CommandTask]) -> list[Reply]:
    """Return the content of a JSON reply to a call about each of its commands.

    Raises:
        InvalidResult: the reply as a whole is not one, such as one that names a command twice.
    """
    document = parse_json(body)
    if not isinstance(document, dict) or document.keys() != {"results"}:
        raise InvalidResult("it is not a JSON object with the key results only")
    if not isinstance(document["results"], list):
        raise InvalidResult("its results are not a list")
    results: dict[str, dict[str, Any]] = {}
    sent = {task.command.command_id for task in tasks}
    for result in document["results"]:
        command_id = result.get("command_id") if isinstance(result, dict) else None
        if not isinstance(command_id, str) or command_id not in sent:
            raise InvalidResult("a result has no command_id of this call")
        if command_id in results:
            raise InvalidResult("a command has two results")
        results[command_id] = {k: value for k, value in result.items() if k != "command_id"}
    return [_parse_reply(results.get(task.command.command_id), task) for task in tasks]


def _parse_reply(document: Mapping[str, Any] | None, task: CommandTask) -> Reply:
    if document is None:
        return _NOT_NAMED
    try:
        return parse_result(document, task.command.action)
    except InvalidResult as cause:
        return cause


def _split_by_records(tasks: Sequence[CommandTask]) -> Iterator[list[CommandTask]]:
    """Yield the tasks, in their order, in parts that name at most as many records as one command may."""
    part: list[CommandTask] = []
    room = limits.MAX_COMMAND_RECORDS
    for task in tasks:
        records = len(task.command.records)
        if part and records > room:
            yield part
            part, room = [], limits.MAX_COMMAND_RECORDS
        part.append(task)
        room -= records
    if part:
        yield part
