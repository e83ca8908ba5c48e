"""Files that Termijn writes for itself: private ones (mode 0600), and files that are never half-written."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

_PRIVATE_MODE = 0o600
_PUBLIC_MODE = 0o644
_OTHERS_MASK = 0o007


def is_open_to_all(mode: int) -> bool:
    """Return whether every user of this machine may access a file of that mode."""
    return bool(mode & _OTHERS_MASK)


def private_opener(path: str, flags: int) -> int:
    """Open a file for `open(..., opener=private_opener)`; a new file is private, others keep their mode."""
    return os.open(path, flags, _PRIVATE_MODE)


def create_private_file(path: str | Path) -> None:
    """Create an empty private file, unless there is a file.

    For a database of SQLite: the files beside it (-wal, -shm, -journal) get the mode of the file itself.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, _PRIVATE_MODE))


def write_whole_file(
    path: Path, text: str, *, private: bool = False, exclusive: bool = False
) -> None:
    """Write a file and flush it to disk, so that other processes see all of it or nothing.

    With `private` its mode is 0600, else 0644. With `exclusive` a file that exists stays as it is.

    Raises:
        OSError: the file or its directory cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile("w", encoding="utf-8", dir=path.parent) as file:  # with mode 0600
        file.write(text)
        file.flush()
        if not private:
            os.fchmod(file.fileno(), _PUBLIC_MODE)
        os.fsync(file.fileno())
        target = path if exclusive else path.with_name(f"{path.name}.{os.getpid()}")
        with suppress(FileExistsError):
            os.link(file.name, target)
        if not exclusive:
            target.replace(path)
