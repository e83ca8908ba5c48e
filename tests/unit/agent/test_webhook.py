"""The webhook: signed requests, what each status code means, and answers that come days later."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from threading import Event, Thread
from time import sleep
from typing import Any

import httpx2
import pytest

from services.agent.adapters.base import CommandTask
from services.agent.adapters.webhook import (
    CallbackConfig,
    WebhookAdapter,
    ed25519_headers,
    hmac_headers,
)
from services.agent.callback_server import serve_callbacks
from services.agent.examples.webhook.mailer import Mailer, server
from services.agent.result import InvalidResult, Pending, Result, RetryLater
from services.crypto.keyring import Keyring, new_key
from services.crypto.signing import SignatureInvalid, Signer, Verifier
from services.kafka.trace_context import trace_of_command
from tests.patience import Patience
from tests.unit.agent.environment import T0, AgentEnvironment, command, command_id

SECRET = b"a secret that both know"
Answering = Callable[[httpx2.Request], httpx2.Response]


def task() -> CommandTask:
    return CommandTask(
        command=command(), run=1, checkpoint=None, save_checkpoint=lambda _: None, now=T0
    )


def webhook(answering: Answering, later: CallbackConfig | None = None) -> WebhookAdapter:
    """An adapter whose service answers so."""
    return WebhookAdapter(
        client=lambda: httpx2.AsyncClient(transport=httpx2.MockTransport(answering)),
        url="https://mailer.example/commands",
        sign=hmac_headers(SECRET),
        timeout_seconds=30,
        callback_config=later,
    )


def with_code(code: int, **headers: str) -> Answering:
    return lambda _: httpx2.Response(code, headers=headers, content=b'{"status": "done"}')


def test_200_is_the_result() -> None:
    """The result is read from the body."""
    assert webhook(with_code(200)).execute(task()) == Result(status="done")


def test_a_request_is_signed_with_the_shared_secret() -> None:
    """The example verifies it: a changed body or an old request is refused."""
    requests: list[httpx2.Request] = []

    def answering(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(200, json={"status": "done"})

    webhook(answering).execute(task())
    [request] = requests
    timestamp, signature = (
        request.headers["termijn-timestamp"],
        request.headers["termijn-signature"],
    )
    mailer = Mailer(SECRET, slow=False, now=T0.timestamp)
    assert mailer.take(timestamp, signature, request.content)[0] == 200
    assert mailer.take(timestamp, signature, request.content + b" ")[0] == 403
    assert mailer.take(str(int(timestamp) + 1), signature, request.content)[0] == 403
    late = Mailer(SECRET, slow=False, now=lambda: T0.timestamp() + 301)
    assert late.take(timestamp, signature, request.content)[0] == 403
    assert request.headers["traceparent"] == trace_of_command(command_id("c1")).parent


def test_a_request_can_be_signed_with_the_systems_own_key() -> None:
    """Over url, timestamp and body, as messages on the bus are over topic, key and value."""
    key = new_key()
    headers = ed25519_headers(Signer(lambda: Keyring((key,))), "https://m")(b"body", T0)
    verifier = Verifier(lambda: Keyring((key.public(),)))
    signature = bytes.fromhex(headers["termijn-signature"].removeprefix("ed25519="))
    signed_headers = [
        ("termijn-key-id", headers["termijn-key-id"].encode()),
        ("termijn-signature", signature),
    ]
    at = headers["termijn-timestamp"].encode()
    assert verifier.verify("https://m", at, b"body", signed_headers, T0) == key.key_id
    with pytest.raises(SignatureInvalid):
        verifier.verify("https://other", at, b"body", signed_headers, T0)


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504])
def test_a_service_that_is_busy_is_asked_again(code: int) -> None:
    """After as long as it asks for."""
    with pytest.raises(RetryLater) as raised:
        webhook(with_code(code, **{"retry-after": "7"})).execute(task())
    assert raised.value.after_seconds == 7


@pytest.mark.parametrize(
    ("after", "seconds"),
    [
        ("Sun, 15 Mar 2026 14:00:00 GMT", 3600),
        ("Sunday, 15-Mar-26 14:00:00 GMT", 3600),
        ("Sun, 15 Mar 2026 12:00:00 GMT", 0),
        (" 7 ", 7),
        ("soon", None),
        ("", None),
    ],
)
def test_a_service_may_say_when_to_try_again(after: str, seconds: float | None) -> None:
    """The header is a time or a number of seconds; T0 is 13:00 of that day."""
    with pytest.raises(RetryLater) as raised:
        webhook(with_code(503, **{"retry-after": after})).execute(task())
    assert raised.value.after_seconds == seconds


@contextmanager
def dripping(head: bytes) -> Iterator[str]:
    """A service that sends this at once, and then a byte every tenth of a second, without end."""
    stop = Event()

    def drip(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65_536)
            connection.sendall(head)
            while not stop.wait(0.1):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    Thread(target=drip, args=(listening.accept()[0],), daemon=True).start()

        Thread(target=accept, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        finally:
            stop.set()
            listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "head", [b"", b"HTTP/1.1 200 OK\r\nx-a: ", b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n"]
)
def test_a_service_that_drips_has_one_deadline(head: bytes) -> None:
    """The deadline is for status, headers and body together."""
    with dripping(head) as url:
        adapter = WebhookAdapter(
            client=lambda: httpx2.AsyncClient(timeout=1, trust_env=False),
            url=url,
            sign=hmac_headers(SECRET),
            timeout_seconds=1,
        )
        patience = Patience(8)
        with pytest.raises(RetryLater, match="did not respond within 1 s"):
            adapter.execute(task())
        assert not patience.is_over


def test_an_answer_is_not_read_beyond_its_largest() -> None:
    """However much more the service has to say."""
    body = b" " * (16 * 1024 * 1024 + 1)
    with pytest.raises(InvalidResult, match="more than 16777216 bytes"):
        webhook(lambda _: httpx2.Response(200, content=body)).execute(task())


def test_a_callback_that_drips_has_one_deadline() -> None:
    """Its caller is cut off, and others are served meanwhile."""
    notes: list[Any] = []

    def complete(command_id: str, document: Any) -> bool:
        notes.append(document)
        return True

    with serve_callbacks("127.0.0.1", 0, lambda _: "t", complete, timeout_seconds=1) as port:
        patience = Patience(10)
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.sendall(
                b"POST /c1 HTTP/1.1\r\nauthorization: Bearer t\r\ncontent-length: 999\r\n\r\n"
            )
            url = f"http://127.0.0.1:{port}/c1"
            headers = {"authorization": "Bearer t"}
            document = {"status": "done"}
            answer = httpx2.post(url, json=document, headers=headers, trust_env=False)
            assert (answer.status_code, notes) == (200, [document])
            with suppress(OSError):
                while not patience.is_over:
                    slow.sendall(b"x")
                    sleep(0.1)
            assert not patience.is_over
        assert notes == [document]


@pytest.mark.parametrize("code", [204, 301, 307, 400, 401, 403, 404, 410])
def test_anything_else_has_failed(code: int) -> None:
    """The failure is reported, and a redirect is not followed."""
    result = webhook(with_code(code, location="https://elsewhere.example")).execute(task())
    assert result == Result(
        status="failed", detail=f"the service responded with HTTP status {code}"
    )


def test_a_service_that_cannot_be_reached_is_asked_again() -> None:
    """The reason names no address."""

    def answering(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("customer C1")

    with pytest.raises(RetryLater, match=r"cannot be reached \(ConnectError\)"):
        webhook(answering).execute(task())


def test_202_needs_a_callback() -> None:
    """Without a callback the result could never arrive."""
    with pytest.raises(InvalidResult):
        webhook(with_code(202)).execute(task())


def test_202_waits_for_the_callback() -> None:
    """The request has the URL of the callback, and its token."""
    bodies: list[Any] = []

    def answering(request: httpx2.Request) -> httpx2.Response:
        bodies.append(json.loads(request.content))
        return httpx2.Response(202)

    hours = timedelta(hours=24)
    later = CallbackConfig(
        url="https://agent/cb/", token=lambda id: f"t-{id}", callback_timeout=hours
    )
    assert webhook(answering, later).execute(task()) == Pending(ask_again_at=T0 + hours)
    id = command_id("c1")
    assert bodies[0]["callback"] == {"url": f"https://agent/cb/{id}", "token": f"t-{id}"}


@contextmanager
def mailer_stage(*, slow: bool) -> Iterator[tuple[Mailer, AgentEnvironment, int]]:
    """The example's service and an agent beside it, over real sockets."""
    mailer = Mailer(SECRET, slow=slow, now=T0.timestamp)
    service = server(mailer, 0)
    thread = Thread(target=service.serve_forever)
    thread.start()
    stages: list[AgentEnvironment] = []

    def token(id: str) -> str:
        return stages[0].inbox.keyed_hash("callback", id.encode())

    def complete(command_id: str, document: Any) -> bool:
        return stages[0].executor.complete_from_json(command_id, document)

    try:
        with serve_callbacks("127.0.0.1", 0, token, complete) as port:
            adapter = WebhookAdapter(
                client=lambda: httpx2.AsyncClient(trust_env=False),
                timeout_seconds=30,
                url=f"http://127.0.0.1:{service.server_port}/commands",
                sign=hmac_headers(SECRET),
                callback_config=CallbackConfig(
                    url=f"http://127.0.0.1:{port}/callbacks",
                    token=token,
                    callback_timeout=timedelta(hours=24),
                ),
            )
            stages.append(AgentEnvironment(adapter=adapter))
            yield mailer, stages[0], port
    finally:
        service.shutdown()
        service.server_close()
        thread.join()


def test_the_example_erases_at_once() -> None:
    """The verification finds nothing left."""
    with mailer_stage(slow=False) as (mailer, environment, _):
        mailer.recipients.update({"O1": "sanne@example.org", "O2": "piet@example.org"})
        assert environment.execute_all(command()) == ["done"]
        assert mailer.recipients == {"O2": "piet@example.org"}
        verify = command("v", action="verify", verifies="erase", seq=2)
        assert environment.execute_all(verify) == ["done"]
        assert environment.answers()[-1]["counts"] == {"recipients": 0}


def post(request: dict[str, Any], result: Any, token: str | None = None) -> int:
    """Post the service's result to the callback."""
    headers = {"authorization": f"Bearer {token or request['callback']['token']}"}
    return httpx2.post(
        request["callback"]["url"], json=result, headers=headers, trust_env=False
    ).status_code


def test_the_example_erases_days_later() -> None:
    """The agent was restarted meanwhile; the token is still valid, for that command only."""
    with mailer_stage(slow=True) as (mailer, environment, _):
        mailer.recipients["O1"] = "sanne@example.org"
        assert environment.execute_all(command(), command("c2", subject="customer:C2")) == []
        first, second = sorted(mailer.waiting, key=lambda body: str(body["command"]["subject"]))
        environment.start()
        result = mailer.carry_out(first["command"])
        assert post(first, result, token=second["callback"]["token"]) == 401
        assert post(first, result, token="x") == 401
        assert post(first, {"status": "erased"}) == 400
        assert post(first, result) == 200
        assert post(first, result) == 409
        assert environment.execute() == ["done"]
        assert environment.answers()[0]["counts"] == {"recipients": 1}


def test_the_example_takes_back_what_waits_for_its_night() -> None:
    """The recall reaches it, although the command is with it already."""
    with mailer_stage(slow=True) as (mailer, environment, _):
        mailer.recipients["O1"] = "sanne@example.org"
        environment.execute_all(command())
        recall = command("r", action="recall", supersedes="c1", seq=2)
        assert environment.execute_all(recall) == ["recalled"]
        assert mailer.waiting == []
        assert environment.execute_all(
            replace(command(), attempt=2, issued_at=T0 + timedelta(hours=1))
        ) == ["recalled"]
