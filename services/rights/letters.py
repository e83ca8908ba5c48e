"""Letters: the answer to a request as a text, in Dutch or English (GDPR 12(1), 12(3), 12(4))."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from services.rights.report import Report
from services.rights.wording import LANGUAGES, Language, Words, done, finalize, kept

__all__ = ["LANGUAGES", "Language", "letter"]


def letter(report: Report, language: Language) -> str:
    """The answer to the request of a report; it ends with a line break."""
    words = Words(policy=report.policy, language=language)
    template = _templates().get_template(f"{language}.txt.jinja")
    text = template.render(
        report=report,
        controller=report.policy.controller,
        words=words,
        done=done(report, words),
        kept=kept(report, words),
        pending=[p for p in report.parts if p.outcome in ("under_way", "silent", "given_up")],
    )
    return text.strip() + "\n"


def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("services.rights"),
        undefined=StrictUndefined,
        finalize=finalize,
        autoescape=False,  # a letter is plain text
        trim_blocks=True,
        lstrip_blocks=True,
    )
