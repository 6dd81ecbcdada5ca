"""One asks for all who ask at the same moment; those who waited share a failure, and nobody else does."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sparkkernels.cluster.recent import Recent
from sparkkernels.errors import ResourceManagerUnavailable

HANG_S = 20.0


class Asked:
    """A question with a count, and a clock that the test turns."""

    def __init__(self) -> None:
        self.times = 0
        self.now = 0.0
        self.fails = False

    def __call__(self) -> int:
        self.times += 1
        if self.fails:
            raise ResourceManagerUnavailable("The YARN ResourceManager can't be reached.")
        return self.times


def test_an_answer_will_do_until_it_is_too_old() -> None:
    asked = Asked()
    recent = Recent(asked, lambda: asked.now)
    assert recent.get(5) == 1
    asked.now = 5.0
    assert recent.get(5) == 1
    asked.now = 5.1
    assert recent.get(5) == 2
    asked.now = 5.2
    assert recent.get(0) == 3


def test_a_failure_is_asked_about_anew_and_hides_no_answer_that_will_do() -> None:
    asked = Asked()
    recent = Recent(asked, lambda: asked.now)
    asked.fails = True
    for times in (1, 2):
        asked.now += 1
        with pytest.raises(ResourceManagerUnavailable):
            recent.get(5)
        assert asked.times == times
    asked.fails = False
    asked.now += 1
    assert recent.get(5) == 3


@pytest.mark.parametrize("fails", [False, True])
def test_many_at_the_same_moment_ask_once_and_all_get_it(fails: bool) -> None:
    times, here, go = [0], threading.Semaphore(0), threading.Event()

    def ask() -> str:
        times[0] += 1
        go.wait(HANG_S)
        if fails:
            raise ResourceManagerUnavailable("The YARN ResourceManager can't be reached.")
        return "queues"

    recent = Recent(ask)

    def one() -> str:
        here.release()
        try:
            return recent.get(0.0 if fails else 60.0)
        except ResourceManagerUnavailable as error:
            return error.message

    with ThreadPoolExecutor(20) as pool:
        futures = [pool.submit(one) for _ in range(20)]
        for _ in range(20):
            assert here.acquire(timeout=HANG_S)
        threading.Timer(0.2, go.set).start()
        answers = {future.result(HANG_S) for future in futures}
    assert len(answers) == 1 and times[0] == 1
