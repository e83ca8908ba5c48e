"""An example of a webhook service: a mailer with recipients, which erases at once or in a nightly run.

It imports nothing of Termijn: it checks the signature, carries out the command, and responds in JSON.
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LONGEST_AGO_SECONDS = 300


class Mailer:
    """The recipients, and the commands that wait for the nightly run."""

    def __init__(self, secret: bytes, *, slow: bool, now: Callable[[], float] = time.time) -> None:
        self.recipients: dict[str, str] = {}
        """Mail addresses by order number."""
        self.waiting: list[dict[str, Any]] = []
        """Requests that were answered with 202."""
        self._secret = secret
        self._slow = slow
        self._now = now

    def take(self, timestamp: str, signature: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Handle a request, and return the status code and the result."""
        expected = hmac.digest(self._secret, timestamp.encode() + b"." + body, "sha256").hex()
        if not hmac.compare_digest(signature, f"sha256={expected}"):
            return 403, {}
        if abs(self._now() - int(timestamp)) > LONGEST_AGO_SECONDS:
            return 403, {}  # an old request that was replayed
        request = json.loads(body)
        if self._slow and request["command"]["action"] == "erase":
            self.waiting.append(request)
            return 202, {}
        return 200, self.carry_out(request["command"])

    def carry_out(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out a command and return its result. A repetition has no further effect."""
        numbers = [record["keys"].get("order_id") for record in command["records"]]
        if None in numbers:
            return {"status": "failed", "detail": "a record came without order_id"}
        known_numbers = [number for number in numbers if number in self.recipients]
        counts = {"recipients": len(known_numbers)}
        if command["action"] == "verify":
            return {"status": "done", "counts": counts}
        if command["action"] == "recall":
            recalled_id = command["supersedes"]
            self.waiting = [r for r in self.waiting if r["command"]["command_id"] != recalled_id]
            return {"status": "recalled" if known_numbers else "already_done"}
        if command["action"] != "erase":
            return {"status": "failed", "detail": f"a mailer has no action {command['action']}"}
        for number in known_numbers:
            del self.recipients[number]
        return {"status": "done" if known_numbers else "nothing_held", "counts": counts}


def server(mailer: Mailer, port: int) -> ThreadingHTTPServer:
    """Return the service's HTTP server; port 0 takes any free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            timestamp = self.headers.get("termijn-timestamp", "0")
            signature = self.headers.get("termijn-signature", "")
            code, result = mailer.take(timestamp, signature, body)
            answer = json.dumps(result).encode()
            self.send_response(code)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Log nothing: requests contain personal data."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)
