"""Who may publish an event type: the CloudEvents sources that its policy names."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.resources import files
from types import MappingProxyType

import pytest
import yaml

from schemas.cloudevents import CloudEvent, to_headers
from schemas.codec import Codec
from schemas.schema_files import load
from schemas.topics import TAGGED, business_topic
from services.events.ingestion import TaggedEventReader
from services.events.tagger import EventTagger
from services.kafka.record_metadata import RecordMetadata
from services.policy.lint import lint
from services.policy.loader import DEFAULT_POLICY, InvalidPolicy, hash_policy, load_text
from services.policy.model import Policy
from services.policy.plans import compile_policy
from services.policy.tagging_error import TaggingFailed

FEEDBACK, HOLD = "website.feedback-given", "privacy.hold-placed"
ANSWERED = "privacy.request-answered"
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
CODEC = Codec(load())
TEXT = files("services.policy").joinpath(DEFAULT_POLICY).read_text("utf-8")


def policy(sources: Mapping[str, Sequence[str]] = MappingProxyType({})) -> Policy:
    """The shipped policy with these sources, by event type."""
    document = yaml.safe_load(TEXT)
    for name, source in sources.items():
        document["events"].setdefault(name, {})["sources"] = list(source)
    return load_text(json.dumps(document), "policy")


def tagger(by: Policy) -> Callable[[str], bytes]:
    """Return a tagger of feedback from a source."""
    topic = business_topic(FEEDBACK)
    tags = EventTagger(policy=by, codec=CODEC, topics={topic.name: topic})
    body = CODEC.encode(topic, {"feedback_id": "f1", "visitor_id": "V1"})

    def passed(source: str) -> bytes:
        event = CloudEvent(id="e1", source=source, type=FEEDBACK, time=NOW, data={})
        return tags.tag_message(
            RecordMetadata(topic.name, 0, 0), to_headers(event), body, NOW
        ).value

    return passed


@pytest.mark.parametrize(
    ("named", "source", "admitted"),
    [
        (["/website"], "/website", True),
        (["/website"], "/website/", False),
        (["/website"], "/web", False),
        (["/shop", "/website*"], "/website/nl", True),
        (["/website/*"], "/website", False),
        (["/website/*"], "/Website/nl", False),
        ([], "/anybody", True),
    ],
)
def test_only_the_named_sources_may_publish(named: list[str], source: str, admitted: bool) -> None:
    """A name is a full source, or a prefix with `*`; where none is named, all may publish."""
    passed = tagger(policy({FEEDBACK: named}))
    for first in ("/website", "/website/nl"):
        with suppress(TaggingFailed):
            passed(first)
    for _ in range(2):
        if admitted:
            assert passed(source)
            continue
        with pytest.raises(TaggingFailed) as refused:
            passed(source)
        assert (refused.value.reason, refused.value.key) == ("unknown-source", "source")
        assert "is not allowed by the policy to publish website.feedback-given" in str(
            refused.value
        )


def test_the_recorder_refuses_events_tagged_before_sources_were_named() -> None:
    """They are between the two roles when the policy names its sources."""
    value = tagger(policy())("/attacker")
    arrivals = TaggedEventReader(
        compiled=compile_policy(policy({FEEDBACK: ["/website"]})), codec=CODEC
    )
    with pytest.raises(TaggingFailed) as refused:
        arrivals.read_event(value)
    assert refused.value.reason == "unknown-source"
    assert (
        TaggedEventReader(compiled=compile_policy(policy()), codec=CODEC).read_event(value).row.id
        == "e1"
    )
    assert CODEC.decode(TAGGED, value)["source"] == "/attacker"


@pytest.mark.parametrize("wrong", ["", "*", "a*b", "/shop**"])
def test_an_invalid_pattern_of_sources_is_a_problem(wrong: str) -> None:
    """A star may only be at the end, after something; without sources every publisher is allowed."""
    with pytest.raises(InvalidPolicy) as refused:
        policy({FEEDBACK: ["/website", wrong]})
    (problem,) = refused.value.problems
    assert problem.key == f"events.{FEEDBACK}.sources.1"


def test_termijn_may_publish_its_own_answers() -> None:
    """Otherwise Termijn would decide a request and park its own answer."""
    with pytest.raises(InvalidPolicy) as refused:
        policy({ANSWERED: ["/desk"], "privacy.request-refused": ["/termijn/*"]})
    assert {problem.key for problem in refused.value.problems} == {f"events.{ANSWERED}.sources"}


def test_lint_lists_event_types_that_need_named_sources() -> None:
    """Those that forbid or cause an erasure, until their sources are named."""
    names = {warning.key for warning in lint(policy()) if "`sources`" in warning.message}
    assert {f"events.{HOLD}", "events.customers.customer-terminated"} <= names
    assert f"events.{FEEDBACK}" not in names
    assert f"events.{HOLD}" not in {warning.key for warning in lint(policy({HOLD: ["/legal"]}))}


def test_a_policy_without_sources_keeps_its_digest() -> None:
    """An older ledger continues under it: the digest is written down."""
    assert hash_policy(load_text(TEXT, DEFAULT_POLICY)) == (
        "d0e3d71445060658f661eaeaa91a96629e96619db0e8db00ab7e4313f0681bc3"
    )
    assert hash_policy(policy({FEEDBACK: ["/website"]})) != hash_policy(
        policy({FEEDBACK: ["/shop"]})
    )
