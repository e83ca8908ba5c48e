"""`termijn policy new`: write the first policy of a company, from questions or from options."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import click

from schemas.errors import TermijnError
from schemas.schema_files import load as load_schemas
from schemas.topics import event_type_from_topic
from services.app.cli.check_failed import CheckFailed
from services.app.cli.options import show
from services.app.cli.output import say
from services.app.cli.policy_answers import (
    read_month_day,
    read_owners,
    read_period,
    read_text,
    read_year_ends,
    read_zone,
)
from services.app.cli.session import open_resources
from services.policy.draft import (
    EFFECTS,
    Draft,
    DraftEvent,
    Effect,
    key_fields,
    parse_effects,
    parse_event,
    write_policy,
)
from services.policy.editor_schema import policy_schema
from services.policy.lint import lint
from services.policy.loader import load_text

T = TypeVar("T")
Pairs = tuple[tuple[str, str], ...]
_SCHEMA_FILE = "policy.schema.json"
_EXAMPLES = (
    "shop.account-opened: customer_id -> relationship, starts",
    "shop.order-placed: customer_id, order_id -> event, books",
    "shop.account-closed: customer_id -> ends",
)
"""The event types if none is given: one for a rule of each kind."""


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--controller", help="The name of the company that is responsible for the data.")
@click.option("--contact", help="Where a data subject can reach it, such as a mail address.")
@click.option("--zone", help="Its time zone, such as Europe/Amsterdam, the default.")
@click.option(
    "--year-end", help="The last day of its financial year as month-day; by default 12-31."
)
@click.option(
    "--year",
    "years",
    multiple=True,
    metavar="NAME=MM-DD",
    help="Another year that terms refer to (`end_of`), with its last day; repeat it.",
)
@click.option("--statement", help="Its privacy statement, with the version.")
@click.option("--subject", help="The kind of data subject; by default customer.")
@click.option(
    "--system", "systems", multiple=True, metavar="NAME=OWNER", help="A system; repeat it."
)
@click.option("--books", help="The system with the books; by default the last one.")
@click.option("--event-term", help="How long data is kept after an event; by default P1Y.")
@click.option("--relationship-term", help="How long after the relationship; by default P2Y.")
@click.option("--books-term", help="How long after the financial year; by default P7Y.")
@click.option(
    "--event",
    "events",
    multiple=True,
    metavar="DESCRIPTION",
    help="An event type: `TYPE: FIELD, FIELD -> EFFECT, EFFECT`; the first field names the data subject."
    f" Effects: {', '.join(EFFECTS)}. Repeat it.",
)
@click.option(
    "--schemas",
    "directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A directory with .avsc files: each becomes an event type, with its fields that end with _id.",
)
@click.option(
    "--registry", "from_registry", is_flag=True, help="The same, from the schema registry."
)
def new(
    file: Path,
    systems: Sequence[str],
    years: Sequence[str],
    events: Sequence[str],
    directory: Path | None,
    from_registry: bool,
    **answers: str | None,
) -> None:
    """Write a policy to FILE, with what the options give; on a terminal the rest is asked.

    It is checked at once, and what is to be confirmed is listed. The JSON Schema for editors is written
    beside it.
    """
    if file.exists():
        raise CheckFailed(f"{file}: exists already; choose another name")
    asks = sys.stdin.isatty()
    described = _all_events(events, directory, from_registry, asks)
    draft = _draft(file, answers, systems, years, described, asks)
    text = write_policy(draft)
    policy = load_text(text, str(file))
    try:
        file.write_text(text, "utf-8")
        schema = json.dumps(policy_schema(), indent=2, ensure_ascii=False)
        file.with_name(_SCHEMA_FILE).write_text(schema + "\n", "utf-8")
    except OSError as cause:
        raise CheckFailed(f"{file}: cannot be written: {cause.strerror}") from cause
    rows = ({"key": remark.key, "what": remark.message} for remark in lint(policy))
    show(rows, as_json=False, title=f"{file}: valid, with warnings", columns=("key", "what"))


def _draft(
    file: Path,
    answers: dict[str, str | None],
    systems: Sequence[str],
    years: Sequence[str],
    events: tuple[DraftEvent, ...],
    asks: bool,
) -> Draft:
    def answer(key: str, question: str, default: str | None, check: Callable[[str], T]) -> T:
        given = answers[key]
        option = f"--{key.replace('_', '-')}"
        if given is None and asks:
            value: T = click.prompt(question, default=default, value_proc=_checked(check, ""))
            return value
        if given is None and default is None:
            raise CheckFailed(f"{option} is missing: {question}")
        return _checked(check, f"{option}: ")(given if given is not None else str(default))

    def term(effect: Effect, question: str, default: str) -> str:
        return answer(f"{effect}_term", question, default, read_period)

    controller = answer("controller", "Name of the company", None, read_text)
    contact = answer("contact", "Where a data subject can reach it (mail address)", None, read_text)
    zone = answer("zone", "Time zone", "Europe/Amsterdam", read_zone)
    year_end = answer("year_end", "Last day of the financial year", "12-31", read_month_day)
    named_years = _pairs(
        "--year",
        years,
        "Other years, as NAME=MM-DD, separated by commas (such as school=07-31), or nothing",
        "",
        read_year_ends,
        asks,
    )
    statement = answer(
        "statement", "Privacy statement and its version", "Privacy statement 1", read_text
    )
    subject = answer("subject", "Kind of data subject", "customer", read_text)
    pairs = _pairs(
        "--system",
        systems,
        "Systems that hold the data, as NAME=OWNER, separated by commas",
        "shop=web team, books=finance",
        read_owners,
        asks,
    )
    return Draft(
        name=file.name.partition(".")[0],
        controller=controller,
        contact=contact,
        zone=zone,
        year_end=year_end,
        years=named_years,
        statement=statement,
        subject=subject,
        systems=pairs,
        books=answer("books", "System with the books", pairs[-1][0], read_text),
        terms={
            "event": term("event", "How long data is kept after an event", "P1Y"),
            "relationship": term("relationship", "How long after a relationship has ended", "P2Y"),
            "books": term("books", "How long books are kept after their financial year", "P7Y"),
        },
        events=events or _asked_events(asks),
    )


def _pairs(
    option: str,
    given: Sequence[str],
    question: str,
    default: str,
    read: Callable[[str], Pairs],
    asks: bool,
) -> Pairs:
    """Return what an option gives, else what is answered on a terminal, else the default."""
    if given or not asks:
        return _checked(read, f"{option}: ")(", ".join(given) or default)
    answered: Pairs = click.prompt(
        question, default=default, show_default=bool(default), value_proc=_checked(read, "")
    )
    return answered


def _all_events(
    described: Sequence[str], directory: Path | None, from_registry: bool, asks: bool
) -> tuple[DraftEvent, ...]:
    events = {event.type: event for event in map(_checked(parse_event, "--event: "), described)}
    for name, definition in _definitions(directory, from_registry):
        fields = key_fields(definition)
        if name in events:
            continue
        if not fields:
            say(f"{name}: has no field that ends with _id; describe it with --event", err=True)
            continue
        effects: tuple[Effect, ...] = ("event",)
        if asks:
            effects = click.prompt(
                f"What {name} ({', '.join(fields)}) does: {', '.join(EFFECTS)}",
                default="event",
                value_proc=_checked(parse_effects, ""),
            )
        events[name] = DraftEvent(type=name, fields=fields, effects=effects)
    return tuple(events.values())


def _definitions(
    directory: Path | None, from_registry: bool
) -> Iterator[tuple[str, dict[str, object]]]:
    if directory is not None:
        shipped, own = load_schemas(), load_schemas(directory)
        for name in own.names:
            if name not in shipped.names:
                yield name, own.newest(name).definition
    if from_registry:
        with open_resources() as opened:
            registry = opened.registry()
            if registry is None:
                raise CheckFailed("no schema registry is configured; set SCHEMA_REGISTRY_URL")
            known = load_schemas().names
            for topic in registry.list_topics():
                name = event_type_from_topic(topic)
                if name != topic and name not in known and not topic.startswith("retention."):
                    yield name, json.loads(registry.list_versions(topic)[-1].text)


def _asked_events(asks: bool) -> tuple[DraftEvent, ...]:
    if not asks:
        return tuple(map(parse_event, _EXAMPLES))
    say(
        "Event types as TYPE: FIELD, FIELD -> EFFECT, EFFECT; the first field names the data subject."
    )
    say(f"Effects: {', '.join(EFFECTS)}. Such as {_EXAMPLES[1]}")
    events: list[DraftEvent] = []
    while True:
        text = click.prompt("Event type, or nothing to end", default="", show_default=False)
        if not text.strip():
            return tuple(events) or tuple(map(parse_event, _EXAMPLES))
        try:
            events.append(parse_event(text))
        except ValueError as cause:
            say(cause, err=True)


def _checked(check: Callable[[str], T], place: str) -> Callable[[str], T]:
    """Return a check whose problem is asked again on a terminal, and named with its option elsewhere."""

    def read(text: str) -> T:
        try:
            return check(text.strip())
        except (ValueError, TermijnError) as cause:
            raise click.UsageError(f"{place}{cause}") from cause

    return read
