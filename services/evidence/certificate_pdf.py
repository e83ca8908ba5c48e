"""Renders a certificate of erasure as HTML and PDF, in Dutch or English, with the content of its JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.cloudevents import format_rfc3339
from services.evidence.certificate import (
    Certificate,
    EntryProof,
    ErasedItem,
    OutstandingItem,
    OutstandingReason,
    RetainedItem,
)
from services.evidence.certificate import as_json as for_machines
from services.policy.conditions import variants
from services.policy.model import Policy
from services.requests.pdf import render_pdf
from services.requests.template_environment import template_environment
from services.requests.wording import Language, Translator, strip_control_characters

_MAX_EVIDENCE_NUMBERS = 8
"""Entries that a line of the PDF names; the JSON has all, with their hashes."""
_MAX_GROUND_CHARS = 500
_LABELS: Mapping[Language, Mapping[str, str]] = {
    "nl": {
        "title": "Bewijs van wissing",
        "subject": "Betrokkene",
        "request": "Verzoek",
        "policy": "Bewaarbeleid",
        "incomplete": "Dit bewijs is niet volledig: wat onder Openstaand staat is niet bewezen.",
        "recipients": "Ontvangers (AVG artikel 19)",
        "system": "Systeem of ontvanger",
        "owner": "Verantwoordelijk",
        "role": "Rol",
        "erased": "Gewist, en bewezen",
        "data": "Gegevens",
        "records": "Aantal",
        "when": "Wanneer",
        "proof": "Hoe bewezen",
        "evidence": "Nr. in het logboek",
        "kept": "Bewaard",
        "ground": "Grond",
        "until": "Tot",
        "outstanding": "Openstaand",
        "why": "Stand",
        "nothing": "Niets.",
        "backed": "Waarop dit bewijs rust",
        "backing": "De genoemde nummers staan in het bewijslogboek van de verwerkings"
        "verantwoordelijke, dat aaneengeketend is en geen namen bevat. Het bestand"
        " certificate.json bij dit bewijs bevat die regels met hun handtekeningen. Met de openbare"
        " sleutels van de verwerkingsverantwoordelijke kan iedereen ze zonder dat logboek nagaan"
        " (termijn evidence verify-certificate). Dit is de laatste handtekening onder het logboek.",
        "reference": "Kenmerk van de betrokkene in het logboek",
        "number": "Laatste nummer",
        "hash": "Controlegetal (SHA-256)",
        "signed": "Ondertekend op",
        "key": "Sleutel",
        "more": "en {} andere",
    },
    "en": {
        "title": "Certificate of erasure",
        "subject": "Data subject",
        "request": "Request",
        "policy": "Retention policy",
        "incomplete": "This certificate is not complete: what is listed under Outstanding is not proven.",
        "recipients": "Recipients (GDPR article 19)",
        "system": "System or recipient",
        "owner": "Responsible",
        "role": "Role",
        "erased": "Erased, and proven",
        "data": "Data",
        "records": "Number",
        "when": "When",
        "proof": "How it is proven",
        "evidence": "No. in the log",
        "kept": "Kept",
        "ground": "Ground",
        "until": "Until",
        "outstanding": "Outstanding",
        "why": "Status",
        "nothing": "Nothing.",
        "backed": "Evidence for this certificate",
        "backing": "The numbers are entries of the controller's evidence log, which is chained and"
        " contains no names. The file certificate.json beside this page has those entries with their"
        " signatures. With the controller's public keys anyone can verify them without the log"
        " (termijn evidence verify-certificate). This is the last signature of the log.",
        "reference": "The data subject in the log",
        "number": "Last number",
        "hash": "Hash (SHA-256)",
        "signed": "Signed at",
        "key": "Key",
        "more": "and {} others",
    },
}
_PROOF_TEXTS: Mapping[Language, Mapping[str, str]] = {
    "nl": {
        "read_again": "opnieuw gelezen: er is niets meer",
        "attested": "verklaard door het systeem, dat niet opnieuw kan lezen",
        "notified": "verwerkingsverantwoordelijke op de hoogte gesteld, en bevestigd",
        "pseudonymised": "gepseudonimiseerd",
        "transferred": "overgedragen aan een archief, verklaard door het systeem",
    },
    "en": {
        "read_again": "read again: nothing is left",
        "attested": "attested by the system, which cannot read again",
        "notified": "the controller was notified, and confirmed it",
        "pseudonymised": "pseudonymised",
        "transferred": "handed over to an archive, attested by the system",
    },
}
_OUTSTANDING_TEXTS: Mapping[Language, Mapping[OutstandingReason, str]] = {
    "nl": {
        "not_told": "nog geen opdracht gegeven",
        "not_transferred": "niet gevonden toen het overgedragen moest worden",
        "under_way": "opdracht gegeven, nog niet bevestigd",
        "silent": "opdracht gegeven, antwoord blijft uit",
        "not_proven": "gezegd, nog niet nagelezen",
        "refused": "geweigerd",
        "given_up": "met de hand opgevolgd",
        "reopened": "teruggevonden bij nalezen; opnieuw opgedragen",
        "unsealed": "bewezen, nog niet verzegeld: vraag dit bewijs over een minuut opnieuw",
        "unlinkable": "bewezen, maar de sleutel van het logboek van toen is er niet meer",
    },
    "en": {
        "not_told": "not commanded yet",
        "not_transferred": "not found when it had to be handed over",
        "under_way": "commanded, not confirmed yet",
        "silent": "commanded, no answer so far",
        "not_proven": "reported as done, not read again yet",
        "refused": "refused",
        "given_up": "followed up by hand",
        "reopened": "still there when it was read again; commanded again",
        "unsealed": "proven, not sealed yet: ask for this certificate again in a minute",
        "unlinkable": "proven, but the log's key of that time does not exist any more",
    },
}
_ROLE_TEXTS: Mapping[Language, Mapping[str, str]] = {
    "nl": {"own": "eigen", "processor": "verwerker", "controller": "verwerkingsverantwoordelijke"},
    "en": {"own": "our own", "processor": "processor", "controller": "controller"},
}
_LEGAL_HOLD_TEXT = {
    "nl": "rechtsvordering of onderzoek dat nog loopt",
    "en": "a legal claim or an inquiry",
}
_REFUSED_TEXT = {"nl": "geweigerd door de ontvanger", "en": "refused by the recipient"}
_OUTSIDE_EEA_TEXT = {"nl": "buiten de EER", "en": "outside the EEA"}


def certificate_files(certificate: Certificate, language: Language) -> dict[str, bytes]:
    """Return the files to hand over, by name: the JSON and the PDF."""
    html = render_certificate(certificate, language)
    title = _LABELS[language]["title"]
    return {
        "certificate.json": for_machines(certificate).encode(),
        "certificate.pdf": render_pdf(html, title=title, language=language, at=certificate.at),
    }


def render_certificate(certificate: Certificate, language: Language) -> str:
    """Return the certificate as one HTML document."""
    words = Translator(policy=certificate.policy, language=language)
    environment = template_environment("services.evidence", html=True)
    return environment.get_template("certificate.html.jinja").render(
        certificate=certificate,
        language=language,
        text=_LABELS[language],
        policy=certificate.policy,
        controller=certificate.policy.controller,
        date=words.date,
        recipients=[_recipient(name, words) for name in certificate.recipients],
        erased=[_erased_row(item, words) for item in certificate.erased],
        kept=[_retained_row(item, words) for item in certificate.kept],
        outstanding=[_outstanding(item, words) for item in certificate.outstanding],
        head=certificate.head,
        hash=_breakable_hex(certificate.head.head.hash.hex()),
        signed=format_rfc3339(certificate.head.head.at),
    )


def _recipient(name: str, words: Translator) -> Mapping[str, str]:
    system = words.policy.systems[name]
    role = _ROLE_TEXTS[words.language][system.role]
    if system.outside_eea:
        role = f"{role}, {_OUTSIDE_EEA_TEXT[words.language]}: {system.safeguard or ''}"
    return {"system": words.system(name), "owner": system.owner, "role": role}


def _erased_row(item: ErasedItem, words: Translator) -> Mapping[str, object]:
    proofs = _PROOF_TEXTS[words.language]
    proof = proofs[item.proof]
    if item.action == "pseudonymise":
        proof = f"{proofs['pseudonymised']}; {proof}"
    return {
        "system": words.system(item.system),
        "data": _data(item, words),
        "records": item.records,
        "when": words.date(item.carried_out_at or item.proven_at),
        "proof": proof,
        "evidence": _numbers(item.evidence, words),
    }


def _numbers(evidence: Sequence[EntryProof], words: Translator) -> str:
    numbers = ", ".join(str(ref.number) for ref in evidence[:_MAX_EVIDENCE_NUMBERS])
    unlisted = len(evidence) - _MAX_EVIDENCE_NUMBERS
    return (
        f"{numbers} {_LABELS[words.language]['more'].format(unlisted)}" if unlisted > 0 else numbers
    )


def _retained_row(item: RetainedItem, words: Translator) -> Mapping[str, object]:
    if item.why == "refused":
        ground = " ".join(strip_control_characters(item.ground or "").split())[:_MAX_GROUND_CHARS]
        reason = f"{_REFUSED_TEXT[words.language]}: {ground}"
    elif item.why == "hold":
        reason = f"{_LEGAL_HOLD_TEXT[words.language]} ({words.article(item.article or '')})"
    else:
        basis = words.named("bases", [item.basis or ""])
        purpose = words.named("purposes", [item.purpose or ""])
        reason = f"{purpose}: {basis} ({words.article(item.article or '')})"
    return {
        "system": words.system(item.system),
        "data": _data(item, words),
        "records": item.records,
        "ground": reason,
        "until": words.until(item.until, _only_rule(item, words.policy)),
    }


def _only_rule(item: RetainedItem, policy: Policy) -> str | None:
    """Return the rule by which data is kept, if its type, purpose and basis have only one there."""
    kind = policy.events.get(item.type)
    rules = {
        rule
        for holding in (kind.holdings if kind else ())
        for rule in variants(holding.rule, policy.rules)
        if (holding.purpose, holding.basis) == (item.purpose, item.basis)
        and item.system in holding.systems
    }
    return rules.pop() if len(rules) == 1 and item.why == "basis" else None


def _outstanding(item: OutstandingItem, words: Translator) -> Mapping[str, object]:
    return {
        "system": words.system(item.system),
        "data": _data(item, words),
        "records": item.records,
        "why": _OUTSTANDING_TEXTS[words.language][item.why],
    }


def _data(item: ErasedItem | RetainedItem | OutstandingItem, words: Translator) -> str:
    """Return the categories of the data, and the type of event that brought it."""
    kinds = words.named("categories", item.categories)
    return f"{kinds} ({item.type})" if kinds else item.type


def _breakable_hex(text: str) -> str:
    """Return hexadecimal with spaces, so that a narrow cell can break it."""
    return " ".join(text[at : at + 16] for at in range(0, len(text), 16))
