"""Hypothesis strategies for realistic catalogue events, few enough that their clocks interact.

Few ids, and the same ids for every kind: customer 1, ticket 1 and contact 1 are three things. Times
prefer the hard cases: changes of the clock, leap days, ends of the local year, the instants at which an
earlier event's windows are due, and the same instant again.
"""

from calendar import isleap, monthrange
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from tests.oracle.clocks import Event
from tests.oracle.instants import AMSTERDAM, plus_months, written
from tests.oracle.windows import LEAD, MONTHS

FIRST, LAST = datetime(2012, 1, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
IDS = ("1", "2")
CONTACTS = ("1", "2", "3")
SOURCES = ("/crm", "/desk", "/shop")
TERMS = sorted({months for months in MONTHS.values() if months})

# Fixed, as in life: whose ticket it is, or whose application, does not change. So with every number that
# identifies: it has its owner's id in it, since two subjects of one are a conflict (test_key_conflicts).
OWNER = {"1": "1", "2": "2", "3": "1"}

STORIES: dict[str, tuple[str, ...]] = {
    "relationship": (
        "customers.customer-signed-up",
        "customers.customer-details-changed",
        "customers.customer-terminated",
        "customers.customer-terminated",
        "customers.customer-reinstated",
        "customers.customer-reinstated",
        "purchases.purchase-made",
        "billing.invoice-issued",
        "administration.request-received",
        "administration.request-handled",
    ),
    "helpdesk": (
        "helpdesk.ticket-opened",
        "helpdesk.ticket-opened",
        "helpdesk.ticket-resolved",
        "helpdesk.ticket-resolved",
        "customers.customer-terminated",
        "customers.customer-reinstated",
    ),
    "contact": (
        "contact.message-received",
        "contact.message-received",
        "contact.message-resolved",
        "contact.message-resolved",
        "customers.customer-terminated",
        "customers.customer-reinstated",
    ),
    "supplier": (
        "suppliers.supplier-engaged",
        "suppliers.contact-person-changed",
        "suppliers.contact-person-changed",
        "suppliers.supplier-ended",
        "billing.purchase-invoice-received",
        "credit.check-performed",
    ),
    "application": (
        "recruitment.application-received",
        "recruitment.application-received",
        "recruitment.application-closed",
        "recruitment.application-closed",
    ),
    "acquisition": (
        "acquisition.lead-acquired",
        "acquisition.lead-contacted",
        "acquisition.lead-contacted",
        "credit.check-performed",
    ),
    "shop": (
        "orders.order-placed",
        "purchases.purchase-made",
        "customers.customer-terminated",
    ),
    "website": (
        "website.feedback-given",
        "research.survey-invited",
        "research.survey-answered",
    ),
}


def _days_that_change_the_clock() -> list[date]:
    changes: list[date] = []
    day = FIRST.date()
    while day < date(2047, 1, 1):
        offsets = {
            datetime.combine(d, time(0), AMSTERDAM).utcoffset()
            for d in (day, day + timedelta(days=1))
        }
        if len(offsets) > 1:
            changes.append(day)
        day += timedelta(days=1)
    return changes


def _in_utc(day: date, wall: time) -> set[datetime]:
    return {
        datetime.combine(day, wall, AMSTERDAM).replace(fold=fold).astimezone(UTC) for fold in (0, 1)
    }


def _hard_times() -> list[datetime]:
    hours = (time(1, 59, 59), time(2), time(2, 30), time(2, 59, 59), time(3))
    edges = (time(0), time(0, 0, 1), time(0, 30), time(2, 30), time(12), time(23, 30, 15))
    moments: set[datetime] = set()
    for day in _days_that_change_the_clock():
        for months in (0, *TERMS):
            # The same day of the month, one term before: from there the term ends on the change.
            years, month_index = divmod(day.year * 12 + day.month - 1 - months, 12)
            month = month_index + 1
            if day.day <= monthrange(years, month)[1]:
                for wall in hours:
                    moments |= _in_utc(date(years, month, day.day), wall)
    for year in range(FIRST.year, LAST.year + 1):
        month_ends_in = [(1, 31), (2, 28), (3, 31), (8, 31), (12, 31), (1, 1), (8, 29), (8, 30)]
        if isleap(year):
            month_ends_in.append((2, 29))
        for month, number in month_ends_in:
            for wall in edges:
                moments |= _in_utc(date(year, month, number), wall)
        moments |= {datetime(year, 12, 31, hour, 30, tzinfo=UTC) for hour in (21, 22, 23)}
        moments.add(datetime(year, 12, 31, 22, 59, 59, tzinfo=UTC))
        moments.add(datetime(year, 12, 31, 23, tzinfo=UTC))
    return sorted(moment for moment in moments if FIRST <= moment < LAST)


HARD_TIMES: Sequence[datetime] = tuple(_hard_times())


def hard_times() -> st.SearchStrategy[datetime]:
    """Return instants at, or one term before, hard cases of the calendar."""
    return st.sampled_from(HARD_TIMES)


def ordinary_times() -> st.SearchStrategy[datetime]:
    seconds = int((LAST - FIRST).total_seconds()) - 1
    return st.integers(0, seconds).map(lambda s: FIRST + timedelta(seconds=s))


@st.composite
def times_after(draw: st.DrawFn, before: Sequence[datetime]) -> datetime:
    """Return an instant related to an earlier one: the same, soon after, or a term's end."""
    start = draw(st.sampled_from(before))
    way = draw(st.sampled_from(("same", "second", "soon", "due", "erase_by", "past")))
    if way == "same":
        return start
    if way == "second":
        return start + timedelta(seconds=draw(st.sampled_from((-1, 1))))
    if way == "soon":
        return start + timedelta(hours=draw(st.integers(-48, 24 * 60)))
    end = plus_months(start, draw(st.sampled_from([m for m in TERMS if m <= 24])))
    if way == "past":
        return end + timedelta(hours=draw(st.integers(1, 24 * 400)))
    end -= LEAD if way == "due" else timedelta(0)
    return end + timedelta(seconds=draw(st.sampled_from((-1, 0, 0, 1))))


@st.composite
def event_times(draw: st.DrawFn, count: int) -> list[datetime]:
    """Return so many instants, not in order, many of which are related to each other."""
    times: list[datetime] = []
    for _ in range(count):
        choices = [hard_times(), ordinary_times()]
        if times:
            choices += [times_after(times), times_after(times)]
        moment = draw(st.one_of(choices))
        times.append(moment if FIRST <= moment < LAST or not times else times[-1])
    return times


@st.composite
def deciding_fields(draw: st.DrawFn, kind: str, shared_systems: Sequence[str]) -> dict[str, Any]:
    """Return the decision fields for an event of this type."""
    identifier, contact = draw(st.sampled_from(IDS)), draw(st.sampled_from(CONTACTS))
    if kind.startswith("customers."):
        return {"customer_id": identifier}
    if kind.startswith("contact."):
        # Message 1 is a visitor's, message 2 a customer's: customer 1's.
        who = {"visitor_id": "1"} if identifier == "1" else {"customer_id": "1"}
        data: dict[str, Any] = {"message_id": identifier, **who}
        if kind == "contact.message-received":
            channel = draw(st.sampled_from((None, "form", "mail", "phone", "whatsapp")))
            data |= {"channel": channel} if channel else {}
            data |= draw(shares(shared_systems))
        return data
    if kind.startswith("acquisition."):
        source = {"source": "bought list"} if kind == "acquisition.lead-acquired" else {}
        return {"prospect_id": identifier, **source}
    if kind == "purchases.purchase-made":
        return {"purchase_id": f"{identifier}-{contact}", "customer_id": identifier}
    if kind == "orders.order-placed":
        return {
            "order_id": f"{identifier}-{contact}",
            "customer_id": draw(st.sampled_from(IDS)),
            "consumer_id": identifier,
            "amount": "12.50",
            "payment": {"method": "ideal"},
        }
    if kind == "billing.invoice-issued":
        return {"invoice_id": f"{identifier}-{contact}", "customer_id": identifier}
    if kind == "billing.purchase-invoice-received":
        return {"invoice_id": "1", "supplier_id": identifier, "contact_id": contact}
    if kind == "credit.check-performed":
        who = draw(
            st.sampled_from(
                (
                    {"customer_id": identifier},
                    {"prospect_id": identifier},
                    {"supplier_id": identifier, "contact_id": contact},
                )
            )
        )
        return {"check_id": "-".join(who.values()) + min(who), **who}
    if kind == "helpdesk.ticket-opened":
        consumers = draw(st.lists(st.sampled_from(CONTACTS), max_size=3, unique=True))
        data = {
            "ticket_id": identifier,
            "customer_id": OWNER[identifier],
            "consumer_ids": consumers,
        }
        return data | draw(shares(shared_systems))
    if kind == "helpdesk.ticket-resolved":
        return {"ticket_id": identifier, "customer_id": OWNER[identifier]}
    if kind.startswith("administration."):
        return {"request_id": identifier, "customer_id": OWNER[identifier]}
    if kind == "suppliers.supplier-engaged":
        return {"supplier_id": identifier, "contact_id": contact}
    if kind == "suppliers.contact-person-changed":
        successor = draw(st.sampled_from([other for other in CONTACTS if other != contact]))
        return {"supplier_id": identifier, "former_contact_id": contact, "contact_id": successor}
    if kind == "suppliers.supplier-ended":
        return {"supplier_id": identifier}
    if kind.startswith("recruitment."):
        # Applications 1 and 3 are applicant 1's: the clock is the application's.
        data = {"application_id": contact, "applicant_id": OWNER[contact]}
        if kind == "recruitment.application-received":
            data["keep_consent"] = draw(st.booleans())
        return data
    if kind == "website.feedback-given":
        return {"feedback_id": f"{identifier}-{contact}", "visitor_id": identifier}
    who = draw(st.sampled_from(({"customer_id": identifier}, {"visitor_id": identifier})))
    return {"survey_id": "1", **who}


def shares(systems: Sequence[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Return mostly nothing; else `shared_with`, one system as a text or a list of systems."""
    nothing: st.SearchStrategy[dict[str, Any]] = st.just({})
    if not systems:
        return nothing
    system_name = st.sampled_from(list(systems))
    several = st.lists(system_name, max_size=2, unique=True)
    return (
        nothing
        | nothing
        | st.one_of(system_name, several).map(lambda recipients: {"shared_with": recipients})
    )


def time_texts(moment: datetime) -> st.SearchStrategy[str]:
    """Return the instant as publishers write it: mostly in UTC, sometimes with an offset."""
    in_utc = written(moment) or ""
    local = moment.astimezone(AMSTERDAM).isoformat()
    far = moment.astimezone(timezone(timedelta(hours=-5))).isoformat()
    return st.sampled_from((in_utc, in_utc, in_utc, local, far))


@st.composite
def event_sets(
    draw: st.DrawFn,
    max_events: int = 12,
    stories: Sequence[str] = tuple(STORIES),
    shared_systems: Sequence[str] = ("repair", "mail"),
    duplicates: bool = True,
) -> list[Event]:
    """Return events in any order, of one to three stories, some of them twice.

    Ids are unique over all sources and do not follow time. With `research` in `shared_systems` a system
    serves two purposes for the same record: nothing else in the catalogue causes that.
    """
    chosen = draw(st.lists(st.sampled_from(list(stories)), min_size=1, max_size=3, unique=True))
    types = [kind for story in chosen for kind in STORIES[story]]
    kinds = draw(st.lists(st.sampled_from(types), min_size=min(3, max_events), max_size=max_events))
    times = draw(event_times(len(kinds)))
    names = draw(st.permutations([f"e{number}" for number in range(1, len(kinds) + 1)]))
    events: list[Event] = []
    for kind, moment, name in zip(kinds, times, names, strict=True):
        events.append(
            {
                "specversion": "1.0",
                "id": name,
                "source": draw(st.sampled_from(SOURCES)),
                "type": kind,
                "time": draw(time_texts(moment)),
                "data": draw(deciding_fields(kind, shared_systems)),
            }
        )
    if duplicates:
        again = draw(st.lists(st.sampled_from(events), max_size=2))
        events += [dict(event) for event in again]
    return draw(st.permutations(events))


@st.composite
def instants_about(draw: st.DrawFn, events: Sequence[Event]) -> datetime:
    """Return an instant for a check: near a due time, or long after everything."""
    moments = [datetime.fromisoformat(event["time"]).astimezone(UTC) for event in events]
    far = max(moments) + timedelta(days=366 * 30)
    return draw(st.one_of(st.just(far), times_after(moments), ordinary_times()))
