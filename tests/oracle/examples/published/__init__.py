"""Schedules that others have published, in our words, with cases worked out by hand from their text."""

from tests.oracle.examples.language.forms import LanguageExample
from tests.oracle.examples.published.blackpool import BLACKPOOL_CASES
from tests.oracle.examples.published.essex import ESSEX_CASES
from tests.oracle.examples.published.medical_protection import MEDICAL_CASES

PUBLISHED_CASES: tuple[LanguageExample, ...] = (*ESSEX_CASES, *MEDICAL_CASES, *BLACKPOOL_CASES)

__all__ = ["PUBLISHED_CASES"]
