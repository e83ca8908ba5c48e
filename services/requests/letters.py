"""Letters to data subjects: answers and notices as text, in Dutch or English (GDPR 12(1), 12(3), 12(4))."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, get_args

from jinja2 import Environment

from services.policy.model import Policy
from services.requests.report import Report
from services.requests.template_environment import template_environment
from services.requests.wording import LANGUAGES, Language, Translator, outcome_lines, retained_lines

__all__ = ["LANGUAGES", "NOTICES", "Language", "Notice", "render_letter", "render_notice"]

Notice = Literal[
    "request-received",
    "request-extended",
    "restriction-lifted",
    "objection-upheld",
    "objection-rejected",
    "complaint-received",
    "complaint-answered",
]
"""The kinds of letters besides the answer to a request."""
NOTICES: tuple[Notice, ...] = get_args(Notice)


def render_letter(report: Report, language: Language) -> str:
    """Return the letter that answers the request of a report; it ends with a line break."""
    words = Translator(policy=report.policy, language=language, confirmed=report.confirmed)
    template = _environment().get_template(f"{language}.txt.jinja")
    text = template.render(
        report=report,
        controller=report.policy.controller,
        words=words,
        done=outcome_lines(report, words),
        kept=retained_lines(report, words),
        pending=[p for p in report.parts if p.outcome in ("under_way", "silent", "given_up")],
    )
    return text.strip() + "\n"


def render_notice(
    policy: Policy,
    kind: Notice,
    language: Language,
    *,
    reference: str,
    received_at: datetime,
    answer_by: datetime | None = None,
) -> str:
    """Return a notice about a request, an objection or a complaint; only requests have an `answer_by`."""
    words = Translator(policy=policy, language=language)
    text = (
        _environment()
        .get_template(f"notices.{language}.jinja")
        .render(
            kind=kind,
            reference=reference,
            controller=policy.controller,
            date=words.date(received_at),
            limit=words.date(answer_by),
        )
    )
    return text.strip() + "\n"


def _environment() -> Environment:
    return template_environment("services.requests", html=False)
