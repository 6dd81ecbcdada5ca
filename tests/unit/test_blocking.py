"""Blocking work off the loop: as many at a time as there are, threads used again, and none left for long."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from sparkkernels import blocking
from sparkkernels.blocking import BLOCKING, SPARE, Workers, begin

HANG_S = 20.0


def names() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name in (BLOCKING, SPARE)]


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Workers:
    """Threads of their own, which go at once when they have nothing to do."""
    made = Workers()
    monkeypatch.setattr(blocking, "_workers", made)
    monkeypatch.setattr(blocking, "SPARE_S", 0.05)
    return made


def test_all_work_goes_on_at_the_same_time_and_the_threads_go(workers: Workers) -> None:
    before = len(names())
    together = threading.Barrier(51)
    futures = [begin(together.wait, HANG_S) for _ in range(50)]
    together.wait(HANG_S)
    assert sorted(future.result(HANG_S) for future in futures) != []
    deadline = time.monotonic() + HANG_S
    while len(names()) > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(names()) <= before


def test_one_after_the_other_uses_the_same_threads(workers: Workers) -> None:
    seen = {begin(threading.get_native_id).result(HANG_S) for _ in range(200)}
    assert len(seen) < 100


def test_what_it_raises_is_raised_and_the_thread_serves_on(workers: Workers) -> None:
    def fail() -> None:
        raise ValueError("boom")

    for _ in range(3):
        with pytest.raises(ValueError, match="boom"):
            begin(fail).result(HANG_S)
    assert begin(lambda: 7).result(HANG_S) == 7


def test_work_that_was_cancelled_in_time_is_not_done(workers: Workers) -> None:
    done, go = list[str](), threading.Event()
    held = [begin(go.wait, HANG_S) for _ in range(3)]
    late = begin(done.append, "late")
    cancelled = late.cancel()
    go.set()
    for future in held:
        future.result(HANG_S)
    assert (done == []) is cancelled or late.result(HANG_S) is None


def test_at_the_interpreters_exit_it_is_done_right_there_and_a_fork_has_threads_of_its_own() -> None:
    code = """
import atexit, os
from sparkkernels.blocking import begin
atexit.register(lambda: print("at exit", begin(lambda: 3).result(20), flush=True))
print("before", begin(lambda: 1).result(20), flush=True)
child = os.fork()
if child == 0:
    print("in the child", begin(lambda: 2).result(20), flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split("\n")[:3] == ["before 1", "in the child 2", "at exit 3"], done.stderr
