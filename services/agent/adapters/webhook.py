"""The webhook adapter: calls a service of the team, or of a processor, over HTTP for each command.

The service gets the same as a hook, in a signed POST. 200: the result is in the body. 202: it reports
later, to the callback of each command in the request. 408, 425, 429 and 5xx: the same request comes again.
Anything else: failed.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import httpx2

from schemas.errors import TermijnError
from services.agent.adapters.base import CommandTask, Outcome, SaveCheckpoints
from services.agent.adapters.payload import command_payload
from services.agent.adapters.shared_calls import (
    BATCHED,
    commands_payload,
    execute_in_calls,
    parse_results,
)
from services.agent.result import (
    MAX_RESULT_BYTES,
    InvalidResult,
    Pending,
    Result,
    RetryLater,
    TooLarge,
    parse_result_json,
)
from services.crypto.signing import KEY_ID, SIGNATURE, SignerProtocol
from services.kafka.trace_context import TRACEPARENT

TIMESTAMP = "termijn-timestamp"
_RETRYABLE_STATUSES = (408, 425, 429)

BodySigner = Callable[[bytes, datetime], Mapping[str, str]]
"""Returns the headers that prove who sent a body, and when."""


def hmac_headers(secret: bytes) -> BodySigner:
    """Return a signer for `termijn-signature: sha256=<hex>`: HMAC-SHA256 of timestamp, full stop, body."""

    def sign(body: bytes, now: datetime) -> Mapping[str, str]:
        at = str(int(now.timestamp()))
        digest = hmac.digest(secret, at.encode() + b"." + body, "sha256").hex()
        return {TIMESTAMP: at, SIGNATURE: f"sha256={digest}"}

    return sign


def ed25519_headers(signer: SignerProtocol, url: str) -> BodySigner:
    """Return a signer for `termijn-signature: ed25519=<hex>`: as on Kafka, over url, timestamp, body."""

    def sign(body: bytes, now: datetime) -> Mapping[str, str]:
        at = str(int(now.timestamp()))
        headers = dict(signer.sign(url, at.encode(), body, now))
        signature = f"ed25519={headers[SIGNATURE].hex()}"
        return {TIMESTAMP: at, KEY_ID: headers[KEY_ID].decode(), SIGNATURE: signature}

    return sign


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackConfig:
    """Where and how a service reports the result of a command later."""

    url: str
    token: Callable[[str], str]
    """Returns the token of a command, by its id; it authorises a callback for that command only."""
    callback_timeout: timedelta

    def headers_for(self, command_id: str) -> dict[str, str]:
        """Return the callback's URL and token, as the request contains them."""
        place = f"{self.url.rstrip('/')}/{quote(command_id, safe='')}"
        return {"url": place, "token": self.token(command_id)}


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookAdapter:
    """Calls one service. Redirects are not followed, since they would send the command elsewhere."""

    client: Callable[[], httpx2.AsyncClient]
    """Returns a new client for one call, which closes it."""
    url: str
    sign: BodySigner
    timeout_seconds: float
    """For the whole of a call, from the DNS lookup to the last byte of the response."""
    callback_config: CallbackConfig | None = None
    batch: bool = False
    """Whether one call carries out many commands."""

    def execute(self, task: CommandTask) -> Result | Pending:
        """Call the service. Raises `RetryLater` and `InvalidResult`."""
        if self.is_batched(task.command.action):
            [outcome] = self._call_for([task])
            if isinstance(outcome, Exception):
                raise outcome
            return outcome
        body = command_payload(task, **self._callback(task))
        answer = self._call(body, {TRACEPARENT: task.trace.parent}, task.now)
        return (
            answer
            if isinstance(answer, Pending | Result)
            else parse_result_json(answer, task.command.action)
        )

    def is_batched(self, action: str) -> bool:
        """Return whether one call may carry out several commands with an action."""
        return self.batch and action in BATCHED

    def execute_together(
        self, tasks: Sequence[CommandTask], _: SaveCheckpoints
    ) -> Sequence[Outcome]:
        """Call the service for many commands; a status code other than 200 is about all of them."""
        return execute_in_calls(tasks, self._call_for)

    def _call_for(self, tasks: Sequence[CommandTask]) -> Sequence[Outcome]:
        answer = self._call(commands_payload(tasks, self._callback), {}, tasks[0].now)
        if isinstance(answer, Pending | Result):
            return [answer for _ in tasks]
        return parse_results(answer, tasks)

    def _callback(self, task: CommandTask) -> Mapping[str, Any]:
        if self.callback_config is None:
            return {}
        return {"callback": self.callback_config.headers_for(task.command.command_id)}

    def _call(
        self, body: bytes, further: Mapping[str, str], now: datetime
    ) -> Result | Pending | bytes:
        """Call the service, with `further` headers; return the body of a response with results."""
        try:
            headers = {"content-type": "application/json", **further, **self.sign(body, now)}
            answer, read = asyncio.run(self._post(body, headers))
        except TimeoutError as cause:
            raise RetryLater(
                f"the service did not respond within {self.timeout_seconds:g} s"
            ) from cause
        except (httpx2.HTTPError, httpx2.InvalidURL) as cause:
            raise RetryLater(f"the service cannot be reached ({type(cause).__name__})") from cause
        except InvalidResult:
            raise
        except TermijnError as cause:  # no key to sign with at present
            raise RetryLater(str(cause)) from cause
        return self._read(now, answer, read)

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> tuple[httpx2.Response, bytes]:
        # One deadline for the whole call: the client's own time-outs start again with every byte.
        read = bytearray()
        async with (
            asyncio.timeout(self.timeout_seconds),
            self.client() as client,
            client.stream(
                "POST", self.url, content=body, headers=headers, follow_redirects=False
            ) as answer,
        ):
            if answer.status_code == httpx2.codes.OK:
                async for part in answer.aiter_bytes():
                    read += part
                    if len(read) > MAX_RESULT_BYTES:
                        raise TooLarge
        return answer, bytes(read)

    def _read(
        self, now: datetime, answer: httpx2.Response, body: bytes
    ) -> Result | Pending | bytes:
        code = answer.status_code
        if code == httpx2.codes.ACCEPTED:
            if self.callback_config is None:
                raise InvalidResult("HTTP 202 needs `callback` in the agent's file")
            return Pending(ask_again_at=now + self.callback_config.callback_timeout)
        if code in _RETRYABLE_STATUSES or code >= httpx2.codes.INTERNAL_SERVER_ERROR:
            raise RetryLater(
                f"the service responded with HTTP status {code}", _seconds(answer, now)
            )
        if code != httpx2.codes.OK:
            return Result(status="failed", detail=f"the service responded with HTTP status {code}")
        return body


def _seconds(answer: httpx2.Response, now: datetime) -> float | None:
    """Return the delay of a `Retry-After` header, in seconds; it may be a number or a date."""
    retry_after = answer.headers.get("retry-after", "").strip()
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    try:
        until = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    if until.tzinfo is None:  # "-0000", which means UTC
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - now).total_seconds())
