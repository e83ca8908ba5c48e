"""Hooks and webhooks with `batch: true`: what a call has, and what its reply may say or leave out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from services.agent.adapters.base import CommandTask, Outcome
from services.agent.adapters.hook import HookAdapter
from services.agent.adapters.webhook import CallbackConfig, WebhookAdapter, hmac_headers
from services.agent.result import InvalidResult, Pending, Result, RetryLater
from services.kafka.trace_context import trace_of_command
from tests.unit.agent.environment import T0, AgentEnvironment, command, command_id, record

DONE = Result(status="done", counts={"letters": 1})


def tasks(*names: str, **further: Any) -> list[CommandTask]:
    return [
        CommandTask(
            command=command(name, subject=f"customer:{name}", **further),
            run=1,
            checkpoint=None,
            save_checkpoint=lambda _: None,
            now=T0,
        )
        for name in names
    ]


class Service:
    """A service whose reply is set by a test; it keeps the requests that it got."""

    def __init__(self, reply: Callable[[list[str]], Any], code: int = 200) -> None:
        self.reply, self.code = reply, code
        self.requests: list[dict[str, Any]] = []

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        document = json.loads(request.content)
        self.requests.append(document)
        if "commands" not in document:
            return httpx2.Response(self.code, json={"status": "failed", "detail": "came alone"})
        ids = [item["command"]["command_id"] for item in document["commands"]]
        return httpx2.Response(self.code, json=self.reply(ids))

    def adapter(self, later: CallbackConfig | None = None) -> WebhookAdapter:
        return WebhookAdapter(
            client=lambda: httpx2.AsyncClient(transport=httpx2.MockTransport(self.answer)),
            url="https://letters.example/commands",
            sign=hmac_headers(b"secret"),
            timeout_seconds=30,
            callback_config=later,
            batch=True,
        )


def all_done(ids: list[str]) -> Any:
    """Return the reply that every command is done, the last one first."""
    return {
        "results": [
            {"command_id": id, "status": "done", "counts": {"letters": 1}} for id in reversed(ids)
        ]
    }


def carry_out(service: Service, *names: str) -> list[str]:
    """Return the outcome of each command as the webhook reports it, in one line each."""
    return [
        line(outcome)
        for outcome in service.adapter().execute_together(tasks(*names), lambda _: None)
    ]


def line(outcome: Outcome) -> str:
    match outcome:
        case Result():
            return outcome.status
        case Pending():
            return "pending"
        case RetryLater():
            return f"again: {outcome.why}"
        case InvalidResult():
            return f"invalid: {outcome.why}"


def test_a_call_has_each_command_with_its_run_and_trace() -> None:
    """The results are found by command_id, in whatever order they come."""
    service = Service(all_done)
    outcomes = service.adapter().execute_together(tasks("c1", "c2"), lambda _: None)
    assert outcomes == [DONE, DONE]
    [request] = service.requests
    assert [item["run"] for item in request["commands"]] == [1, 1]
    assert [item["command"]["subject"] for item in request["commands"]] == [
        "customer:c1",
        "customer:c2",
    ]
    assert [item["traceparent"] for item in request["commands"]] == [
        trace_of_command(command_id("c1")).parent,
        trace_of_command(command_id("c2")).parent,
    ]
    assert all("corrections" not in item["command"] for item in request["commands"])


def test_a_command_alone_comes_in_the_same_shape() -> None:
    """A team writes one way to read erasures."""
    service = Service(all_done)
    assert service.adapter().execute(tasks("c1")[0]) == DONE
    assert "commands" in service.requests[0]


@pytest.mark.parametrize("action", ["recall", "disclose", "rectify"])
def test_what_needs_more_than_the_command_comes_by_itself(action: str) -> None:
    """It is in `command`, as without `batch: true`."""
    service = Service(all_done)
    adapter = service.adapter()
    assert not adapter.is_batched(action)
    [task] = tasks("c1", action=action)
    assert adapter.execute(task) == Result(status="failed", detail="came alone")


def test_a_command_that_the_reply_does_not_name_comes_again() -> None:
    """A reply about some proves nothing about the others."""
    service = Service(lambda ids: all_done(ids[:1]))
    assert carry_out(service, "c1", "c2") == [
        "done",
        "again: the reply has no result for the command",
    ]


def test_a_result_that_is_none_is_about_its_own_command() -> None:
    """The other result counts."""

    def reply(ids: list[str]) -> Any:
        return {
            "results": [
                {"command_id": ids[0], "status": "erased"},
                {"command_id": ids[1], "status": "done"},
            ]
        }

    assert carry_out(Service(reply), "c1", "c2") == ["invalid: its status is not known", "done"]


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ({"status": "done"}, "it is not a JSON object with the key results only"),
        ([], "it is not a JSON object with the key results only"),
        ({"results": {}}, "its results are not a list"),
        ({"results": ["done"]}, "a result has no command_id of this call"),
        ({"results": [{"status": "done"}]}, "a result has no command_id of this call"),
        (
            {"results": [{"command_id": command_id("other"), "status": "done"}]},
            "a result has no command_id of this call",
        ),
        (
            {"results": [{"command_id": command_id("c1"), "status": "done"}] * 2},
            "a command has two results",
        ),
    ],
)
def test_a_reply_that_is_none_counts_for_no_command(reply: Any, why: str) -> None:
    """Several commands come again; one alone has failed."""
    service = Service(lambda _: reply)
    assert carry_out(service, "c1", "c2") == [f"again: {why}"] * 2
    assert carry_out(service, "c1") == [f"invalid: {why}"]
    with pytest.raises(InvalidResult, match=why):
        service.adapter().execute(tasks("c1")[0])


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (503, "again: the service responded with HTTP status 503"),
        (404, "failed"),
        (202, "again: HTTP 202 needs `callback` in the agent's file"),
    ],
)
def test_a_status_code_is_about_every_command_of_the_call(code: int, outcome: str) -> None:
    """A service that is busy is asked again about all of them."""
    assert carry_out(Service(all_done, code), "c1", "c2") == [outcome] * 2


def test_each_command_has_its_own_callback() -> None:
    """A token is valid for its command only."""
    later = CallbackConfig(
        url="https://agent/cb", token=lambda id: f"t-{id}", callback_timeout=timedelta(hours=2)
    )
    service = Service(all_done, 202)
    outcomes = service.adapter(later).execute_together(tasks("c1", "c2"), lambda _: None)
    assert outcomes == [Pending(ask_again_at=T0 + timedelta(hours=2))] * 2
    assert [item["callback"]["token"] for item in service.requests[0]["commands"]] == [
        f"t-{command_id('c1')}",
        f"t-{command_id('c2')}",
    ]


def test_a_call_names_at_most_500_records() -> None:
    """A command with 500 is in a call of its own; the failure of one call is not that of another."""
    orders = tuple(record(f"O{number}") for number in range(300))
    commands = [
        *tasks("c1", records=orders[:200]),
        *tasks("c2", records=orders),
        *tasks("c3", records=orders[:1]),
    ]
    service = Service(lambda ids: all_done(ids) if len(ids) == 2 else {})
    assert [
        line(each) for each in service.adapter().execute_together(commands, lambda _: None)
    ] == [
        "done",
        "done",
        "invalid: it is not a JSON object with the key results only",
    ]


def in_turn(*replies: Callable[[list[str]], Any]) -> Callable[[list[str]], Any]:
    """Return what replies to each call by the next of these."""
    remaining = iter(replies)

    def reply(ids: list[str]) -> Any:
        return next(remaining)(ids)

    return reply


def agent_of(service: Service) -> AgentEnvironment:
    environment = AgentEnvironment(adapter=service.adapter())
    environment.executor.batch_size = 64
    return environment


def test_the_agent_answers_every_command_of_a_call() -> None:
    """One that was not named comes again alone."""
    service = Service(
        in_turn(lambda ids: all_done([id for id in ids if id != command_id("c2")]), all_done)
    )
    environment = agent_of(service)
    environment.arrive(*(task.command for task in tasks("c1", "c2", "c3")))
    assert environment.execute() == ["done", "done"]
    assert environment.execute(seconds=2) == ["done"]
    assert [len(request["commands"]) for request in service.requests] == [3, 1]
    assert service.requests[1]["commands"][0]["run"] == 2


def test_a_command_that_spoils_every_call_is_alone_in_the_end() -> None:
    """The nine others are done, although the service fails whenever it gets this one."""
    poison = command_id("c7")

    def reply(ids: list[str]) -> Any:
        return {"error": "500"} if poison in ids else all_done(ids)

    environment = agent_of(Service(reply))
    environment.arrive(*(task.command for task in tasks(*(f"c{n}" for n in range(10)))))
    statuses = [status for _ in range(6) for status in environment.execute(seconds=200)]
    assert sorted(statuses) == [*["done"] * 9, "failed"]
    [failed] = [answer for answer in environment.answers() if answer["status"] == "failed"]
    assert failed["command_id"] == poison


def test_a_recall_between_two_calls_takes_its_command_out() -> None:
    """What comes again is only what is still wanted."""
    service = Service(in_turn(lambda _: all_done([]), all_done))
    environment = agent_of(service)
    environment.arrive(*(task.command for task in tasks("c1", "c2")))
    assert environment.execute() == []
    recall = command("r", subject="customer:c1", action="recall", supersedes="c1", seq=2)
    environment.arrive(recall)
    environment.execute(
        seconds=0
    )  # the system is asked, as the first call may have been carried out
    environment.execute(seconds=5)
    again = [request for request in service.requests if "commands" in request][1:]
    ids = {item["command"]["command_id"] for request in again for item in request["commands"]}
    assert ids == {command_id("c2")}


def hook(tmp_path: Path, body: str) -> HookAdapter:
    """Return a hook in Python with what it gets in `request`."""
    script = tmp_path / "hook.py"
    script.write_text(f"import json, sys\nrequest = json.load(sys.stdin)\n{body}\n", "utf-8")
    return HookAdapter(
        command=(sys.executable, "hook.py"),
        directory=tmp_path,
        timeout_seconds=20,
        environment={},
        batch=True,
    )


def test_a_hook_carries_out_many_commands_in_one_run(tmp_path: Path) -> None:
    """It is started once."""
    adapter = hook(
        tmp_path,
        "open('runs', 'a').write('x')\n"
        "ids = [item['command']['command_id'] for item in request['commands']]\n"
        "print(json.dumps({'results': [{'command_id': id, 'status': 'nothing_held'}"
        " for id in ids]}))",
    )
    outcomes = adapter.execute_together(tasks("c1", "c2", "c3"), lambda _: None)
    assert outcomes == [Result(status="nothing_held")] * 3
    assert (tmp_path / "runs").read_text("utf-8") == "x"


@pytest.mark.parametrize("code", [75, 1])
def test_all_commands_of_a_run_that_fails_come_again(tmp_path: Path, code: int) -> None:
    """What it wrote before does not count: what it has done is not known."""
    adapter = hook(tmp_path, f"print('{{\"results\": []}}'); sys.exit({code})")
    outcomes = adapter.execute_together(tasks("c1", "c2"), lambda _: None)
    assert [isinstance(outcome, RetryLater) for outcome in outcomes] == [True, True]
    with pytest.raises(RetryLater):
        adapter.execute(tasks("c1")[0])


def test_without_batch_nothing_is_carried_out_together(tmp_path: Path) -> None:
    """The file has to say so, since a hook of before reads one command."""
    adapter = replace(hook(tmp_path, ""), batch=False)
    assert not adapter.is_batched("erase")
    assert not replace(Service(all_done).adapter(), batch=False).is_batched("erase")
