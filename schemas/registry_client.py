"""A client of a schema registry with one deadline for each request: connecting, sending and reading.

The timeouts of its own HTTP client start again with every byte, so that a registry that answers byte by
byte would block a role permanently.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
from confluent_kafka.schema_registry import SchemaRegistryClient

_RETRY_SETTINGS: Final[Mapping[str, int]] = {"max.retries": 1, "retries.wait.ms": 200}
"""Few retries, in milliseconds: a role that gets no answer tries again itself."""
_TIMEOUT_SECONDS: Final = 15.0


def open_client(
    url: str, login: str | None, ca: Path | None, seconds: float = _TIMEOUT_SECONDS
) -> SchemaRegistryClient:
    """Return a client: `login` is `user:password`, `ca` a file of certificates to trust.

    No request takes longer than `seconds`.

    Raises:
        ValueError, OSError: the URL, login or certificates cannot be used.
    """
    configuration: dict[str, str | int] = {"url": url, **_RETRY_SETTINGS}
    if login:
        configuration["basic.auth.user.info"] = login
    if ca:
        configuration["ssl.ca.location"] = str(ca)
    client = SchemaRegistryClient(configuration)
    http_client: Any = client._rest_client  # it offers no other way to a deadline
    http_client.session.close()
    http_client.session = _Session(
        verify=http_client.verify, auth=http_client.auth, seconds=seconds
    )
    return client


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    """The HTTP client of the registry's client, with a deadline for a whole request."""

    verify: ssl.SSLContext
    auth: tuple[str, str] | None
    seconds: float

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        content: str | None = None,
        params: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        """Send a request and return its response; errors name the registry without its credentials."""
        address = httpx2.URL(url)
        server = f"{address.scheme}://{address.netloc.decode('ascii')}"
        exchange = self._exchange(
            httpx2.Request(method, address, headers=headers, content=content, params=params)
        )
        try:
            with ThreadPoolExecutor(1) as executor:  # whoever calls may have a loop of its own
                return executor.submit(asyncio.run, exchange).result()
        except TimeoutError as cause:
            raise TimeoutError(
                f"{server}: did not respond completely within {self.seconds:g} s"
            ) from cause
        except httpx2.TransportError as cause:
            raise type(cause)(f"{server}: {cause or type(cause).__name__}") from cause

    async def _exchange(self, request: httpx2.Request) -> httpx2.Response:
        async with (
            asyncio.timeout(self.seconds),
            httpx2.AsyncClient(verify=self.verify, auth=self.auth, timeout=None) as http_client,
        ):
            return await http_client.send(request)

    def close(self) -> None:
        """Do nothing: no connection stays open."""
