"""A batch that fails is halved until the message that causes it is alone; the others are not parked."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from schemas.errors import EncodingFailed
from services.kafka.batch_bisection import BatchBisection
from services.kafka.errors import DeliveryFailed, KafkaUnavailable

TOO_LARGE = 10


class Stage:
    """A handler of batches in which bad messages fail, and which keeps everything that happens."""

    def __init__(self, *guilty: int, error: Exception | None = None) -> None:
        self.guilty = set(guilty)
        self.error = error or DeliveryFailed("t", "too large", TOO_LARGE)
        self.done: list[int] = []
        self.alone: list[int] = []
        self.order: list[int] = []
        self.tries = 0
        self.rests = 0

    def do(self, things: Sequence[int]) -> None:
        self.tries += 1
        if self.guilty & set(things):
            raise self.error
        self.done += things
        self.order += things

    def apart(self, thing: int, cause: Exception) -> None:
        assert cause is self.error
        self.alone.append(thing)
        self.order.append(thing)

    def rest(self) -> None:
        self.rests += 1

    def run(self, count: int) -> None:
        BatchBisection(pause=self.rest).process(list(range(count)), self.do, self.apart)


def test_a_batch_without_errors_is_applied_once_and_together() -> None:
    stage = Stage()
    stage.run(1_000)
    assert (stage.tries, stage.rests, len(stage.done)) == (1, 0, 1_000)


def test_one_bad_message_of_a_thousand_is_found_in_few_tries_in_order() -> None:
    stage = Stage(617)
    stage.run(1_000)
    assert stage.alone == [617]
    assert stage.order == list(range(1_000))
    assert stage.tries < 30


@pytest.mark.parametrize("guilty", [{0}, {9}, {0, 9}, {4, 5}, set(range(10))])
def test_several_bad_messages_are_all_parked_and_no_other(guilty: set[int]) -> None:
    stage = Stage(*guilty)
    stage.run(10)
    assert set(stage.alone) == guilty
    assert stage.order == list(range(10))


def test_a_transient_error_does_not_halve_the_batch() -> None:
    """However often it recurs."""
    stage = Stage(3, error=KafkaUnavailable("send", "no"))
    for _ in range(50):
        with pytest.raises(KafkaUnavailable):
            stage.run(10)
    assert (stage.alone, stage.done, stage.rests) == ([], [], 0)


def test_a_transient_error_while_halving_parks_no_message() -> None:
    """The half that met it was not refused for its content: the rest is read again."""

    class Ending(Stage):
        def do(self, things: Sequence[int]) -> None:
            if len(things) < 10:
                raise KafkaUnavailable("send", "no")
            super().do(things)

    stage = Ending(3)
    with pytest.raises(KafkaUnavailable):
        stage.run(10)
    assert (stage.alone, stage.done) == ([], [])


def test_a_suspect_error_is_retried_before_a_message_is_blamed() -> None:
    """A single message is tried once more."""
    stage = Stage(0, error=ValueError("no"))
    stage.run(1)
    assert (stage.alone, stage.tries, stage.rests) == ([0], 4, 3)


def test_an_error_that_does_not_recur_parks_no_message() -> None:
    class Once(Stage):
        def do(self, things: Sequence[int]) -> None:
            if not self.rests:
                raise EncodingFailed(schema="s", key="k", why="no")
            super().do(things)

    stage = Once()
    stage.run(10)
    assert (stage.alone, stage.done) == ([], list(range(10)))


def test_nothing_more_is_applied_where_parking_fails() -> None:
    class Full(Stage):
        def apart(self, thing: int, cause: Exception) -> None:
            raise KafkaUnavailable("park", "no")

    stage = Full(3)
    with pytest.raises(KafkaUnavailable):
        stage.run(10)
    assert stage.done == [0, 1, 2]
