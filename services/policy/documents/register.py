"""The record of processing activities (GDPR 30(1)) of a policy: as rows, and as a document.

It states what the policy has, and names what GDPR 30(1) also asks for and a policy does not have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from services.policy.documents.document import Block, BulletList, Document, Section, Table
from services.policy.documents.processing import Processing, list_processing, unheld_purposes
from services.policy.model import Policy, Purpose, System
from services.policy.rule import Rule
from services.policy.term_wording import period_in_words, term_in_words

REGISTER_TITLE: Final = "Record of processing activities (GDPR 30)"
_LANGUAGE: Final = "en"
OUTSIDE_POLICY: Final = (
    "The policy does not have what GDPR 30(1) also asks for: joint controllers, the representative and the"
    " data protection officer (a), the countries of transfers (e), the security measures (g)."
)
"""What the record asks for and a policy does not have."""
_PROVENANCE: Final = {"stated": "statement", "statute": "law", "derived": "derived"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterRow:
    """One processing activity of the record, as texts for people."""

    controller: str
    contact: str
    purpose: str
    legal_basis: str
    data_subjects: Sequence[str]
    personal_data: Sequence[str]
    internal: Sequence[str]
    """The controller's own systems."""
    recipients: Sequence[str]
    """Processors and other controllers (GDPR 4(9)), with their role."""
    transfers: Sequence[str]
    """The systems outside the EEA, each with its safeguard (GDPR 44-49)."""
    kept: str
    """Until when the data is kept (GDPR 30(1)(f))."""
    rule: str
    """The name of the policy's rule."""
    source: str
    """Where the term comes from: the heading of the statement, or the article of the law."""
    provenance: str
    """Whether term and start are stated, of a law, or derived; then why, and whether that is confirmed."""
    remarks: Sequence[str]


REGISTER_COLUMNS: Final = tuple(RegisterRow.__dataclass_fields__)
"""The fields of a row, in order."""


def register_rows(
    policy: Policy, confirmed: Mapping[str, bool] | None = None
) -> tuple[RegisterRow, ...]:
    """Return a row for each purpose, legal basis and rule, in the order of the policy file.

    `confirmed` has, by rule, whether its derived term is confirmed; without it nothing is stated of that.
    """
    confirmed = confirmed or {}
    return tuple(_row(policy, item, confirmed.get(item.rule)) for item in list_processing(policy))


def register_cells(row: RegisterRow) -> list[str]:
    """Return the values of a row as texts, in the order of `REGISTER_COLUMNS`; lists with `; ` between."""
    values = (getattr(row, column) for column in REGISTER_COLUMNS)
    return [value if isinstance(value, str) else "; ".join(value) for value in values]


def register_document(policy: Policy, confirmed: Mapping[str, bool] | None = None) -> Document:
    """Return the record as a document: the controller, a section for each purpose, and the recipients."""
    rows = zip(list_processing(policy), register_rows(policy, confirmed), strict=True)
    by_purpose: dict[str, list[RegisterRow]] = {}
    for processing, row in rows:
        by_purpose.setdefault(processing.purpose, []).append(row)
    return Document(
        title=REGISTER_TITLE,
        language=_LANGUAGE,
        blocks=(BulletList(items=tuple(_about(policy))), OUTSIDE_POLICY),
        sections=(
            *(
                Section(
                    heading=policy.purposes[name].title, blocks=tuple(_purpose(policy, name, of))
                )
                for name, of in by_purpose.items()
            ),
            *_closing_sections(policy),
        ),
    )


def _about(policy: Policy) -> Iterator[str]:
    controller = policy.controller
    yield f"Controller: {controller.name}"
    yield f"Contact: {controller.contact}"
    yield f"Privacy statement: {controller.statement}"
    if controller.authority:
        yield f"Supervisory authority: {controller.authority}"
    yield f"Policy: {policy.policy} {policy.version}"


def _purpose(policy: Policy, name: str, rows: Sequence[RegisterRow]) -> Iterator[Block]:
    purpose = policy.purposes[name]
    yield f"Source: {purpose.source}. DPV: {purpose.dpv}."
    for row in rows:
        yield Table(columns=("Kept", row.kept), rows=tuple(_lines(row)))


def _lines(row: RegisterRow) -> Iterator[tuple[str, str]]:
    yield "Legal basis", row.legal_basis
    yield "Data subjects", "; ".join(row.data_subjects)
    yield "Personal data", "; ".join(row.personal_data)
    for title, values in (
        ("Own systems", row.internal),
        ("Recipients", row.recipients),
        ("Transfers outside the EEA", row.transfers),
    ):
        if values:
            yield title, "; ".join(values)
    yield "Rule", row.rule
    yield "Source", row.source
    yield "Derived or stated", row.provenance
    if row.remarks:
        yield "Remarks", "; ".join(row.remarks)


def _closing_sections(policy: Policy) -> Iterator[Section]:
    yield Section(
        heading="Systems",
        blocks=(
            Table(
                columns=("System", "Responsible", "Role", "Outside the EEA", "Remarks"),
                rows=tuple(_system_line(policy, system) for system in policy.systems.values()),
            ),
        ),
    )
    if policy.proof:
        period = period_in_words(policy.proof.term, _LANGUAGE)
        text = f"Under a person's name {period} after the last erasure was verified"
        yield Section(
            heading="Proof of erasure", blocks=(f"{text}. Term from: {policy.proof.source}.",)
        )
    if purposes := unheld_purposes(policy):
        titles = BulletList(items=tuple(policy.purposes[name].title for name in purposes))
        yield Section(heading="Purposes for which no event holds data", blocks=(titles,))


def _system_line(policy: Policy, system: System) -> tuple[str, ...]:
    outside = f"yes: {system.safeguard}" if system.outside_eea else "no"
    return system.title, system.owner, system.role, outside, _retired(policy, system)


def _row(policy: Policy, processing: Processing, is_confirmed: bool | None) -> RegisterRow:
    rule, basis = policy.rules[processing.rule], policy.bases[processing.basis]
    systems = [policy.systems[name] for name in processing.systems]
    return RegisterRow(
        controller=policy.controller.name,
        contact=policy.controller.contact,
        purpose=policy.purposes[processing.purpose].title,
        legal_basis=f"{basis.title} ({basis.article})",
        data_subjects=_titles(policy, "subjects", processing.subjects),
        personal_data=_titles(policy, "categories", processing.categories),
        internal=tuple(system.title for system in systems if system.role == "own"),
        recipients=tuple(
            f"{system.title} ({system.role})" for system in systems if system.role != "own"
        ),
        transfers=tuple(
            f"{system.title}: {system.safeguard}" for system in systems if system.outside_eea
        ),
        kept=term_in_words(policy, processing.rule, _LANGUAGE),
        rule=processing.rule,
        source=rule.source,
        provenance=_provenance(rule, is_confirmed),
        remarks=tuple(_remarks(policy, processing)),
    )


def _titles(
    policy: Policy, section: Literal["subjects", "categories"], names: Sequence[str]
) -> tuple[str, ...]:
    return tuple(policy.title(section, name, _LANGUAGE) for name in names)


def _provenance(rule: Rule, is_confirmed: bool | None) -> str:
    """Return where term and start of a rule come from; for a derived one also why."""
    term, start = _PROVENANCE[rule.term_from], _PROVENANCE[rule.anchor_from]
    text = f"term and start: {term}" if term == start else f"term: {term}, start: {start}"
    if "derived" not in (rule.term_from, rule.anchor_from):
        return text
    if is_confirmed is not None:
        text += "; confirmed" if is_confirmed else "; to be confirmed"
    return f"{text}. {rule.rationale}" if rule.rationale else text


def _remarks(policy: Policy, processing: Processing) -> Iterator[str]:
    rule = policy.rules[processing.rule]
    for notice in rule.notices:
        period = period_in_words(notice.before, _LANGUAGE)
        yield f"notice {period} before, by {policy.systems[notice.system].title}"
    if rule.pseudonymise:
        yield "pseudonymised once no other purpose needs it"
    if rule.is_in_test:
        yield "the rule is in test: nothing is erased because of it"
    if processing.is_passed_on:
        yield "an event can name further systems that get the data"
    if retired := _retired(policy, policy.purposes[processing.purpose]):
        yield retired


def _retired(policy: Policy, part: Purpose | System) -> str:
    if part.retired is None:
        return ""
    day = part.retired.astimezone(policy.controller.zone).date()
    return f"no new data from {day.isoformat()} on"
