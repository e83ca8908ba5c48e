"""Sample events for all processes of the shipped policy, with times such that some are due in seconds.

The people in them are made up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from schemas.cloudevents import CloudEvent
from services.policy.calendar import latest_erasure
from services.policy.model import Policy

SOURCE = "urn:termijn:sample"
_NAMES = ("A. Voorbeeld", "B. Specimen", "C. Muster", "D. Exempel", "E. Sample")
_SOON = timedelta(seconds=90)


def sample_events(
    policy: Policy, now: datetime, *, seed: int, companies: int
) -> Iterator[CloudEvent]:
    """Return events of every type, about as many companies as asked, which differ for each seed.

    The terms of about a third of the events end within `_SOON` after `now`, UTC.
    """
    return iter(_CompanyHistory(policy, now, Random(seed)).events(f"{seed:x}", companies))


class _CompanyHistory:
    """The history of made-up companies, dated backwards from terms that end about now."""

    def __init__(self, policy: Policy, now: datetime, random: Random) -> None:
        self._policy = policy
        self._now = now
        self._random = random

    def events(self, prefix: str, companies: int) -> list[CloudEvent]:
        """Return all events, oldest first."""
        events = [
            event
            for number in range(1, companies + 1)
            for chapter in (
                self._customer,
                self._orders,
                self._applicant,
                self._prospect,
                self._supplier,
                self._visitor,
                self._rights,
            )
            for event in chapter(f"{prefix}-{number}", number)
        ]
        return sorted(events, key=lambda event: event.time)

    def _customer(self, n: str, number: int) -> Iterator[CloudEvent]:
        customer = f"SAMPLE-C{n}"
        ended = self._clock_start("R1")
        since = ended - timedelta(days=self._random.randint(200, 900))

        def random_time() -> datetime:
            return since + (ended - since) * self._random.random()

        yield self._event(
            "customers.customer-signed-up",
            since,
            {"customer_id": customer, "company_name": f"Lunchroom {n}"},
        )
        yield self._event(
            "customers.customer-details-changed", random_time(), {"customer_id": customer}
        )
        yield self._event(
            "credit.check-performed", since, {"check_id": f"K{n}", "customer_id": customer}
        )
        for purchase in range(3):
            at = random_time()
            yield self._event(
                "purchases.purchase-made",
                at,
                {"purchase_id": f"P{n}-{purchase}", "customer_id": customer},
            )
            yield self._event(
                "billing.invoice-issued",
                at + timedelta(days=1),
                {"invoice_id": f"F{n}-{purchase}", "customer_id": customer},
            )
        opened = random_time()
        ticket = {"ticket_id": f"T{n}", "customer_id": customer}
        yield self._event(
            "helpdesk.ticket-opened",
            opened,
            ticket | {"consumer_ids": [f"SAMPLE-K{n}"], "shared_with": ["repair"]},
        )
        yield self._event("helpdesk.ticket-resolved", opened + timedelta(days=2), ticket)
        request = {"request_id": f"V{n}", "customer_id": customer}
        yield self._event("administration.request-received", opened, request)
        yield self._event("administration.request-handled", opened + timedelta(days=1), request)
        yield self._event(
            "research.survey-invited",
            random_time(),
            {"survey_id": f"S{n}", "customer_id": customer},
        )
        yield self._event("customers.customer-terminated", ended, {"customer_id": customer})
        if number % 4 == 0:
            after_end = ended + timedelta(days=30)
            yield self._event("customers.customer-reinstated", after_end, {"customer_id": customer})

    def _orders(self, n: str, number: int) -> Iterator[CloudEvent]:
        for order in range(4):
            yield self._event(
                "orders.order-placed",
                self._clock_start("D4"),
                {
                    "order_id": f"O{n}-{order}",
                    "customer_id": f"SAMPLE-C{n}",
                    "consumer_id": f"SAMPLE-K{n}-{order}",
                    "amount": f"{self._random.randint(10, 90)}.50",
                    "payment": {"method": "ideal"},
                },
            )

    def _applicant(self, n: str, number: int) -> Iterator[CloudEvent]:
        keep = number % 2 == 0
        closed = self._clock_start("R3b" if keep else "R3a")
        application = {"application_id": f"A{n}", "applicant_id": f"SAMPLE-A{n}"}
        yield self._event(
            "recruitment.application-received",
            closed - timedelta(days=30),
            application | {"keep_consent": keep},
        )
        yield self._event("recruitment.application-closed", closed, application)

    def _prospect(self, n: str, number: int) -> Iterator[CloudEvent]:
        contacted = self._clock_start("D2")
        prospect = {"prospect_id": f"SAMPLE-P{n}"}
        yield self._event(
            "acquisition.lead-acquired",
            contacted - timedelta(days=40),
            prospect | {"source": "trade fair"},
        )
        yield self._event("acquisition.prospect-informed", contacted, prospect)
        yield self._event("acquisition.lead-contacted", contacted, prospect)

    def _supplier(self, n: str, number: int) -> Iterator[CloudEvent]:
        supplier = {"supplier_id": f"SAMPLE-S{n}"}
        began = self._now - timedelta(days=400)
        yield self._event("suppliers.supplier-engaged", began, supplier | {"contact_id": f"L{n}-1"})
        yield self._event(
            "billing.purchase-invoice-received",
            began + timedelta(days=20),
            supplier | {"invoice_id": f"I{n}", "contact_id": f"L{n}-1"},
        )
        yield self._event(
            "suppliers.contact-person-changed",
            self._now - timedelta(seconds=self._random.randint(0, 60)),
            supplier | {"former_contact_id": f"L{n}-1", "contact_id": f"L{n}-2"},
        )
        if number % 3 == 0:
            yield self._event("suppliers.supplier-ended", self._now, supplier)

    def _visitor(self, n: str, number: int) -> Iterator[CloudEvent]:
        visitor = {"visitor_id": f"SAMPLE-V{n}"}
        resolved = self._clock_start("D1")
        message = visitor | {"message_id": f"M{n}"}
        yield self._event(
            "contact.message-received",
            resolved - timedelta(days=3),
            message | {"channel": self._random.choice(["form", "mail", "whatsapp"])},
        )
        yield self._event("contact.message-resolved", resolved, message)
        yield self._event(
            "website.feedback-given", self._clock_start("D5"), visitor | {"feedback_id": f"W{n}"}
        )
        answered = self._clock_start("D6")
        yield self._event("research.survey-answered", answered, visitor | {"survey_id": f"Q{n}"})

    def _rights(self, n: str, number: int) -> Iterator[CloudEvent]:
        """Yield privacy events of people of every sixth company, and the decisions on them."""
        if number % 6 != 1:
            return
        customer, visitor = (
            {"subject": f"customer:SAMPLE-C{n}"},
            {"subject": f"visitor:SAMPLE-V{n}"},
        )
        prospect, consumer = (
            {"subject": f"prospect:SAMPLE-P{n}"},
            {"subject": f"consumer:SAMPLE-K{n}"},
        )
        privacy_events = (
            ("consent-given", 9, visitor | {"purpose": "market_research"}),
            ("consent-withdrawn", 0, visitor | {"purpose": "market_research"}),
            ("objection-raised", 0, prospect | {"purpose": "acquisition"}),
            ("objection-raised", 5, consumer | {"purpose": "internal_research"}),
            (
                "objection-decided",
                0,
                consumer | {"purpose": "internal_research", "outcome": "rejected"},
            ),
            ("hold-placed", 4, customer | {"hold_id": f"H{n}", "ground": "legal_claim"}),
            ("hold-released", 0, customer | {"hold_id": f"H{n}"}),
            ("request-received", 6, visitor | {"request_id": f"Q{n}-1", "right": "erasure"}),
            ("request-extended", 4, visitor | {"request_id": f"Q{n}-1"}),
            ("identity-verified", 3, visitor | {"request_id": f"Q{n}-1"}),
            ("request-answered", 0, visitor | {"request_id": f"Q{n}-1"}),
            ("request-received", 5, customer | {"request_id": f"Q{n}-2", "right": "restriction"}),
            ("identity-verified", 3, customer | {"request_id": f"Q{n}-2"}),
            ("restriction-lifted", 0, customer | {"request_id": f"Q{n}-2"}),
            ("request-received", 8, prospect | {"request_id": f"Q{n}-3", "right": "access"}),
            ("request-refused", 2, prospect | {"request_id": f"Q{n}-3"}),
            ("complaint-received", 7, customer | {"complaint_id": f"X{n}"}),
            ("complaint-answered", 1, customer | {"complaint_id": f"X{n}"}),
        )
        for kind, days_ago, data in privacy_events:
            yield self._event(f"privacy.{kind}", self._now - timedelta(days=days_ago), data)

    def _clock_start(self, rule: str) -> datetime:
        """Return when a clock started whose command is sent in some seconds, or in some days."""
        spec = self._policy.rules[rule]
        soon = self._random.random() < 1 / 3
        ahead = (
            _SOON * self._random.random() if soon else timedelta(days=self._random.randint(2, 25))
        )
        lead = max(system.lead_time_period.exact for system in self._policy.systems.values())
        leaves = self._now + ahead + lead
        [back] = spec.parts[0].periods
        guess = leaves - timedelta(days=round(back.months * 30.44) + back.days) - back.exact
        zone = self._policy.controller.zone
        return guess + (leaves - latest_erasure(guess, back, zone))

    def _event(self, type: str, time: datetime, data: Mapping[str, Any]) -> CloudEvent:
        return CloudEvent(
            id=str(UUID(int=self._random.getrandbits(128), version=4)),
            source=SOURCE,
            type=type,
            time=min(time, self._now),
            data=data,
        )
