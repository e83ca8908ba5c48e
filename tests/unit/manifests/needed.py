"""Files that validators need and `make servers` downloads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def cached(*parts: str) -> Path:
    """Return a file below `.cache`; without it the test is skipped, or fails where all is required."""
    path = ROOT.joinpath(".cache", *parts)
    if not path.exists():
        why = f".cache/{'/'.join(parts)} is missing; run `make servers`"
        if os.environ.get("TERMIJN_REQUIRE_ALL") == "1":
            pytest.fail(why)
        pytest.skip(why)
    return path
