"""The Dutch and English sentences of the retention section of a privacy statement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.policy.term_wording import Language

SENTENCES: Final[Mapping[Language, Mapping[str, str]]] = {
    "nl": {
        "title": "Hoe lang wij persoonsgegevens bewaren",
        "intro": "{controller} bewaart persoonsgegevens niet langer dan hier staat, en wist ze daarna.",
        "pseudonymise": "onder een pseudoniem zodra alleen dit doel, of een wet, ze nog nodig heeft",
        "notice": "wij laten het u {period} van tevoren weten",
        "statutory": "op grond van een wettelijke plicht, ook als u ons vraagt ze te wissen",
        "minimum": "de minimale termijn ook als u ons vraagt ze te wissen",
        "until_withdrawal": "als u uw toestemming intrekt, direct gewist",
        "after_withdrawal": "als u uw toestemming intrekt, {term}",
        "despite_withdrawal": "ook als u uw toestemming intrekt ({ground})",
        "in_test": "de termijn wordt nog niet toegepast",
        "retired": "geen nieuwe gegevens vanaf {date}",
        "absolute": "Maakt u bezwaar, dan wissen wij direct wat wij voor dit doel van u hebben.",
        "withdrawal": "Maakt u bezwaar, dan geldt dat als het intrekken van uw toestemming.",
        "exceptions": "Uitzonderingen",
        "request": "Vraagt u ons uw gegevens te wissen en hebt u daar recht op, dan wissen wij ze direct.",
        "hold": "Zolang een rechtsvordering of een onderzoek loopt, wissen wij niets van wie daarbij"
        " betrokken is.",
        "proof": "Het bewijs dat wij uw gegevens hebben gewist, bewaren wij op uw naam tot {term} nadat wij"
        " dat hebben nagegaan.",
        "proof_never": "Het bewijs dat wij uw gegevens hebben gewist, bewaren wij blijvend op uw naam.",
    },
    "en": {
        "title": "How long we keep personal data",
        "intro": "{controller} keeps personal data no longer than stated below, and then erases it.",
        "pseudonymise": "under a pseudonym once only this purpose, or a law, needs it",
        "notice": "we let you know {period} before",
        "statutory": "on a legal obligation, also if you ask us to erase it",
        "minimum": "the minimum also if you ask us to erase it",
        "until_withdrawal": "if you withdraw your consent, erased at once",
        "after_withdrawal": "if you withdraw your consent, {term}",
        "despite_withdrawal": "also if you withdraw your consent ({ground})",
        "in_test": "the term is not applied yet",
        "retired": "no new data from {date} on",
        "absolute": "If you object, we erase at once what we have of you for this purpose.",
        "withdrawal": "If you object, that counts as withdrawing your consent.",
        "exceptions": "Exceptions",
        "request": "If you ask us to erase your data and have a right to that, we erase it at once.",
        "hold": "While a legal claim or an inquiry is running, we erase nothing of those whom it concerns.",
        "proof": "We keep the proof that we have erased your data under your name until {term} after we"
        " verified that.",
        "proof_never": "We keep the proof that we have erased your data under your name permanently.",
    },
}
