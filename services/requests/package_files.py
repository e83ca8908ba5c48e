"""Writes a package as files that only their owner can read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from schemas.errors import PlacedError


class PackageNotWritten(PlacedError):
    """The package could not be written; the request is still open.

    The operator gives a directory that does not exist yet, on a disk with enough space.
    """


def write_new_directory(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a new directory, and flush them to disk.

    Raises:
        PackageNotWritten: the directory exists, or cannot be written.
    """
    try:
        directory.mkdir(mode=0o700, parents=True)
        for name, content in files.items():
            descriptor = os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        opened = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
    except OSError as cause:
        raise PackageNotWritten(directory, cause.strerror or str(cause)) from cause
