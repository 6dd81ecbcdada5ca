"""When a kernel counts as idle."""

from __future__ import annotations

import os
import time

import pytest

from sparkkernels_supervisor.idle import LOOK_EVERY_S, Idle, used_s


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def idle(clock: Clock) -> Idle:
    one = Idle(clock)
    one.timeout_s = 60
    return one


def test_it_is_over_after_the_timeout_and_never_without_one(idle: Idle, clock: Clock) -> None:
    clock.now += 60
    assert not idle.over
    clock.now += 1
    assert idle.over
    idle.touch()
    assert not idle.over
    idle.timeout_s = 0
    clock.now += 1e9
    assert not idle.over


def test_looks_are_some_to_a_timeout_and_not_rarer_than_necessary(idle: Idle) -> None:
    assert idle.pause_s == 12
    idle.timeout_s = 86400
    assert idle.pause_s == LOOK_EVERY_S


@pytest.mark.parametrize(
    ("busy", "work", "idles"),
    [
        (False, None, True),
        (False, (0, 3), True),
        (True, (0, 3), False),
        (False, (1, 3), False),
        (False, (0, 4), False),  # a job ran between two looks
    ],
)
def test_a_cell_a_job_and_a_stream_are_work(
    idle: Idle, clock: Clock, busy: bool, work: tuple[int, int] | None, idles: bool
) -> None:
    idle.looked(False, (0, 3), 0)
    clock.now += 61
    idle.looked(busy, work, 1e9)
    assert idle.over == idles


def test_a_context_that_can_t_be_asked_for_a_moment_is_no_work(idle: Idle, clock: Clock) -> None:
    for work in ((0, 3), None, (0, 3)):
        clock.now += 21
        idle.looked(False, work, 0)
    assert idle.over


@pytest.mark.parametrize(("used", "idles"), [(0.1, True), (10.0, False)])
def test_a_kernel_that_says_nothing_of_its_cells_is_judged_by_its_processor_time(
    idle: Idle, clock: Clock, used: float, idles: bool
) -> None:
    idle.looked(None, None, 5.0)
    clock.now += 61
    idle.looked(None, None, 5.0 + used)
    assert idle.over == idles


def test_processor_time_is_that_of_the_process() -> None:
    before, process = used_s(os.getpid()), time.process_time()
    while time.process_time() - process < 0.1:
        pass
    assert used_s(os.getpid()) - before >= 0.08
    assert used_s(None) == 0.0
