"""Larger worlds, which take minutes each: `make model`."""

import sys

from tests.model.worlds import LARGE, run

BROKEN = False
for name, world in LARGE.items():
    verdict = run(world)
    print(f"{name}: {verdict}", flush=True)
    BROKEN = BROKEN or verdict.broken is not None
sys.exit(BROKEN)
