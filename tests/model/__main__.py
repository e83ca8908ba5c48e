"""The states of every world, as rows of a table, the larger ones last: `make model`."""

import sys

from tests.model.worlds import LARGE, WORLDS, run

BROKEN = False
for name, world in (*WORLDS.items(), *LARGE.items()):
    verdict = run(world)
    print(f"| {name} | {verdict.states:,} |", flush=True)
    if verdict.broken:
        BROKEN = True
        print(verdict, flush=True)
sys.exit(BROKEN)
