"""Kernels asked for at the same moment by two people of one server, each a full one on the cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.server import Server
from tests.contract.shared import OWN_LISTS, SHARED, Person
from tests.crowd.burst import burst, first_cell
from tests.crowd.simulation import WITH_LAG, as_installed

from .conftest import FINAL, install, service
from .harness import Cluster

#: `make bench` has thirty.
ALICES, BOBS, AT_A_TIME = 6, 2, 2
#: Small kernels: a driver's least heap, and room for Python.
SMALL = {"spark.driver.memory": "512m", "spark.driver.memoryOverhead": "512m"}


@pytest.mark.timeout(600)
def test_kernels_asked_for_at_once_by_two_people_take_turns_and_all_answer(
    secured: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "notebooks").mkdir()
    kernel = install(tmp_path, None, {"spark_conf": SMALL, "launch_timeout_s": 300.0})
    before = {app["id"] for app in secured.applications()}
    settings = {"identity": "jupyter", **service(secured), "max_submits": AT_A_TIME}
    options = [f"--ServerApp.cookie_secret_file={tmp_path / 'cookie_secret'}", WITH_LAG]
    options += [f"--SparkProvisioner.{name}={value}" for name, value in settings.items()]
    with as_installed({}):
        server = Server(tmp_path, *options, *SHARED, *OWN_LISTS, root=tmp_path / "notebooks")
    try:
        people = [Person(server, name) for name in ["alice"] * ALICES + ["bob"] * BOBS]
        seen = burst(server, people, kernel, first_cell)
    finally:
        server.stop()

    assert len(seen.answers) == ALICES + BOBS and set(seen.answers.values()) == {"2"}
    assert 1 <= seen.most_submits <= AT_A_TIME
    assert sorted(seen.order) == sorted(seen.owners)
    # Who waits is told the place; whoever came to a free one waits for none.
    assert set(seen.order[:AT_A_TIME]).isdisjoint(seen.places)
    assert set(seen.places) == set(seen.order[AT_A_TIME:])
    assert min(seen.places.values()) == 1
    # However many are alice's, every second one is bob's as long as he wants some.
    whose = [seen.owners[kernel_id] for kernel_id in seen.order]
    assert whose.index("bob") <= AT_A_TIME
    assert max(place for place, name in enumerate(whose) if name == "bob") <= 2 * BOBS + AT_A_TIME, whose
    new = [app for app in secured.applications() if app["id"] not in before]
    assert len(new) == len(people) and {app["state"] for app in new} <= set(FINAL)
    # What the loop computes in one go; how late it wakes beside thirty JVMs on two cores is for `make bench`.
    print(seen.lag)
    assert seen.lag.own_p99_ms < 50, seen.lag
