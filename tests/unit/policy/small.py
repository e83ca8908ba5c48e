"""A small policy of an imaginary company, for what the shipped one never brings about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from textwrap import dedent, indent

from services.policy.loader import load_text
from services.policy.model import Policy
from services.policy.retention_windows import NoFacts
from services.policy.rule_ends import ClockStanding
from services.policy.tagged_event import ClockKey


class Ended(NoFacts):
    """Facts in which the named clocks have ended, without privacy events."""

    def __init__(self, ended: Mapping[str, datetime]) -> None:
        self._ended = ended

    def standing(self, clock: ClockKey) -> ClockStanding:
        ended_at = self._ended.get(clock.clock)
        return ClockStanding(ended_at, has_begun=ended_at is not None)


SMALL = """\
policy: small
version: "1"
dpv: https://w3id.org/dpv/2.3
controller:
  name: Small
  contact: privacy@small.example
  time_zone: Europe/Amsterdam
  statement: Statement 1
purposes:
  care: {title: Care, dpv: dpv:ServiceProvision, source: a}
  service: {title: Service, dpv: dpv:ServiceProvision, source: b}
  tax: {title: Tax, dpv: dpv:LegalCompliance, source: c}
  study: {title: Study, dpv: dpv:ResearchAndDevelopment, source: d}
bases:
  contract: {title: Contract, dpv: eu-gdpr:A6-1-b, article: GDPR 6(1)(b), ground: contract}
  law: {title: Law, dpv: eu-gdpr:A6-1-c, article: GDPR 6(1)(c), ground: legal_obligation}
categories:
  contact: {title: Contact, dpv: [pd:Name]}
subjects:
  client: {title: Client, dpv: dpv:Customer, source: e}
  guest: {title: Guest, dpv: dpv:Customer, source: f}
systems:
  app: {title: App, owner: us}
  books: {title: Books, owner: us, lead_time: PT48H}
  lab: {title: Lab, owner: us, lead_time: PT12H}
clocks:
  membership:
    title: Membership
    key: [client_id]
  stay:
    title: Stay
    key: [stay_id]
    max_open: P30D
rules:
  year:
    title: A year
    kind: at_most
    term: P1Y
    anchor: {kind: event}
    term_from: stated
    anchor_from: stated
    source: g
  two-years:
    title: Two years
    kind: at_most
    term: P2Y
    anchor: {kind: event}
    term_from: stated
    anchor_from: stated
    source: h
  membership:
    title: A year after the membership
    kind: at_most
    term: P1Y
    anchor: {kind: clock, clock: membership}
    term_from: stated
    anchor_from: stated
    source: i
  stay:
    title: A month after the stay
    kind: at_most
    term: P1M
    anchor: {kind: clock, clock: stay}
    term_from: derived
    anchor_from: derived
    source: j
    rationale: Long enough.
  at-once:
    title: Nothing after the stay
    kind: at_most
    term: P0D
    anchor: {kind: clock, clock: stay}
    term_from: stated
    anchor_from: stated
    source: k
  books:
    title: Seven book years
    kind: at_least
    term: P7Y
    anchor: {kind: book-year}
    term_from: statute
    anchor_from: statute
    source: l
  study:
    title: Twenty years, under a pseudonym
    kind: at_most
    term: P20Y
    anchor: {kind: event}
    term_from: stated
    anchor_from: stated
    source: m
    pseudonymise: true
events:
  club.joined:
    process: n
    fields:
      client_id: {business_key: true}
      stay_id: {business_key: true}
      guest_ids: {type: strings, required: false}
      paid: {type: boolean, required: false}
      level: {default: basic, one_of: [basic, full]}
    subject:
      - {kind: client, field: client_id}
    categories: [contact]
    holdings:
      - {purpose: care, basis: contract, rule: year, systems: [app]}
  club.left:
    process: o
    fields:
      client_id: {}
    moves:
      - {clock: membership, move: end}
  club.returned:
    process: o
    fields:
      client_id: {}
    moves:
      - {clock: membership, move: start}
  club.checked-out:
    process: p
    fields:
      stay_id: {}
    moves:
      - {clock: stay, move: end}
"""
_HOLDINGS = "    holdings:\n      - {purpose: care, basis: contract, rule: year, systems: [app]}\n"


def small(*holdings: str, changed: Mapping[str, str] | None = None) -> Policy:
    """The small policy in which `club.joined` makes these holdings, and with parts of its text changed."""
    text = SMALL
    if holdings:
        lines = "".join(f"- {{{holding}}}\n" for holding in holdings)
        text = replaced(text, _HOLDINGS, "    holdings:\n" + indent(lines, "      "))
    for old, new in (changed or {}).items():
        text = replaced(text, old, new)
    return load_text(text, "small.yaml")


def replaced(text: str, old: str, new: str) -> str:
    """The text with its one occurrence of `old` changed."""
    assert text.count(old) == 1, old
    return text.replace(old, dedent(new) if new.startswith("\n") else new)


def line_of(text: str, part: str) -> int:
    """The number of the one line that has this part, counted from 1."""
    (line_number,) = [
        number for number, line in enumerate(text.splitlines(), start=1) if part in line
    ]
    return line_number


def joined(names: Sequence[str] = ()) -> dict[str, object]:
    """The deciding fields of `club.joined`."""
    return {"client_id": "1", "stay_id": "1", "guest_ids": list(names)}
