"""An independent implementation of the retention catalogue, by brute force, to test Termijn against.

It shares no code with `services`: it was written from the catalogue and the command line's contract
alone. It knows every event of the catalogue, and refuses any other with `NotInCatalogue`.
"""

from tests.oracle.catalogue import NotInCatalogue, holdings_of
from tests.oracle.commands import simulate
from tests.oracle.holdings import explain
from tests.oracle.instants import instant, written

__all__ = ["NotInCatalogue", "explain", "holdings_of", "instant", "simulate", "written"]
