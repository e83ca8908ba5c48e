"""Print the number of states of every model world as a table, the larger worlds last: `make model`."""

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
