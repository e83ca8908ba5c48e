"""Open the schema registry where one is used; only then is its HTTP client imported (150 ms)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schemas.registry import Registry


def open_registry(url: str, login: str | None, ca: Path | None) -> Registry:
    """Return the registry at a URL; `login` is `user:password`, `ca` the file of its authority.

    Raises:
        ValueError: the URL or the login cannot be used.
        OSError: the file of the authority cannot be read.
    """
    from schemas.registry import Registry  # noqa: PLC0415  # see above
    from schemas.registry_client import open_client  # noqa: PLC0415

    return Registry(open_client(url, login, ca))
