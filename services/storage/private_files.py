"""Private files: what Termijn makes for itself is read by nobody else on the machine, mode 0600."""

from __future__ import annotations

import os
from pathlib import Path

_MODE = 0o600


def opener(path: str, flags: int) -> int:
    """For `open`: a file that is made by it is private; one that was there keeps its mode."""
    return os.open(path, flags, _MODE)


def create(path: str | Path) -> None:
    """Make an empty private file, unless it is there.

    For a database of SQLite: what lies beside it (-wal, -shm, -journal) gets the mode of the file itself.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, _MODE))
