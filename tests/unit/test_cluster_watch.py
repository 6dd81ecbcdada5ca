"""The poller: one call for all, an outage is no death, and the thread ends when nobody is watched."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest

from sparkkernels.cluster import watch
from sparkkernels.cluster.base import ApplicationReport, Backend, Submission
from sparkkernels.cluster.watch import Watch
from sparkkernels.errors import ResourceManagerUnavailable
from sparkkernels.spec import LaunchSpec
from sparkkernels.states import ApplicationState

Reports = queue.Queue[ApplicationReport | None]


class Scripted(Backend):
    """Answers as told; counts."""

    def __init__(self) -> None:
        self.asked: queue.Queue[set[str]] = queue.Queue()
        self.known: dict[str, ApplicationReport] = {}
        self.down = False
        self.raised: Exception = ResourceManagerUnavailable("The YARN ResourceManager can't be reached.")

    def report(self, application_ids: Collection[str]) -> dict[str, ApplicationReport]:
        self.asked.put(set(application_ids))
        if self.down:
            raise self.raised
        return {name: self.known[name] for name in application_ids if name in self.known}

    def add(self, name: str) -> None:
        self.known[name] = ApplicationReport(name, ApplicationState.RUNNING)

    def prepare(self, spec: LaunchSpec) -> None:
        raise NotImplementedError

    def submit(self, spec: LaunchSpec, registration: Path, told: Callable[[str], None]) -> Submission:
        raise NotImplementedError

    def kill(self, application_id: str) -> None:
        raise NotImplementedError

    def logs(self, application_id: str, tail_bytes: int = 65536) -> str:
        raise NotImplementedError


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    monkeypatch.setattr(watch, "SHORTEST_S", 0.005)
    monkeypatch.setattr(watch, "SETTLED_S", 3600.0)
    made = Scripted()
    yield made
    for thread in threading.enumerate():
        if thread.name == "sparkkernels-poller":
            thread.join(10)
            assert not thread.is_alive()


def take(reports: Reports) -> ApplicationReport | None:
    return reports.get(timeout=10)


def test_all_are_asked_for_in_one_call(backend: Scripted) -> None:
    backend.add("a")
    first: Reports = queue.Queue()
    second: Reports = queue.Queue()
    watches = [Watch(backend, "a", first.put), Watch(backend, "b", second.put)]
    report = take(first)
    assert report is not None
    assert report.application_id == "a"
    assert take(second) is None, "the cluster does not know it"
    while backend.asked.get(timeout=10) != {"a", "b"}:
        pass
    for each in watches:
        each.close()


@pytest.mark.parametrize(
    ("raised", "level"),
    [(ResourceManagerUnavailable("It can't be reached."), "WARNING"), (KeyError("not foreseen"), "ERROR")],
)
def test_an_outage_is_logged_once_and_nobody_dies(
    backend: Scripted, caplog: pytest.LogCaptureFixture, raised: Exception, level: str
) -> None:
    backend.add("a")
    backend.down, backend.raised = True, raised
    reports: Reports = queue.Queue()
    with caplog.at_level(logging.INFO, logger="sparkkernels.cluster.watch"):
        each = Watch(backend, "a", reports.put)
        for _ in range(4):
            backend.asked.get(timeout=10)
        assert reports.empty()
        backend.down = False
        assert take(reports) is not None
        each.close()
    assert [record.levelname for record in caplog.records] == [level, "INFO"]
    assert bool(caplog.records[0].exc_info) == (level == "ERROR")


def test_a_settled_one_is_looked_at_when_kicked(backend: Scripted) -> None:
    backend.add("a")
    reports: Reports = queue.Queue()
    each = Watch(backend, "a", reports.put)
    each.settle()
    take(reports)
    while True:
        try:
            backend.asked.get(timeout=0.1)
        except queue.Empty:
            break
    each.kick()
    backend.asked.get(timeout=10)
    each.close()


def test_one_callback_that_fails_does_not_blind_the_others(backend: Scripted) -> None:
    def fail(report: ApplicationReport | None) -> None:
        raise ValueError("boom")

    reports: Reports = queue.Queue()
    watches = [Watch(backend, "a", fail), Watch(backend, "b", reports.put)]
    take(reports)
    take(reports)
    for each in watches:
        each.close()
