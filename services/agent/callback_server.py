"""The HTTP server for callbacks: a service reports the result of a command later, perhaps days later.

`POST <url>/<command id>` with `Authorization: Bearer <the command's token>` and a result as JSON. 200: the
result is stored. 400: it is not a valid result. 401: no token, or a wrong one. 409: the command is not
open.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR
from threading import Timer
from typing import Any
from urllib.parse import unquote

from sqlalchemy.exc import DBAPIError

from services.agent.result import MAX_RESULT_BYTES, InvalidResult, parse_json
from services.agent.serving_thread import serving_thread

_TIMEOUT_SECONDS = 30.0
"""Seconds for a whole call: head, body and response."""
_MAX_LENGTH_DIGITS = 10

ReportResult = Callable[[str, Any], bool]
"""Stores a command's result, by id and parsed JSON; false if it is not open. Raises `InvalidResult`."""


@contextmanager
def serve_callbacks(
    host: str,
    port: int,
    token: Callable[[str], str],
    report: ReportResult,
    timeout_seconds: float = _TIMEOUT_SECONDS,
) -> Iterator[int]:
    """Serve callbacks inside the `with` block, and yield the port. A call that takes too long is cut off.

    Raises:
        OSError: the port is taken; port 0 takes any.
    """

    class Handler(BaseHTTPRequestHandler):
        server_version = "termijn"
        sys_version = ""

        def setup(self) -> None:
            super().setup()
            self._deadline = Timer(timeout_seconds, self._cut)
            self._deadline.daemon = True
            self._deadline.start()

        def finish(self) -> None:
            self._deadline.cancel()
            super().finish()

        def handle(self) -> None:
            with suppress(
                ConnectionError, ValueError
            ):  # it was cut off, or the caller has disconnected
                super().handle()

        def _cut(self) -> None:
            with suppress(OSError):
                self.connection.shutdown(SHUT_RDWR)  # a pending read then ends

        def do_POST(self) -> None:
            self._reply(*self._handle_call())

        def _handle_call(self) -> tuple[int, str]:
            command_id = unquote(self.path.partition("?")[0].rpartition("/")[2])
            authorization = self.headers.get("authorization", "")
            expected = f"Bearer {token(command_id)}"
            if not hmac.compare_digest(authorization.encode(), expected.encode()):
                return 401, "the token is missing, or is not this command's"
            length = self.headers.get("content-length", "")
            if (
                not (length.isascii() and length.isdigit() and len(length) < _MAX_LENGTH_DIGITS)
                or int(length) > MAX_RESULT_BYTES
            ):
                return (
                    413,
                    f"content-length must be the size of the result, at most {MAX_RESULT_BYTES} bytes",
                )
            body = self.rfile.read(int(length))
            if len(body) < int(length):
                return 400, "the result is shorter than content-length"
            return self._report(command_id, body)

        def _report(self, command_id: str, body: bytes) -> tuple[int, str]:
            try:
                completed = report(command_id, parse_json(body))
            except InvalidResult as cause:
                return 400, cause.why
            except DBAPIError:
                return 503, "try again"
            return (200, "stored") if completed else (409, "the command is not open")

        def _reply(self, code: int, text: str) -> None:
            body = json.dumps({"result": text}).encode()
            self.send_response(code)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Log nothing: the path contains the id of a command."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    with serving_thread(server, "callbacks"):
        yield server.server_port
