"""A server that runs in a thread of its own inside a `with` block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import BaseServer
from threading import Thread


@contextmanager
def serving_thread(server: BaseServer, name: str) -> Iterator[None]:
    """Serve in a thread of that name inside the `with` block; close the server afterwards."""
    thread = Thread(target=server.serve_forever, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
