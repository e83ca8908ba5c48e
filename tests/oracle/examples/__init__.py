"""Examples of rights and legal holds, with every value worked out by hand from the catalogue.

Instants are UTC, and written without their zeros: `2024-01-10T10` is 10:00:00Z. Only records that an
example names in `explained` are compared, in `explain` and in `simulate`.
"""

from tests.oracle.examples.consent import CONSENT
from tests.oracle.examples.dossiers import DOSSIERS
from tests.oracle.examples.erasures import ERASURES
from tests.oracle.examples.forms import Example
from tests.oracle.examples.holds import HOLDS
from tests.oracle.examples.objections import OBJECTIONS
from tests.oracle.examples.requests import REQUESTS
from tests.oracle.examples.shared import SHARED

EXAMPLES: tuple[Example, ...] = (
    *CONSENT,
    *OBJECTIONS,
    *ERASURES,
    *REQUESTS,
    *DOSSIERS,
    *HOLDS,
    *SHARED,
)

__all__ = ["EXAMPLES", "Example"]
