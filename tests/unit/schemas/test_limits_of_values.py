"""Costly values: limited before they are decoded; only canonical text is a number."""

from __future__ import annotations

import json
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from time import process_time
from typing import Any

import fastavro
import pytest

from schemas.codec import Codec
from schemas.errors import DecodingFailed, EncodingFailed
from schemas.schema_files import load
from schemas.topics import Topic, business_topic

SALE = "shop.sale"
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}


def schema(amount: Any) -> dict[str, Any]:
    """A sale with an amount."""
    return {
        "type": "record",
        "name": "Sale",
        "namespace": "shop",
        "fields": [{"name": "amount", "type": amount}],
    }


@pytest.fixture
def codec(tmp_path: Path) -> Codec:
    """Return a codec with a schema of sales."""
    (tmp_path / f"{SALE}.1.avsc").write_text(json.dumps(schema(DECIMAL)), "utf-8")
    return Codec(load(tmp_path))


TOPIC: Topic = business_topic(SALE)


@pytest.mark.parametrize("length", [100_000, 900_000])
def test_a_decimal_of_very_many_digits_is_refused_at_once(codec: Codec, length: int) -> None:
    """Decoding it would take the role seconds or minutes."""
    frame = codec.encode(TOPIC, {"amount": "1.00"})[:10]
    body = BytesIO()
    plain = fastavro.parse_schema(schema("bytes"))
    fastavro.schemaless_writer(body, plain, {"amount": b"\x7f" * length})
    began = process_time()
    with pytest.raises(DecodingFailed, match="does not fit"):
        codec.decode(TOPIC, frame + body.getvalue())
    assert process_time() - began < 0.5


@pytest.mark.parametrize(
    "text",
    [
        *("1e400000", "1e30000000", "1E2", "1_2", " 12 ", "12 ", "+12", "012", "12.", ".5", ""),
        *("\N{ARABIC-INDIC DIGIT ONE}\N{ARABIC-INDIC DIGIT TWO}", "Infinity", "NaN", "-"),
        "9" * 129,
    ],
)
def test_only_canonical_text_is_accepted_as_a_decimal(codec: Codec, text: str) -> None:
    with pytest.raises(EncodingFailed, match="amount: is not a decimal number"):
        codec.encode(TOPIC, {"amount": text})


@pytest.mark.parametrize("value", [True, 12.5, float("inf"), 10**400, Decimal("1E+400000")])
def test_a_json_number_that_may_have_lost_digits_is_refused(codec: Codec, value: Any) -> None:
    with pytest.raises(EncodingFailed, match="amount: is not a decimal number"):
        codec.encode(TOPIC, {"amount": value})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("12.50", "12.50"),
        ("-0.07", "-0.07"),
        ("0", "0.00"),
        (12, "12.00"),
        (Decimal("1E+3"), "1000.00"),
    ],
)
def test_a_decimal_is_decoded_unchanged(codec: Codec, value: Any, expected: str) -> None:
    """An integer in JSON is a decimal too."""
    decoded = codec.decode(TOPIC, codec.encode(TOPIC, {"amount": value}))
    assert str(decoded["amount"]) == expected
