"""Two hundred kernels on one server: real sockets, no containers (``tests/crowd``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from sparkkernels.cluster.watch import SHORTEST_S
from sparkkernels.cluster.yarn import QUEUES_S
from tests.crowd.simulation import simulate
from tests.leaks import Leaks

KERNELS, TALK_S = 200, 6.0


@pytest.mark.timeout(300)
def test_two_hundred_kernels_cost_the_cluster_a_call_a_second_and_the_loop_little(
    tmp_path: Path, leaks: Leaks, record_property: Callable[[str, str], None]
) -> None:
    leaks.excused.append("jupyter_cookie_secret")
    seen = simulate(tmp_path, KERNELS, TALK_S)
    record_property("starting", str(seen.starting))
    record_property("talking", str(seen.talking))

    assert len(seen.heard.kernels) == KERNELS, "each answered, through the relay"
    assert len(seen.heard.heartbeats) > KERNELS and seen.heard.outputs > KERNELS
    asked = Counter(path for _, path in seen.start_calls)
    assert 0 < asked.pop("GET apps") <= seen.start_s / SHORTEST_S + 2
    assert 0 < asked.pop("GET scheduler") <= seen.start_s / QUEUES_S + 2
    assert asked.total() < KERNELS / 10, f"by its id only what is late to appear: {asked}"
    assert len(seen.calls) <= seen.talking.seconds + 1, seen.calls
    assert {path for _, path in seen.calls} <= {"GET apps"}, "all in one call"
    # How late it wakes is for `make bench`, where nothing else runs; this is what the loop itself computes in
    # one go, which is more where it was kept from running and finds a heap of work.
    assert seen.talking.own_p99_ms < 50, seen.talking
    assert seen.talking.threads < KERNELS + 20, seen.talking
