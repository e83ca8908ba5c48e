"""Examples of the policy language, with every value worked out by hand.

Instants are UTC, and written without their zeros: `2024-01-10T10` is 10:00:00Z.
"""

from tests.oracle.examples.language.conditions import CONDITIONS
from tests.oracle.examples.language.dates import DATES
from tests.oracle.examples.language.forms import LanguageExample
from tests.oracle.examples.language.minimum import MINIMUM
from tests.oracle.examples.language.notice_days import NOTICE_DAYS
from tests.oracle.examples.language.notice_holdings import NOTICE_HOLDINGS
from tests.oracle.examples.language.notices import NOTICES
from tests.oracle.examples.language.outcomes import OUTCOMES
from tests.oracle.examples.language.purposes import PURPOSES
from tests.oracle.examples.language.several_ends import SEVERAL_ENDS
from tests.oracle.examples.language.transfers import TRANSFERS
from tests.oracle.examples.language.withdrawals import WITHDRAWALS
from tests.oracle.examples.language.years import ENDS_OF_YEARS

LANGUAGE_EXAMPLES: tuple[LanguageExample, ...] = (
    *SEVERAL_ENDS,
    *DATES,
    *ENDS_OF_YEARS,
    *OUTCOMES,
    *MINIMUM,
    *PURPOSES,
    *CONDITIONS,
    *WITHDRAWALS,
    *NOTICES,
    *NOTICE_DAYS,
    *NOTICE_HOLDINGS,
    *TRANSFERS,
)

__all__ = ["LANGUAGE_EXAMPLES", "LanguageExample"]
