"""The fuzzing target without a fuzzer: a fixed corpus, and random inputs for a bounded time."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from tests.fuzz.inputs import corpus, likely
from tests.fuzz.target import Fuzzed

#: Seconds of random inputs; their seeds are counted from the same number each time.
SECONDS = 2.0


@pytest.fixture
def fuzzed() -> Iterator[Fuzzed]:
    target = Fuzzed()
    yield target
    target.close()


def test_the_fixed_corpus_breaks_nothing(fuzzed: Fuzzed) -> None:
    for data in corpus():
        fuzzed(data)
        for cut in (1, 3, len(data) // 2):
            fuzzed(data[:-cut])


def test_random_inputs_break_nothing(fuzzed: Fuzzed) -> None:
    deadline = time.monotonic() + SECONDS
    seed = 0
    while time.monotonic() < deadline:
        try:
            fuzzed(likely(random.Random(seed)))
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
        seed += 1
    assert seed > 20
