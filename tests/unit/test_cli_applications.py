"""`jupyter sparkkernels list` and `stop`, with a cluster that is a list."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any

import pytest

from sparkkernels.cli import applications
from sparkkernels.cli.list_kernels import age
from sparkkernels.cli.main import main
from sparkkernels.errors import NotAllowed
from sparkkernels.states import ApplicationState

KERNELS = [str(uuid.UUID(int=number << 96)) for number in (0xAAAA0001, 0xAAAA0002, 0xBBBB0003)]


def application(number: int, user: str, tags: str) -> dict[str, Any]:
    return {
        "id": f"application_1700000000000_{number:04}",
        "applicationTags": tags,
        "state": "RUNNING",
        "user": user,
        "queue": "root.default",
        "name": f"Kernel {number}",
        "startedTime": 1_700_000_000_000 + number,
    }


class Backend:
    """A cluster with two kernels of alice, one of bob, and an application that is none of ours."""

    def __init__(self, *_: object, **__: object) -> None:
        self.site = self.client = self
        self.user = "alice"
        self.killed: list[str] = []
        self.deleted: list[str] = []
        self.found = [
            application(number, user, f"x,sparkkernels,{kernel}")
            for number, user, kernel in zip((2, 1, 3), ("alice", "alice", "bob"), KERNELS, strict=True)
        ]
        self.found += [application(4, "alice", "sparkkernels,forged"), application(5, "alice", KERNELS[0])]

    def ensure_credentials(self) -> None:
        pass

    def applications(self, tag: str, states: Collection[ApplicationState]) -> list[dict[str, Any]]:
        assert tag == "sparkkernels" and ApplicationState.FINISHED not in states
        return self.found

    def kill(self, application_id: str) -> None:
        if "_0003" in application_id:
            raise NotAllowed("No.", diagnostics="alice may not")
        self.killed.append(application_id)

    def file_system(self) -> Backend:
        return self

    def home(self) -> str:
        return "/user/alice"

    def delete(self, path: str) -> None:
        self.deleted.append(path)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Backend:
    backend = Backend()
    monkeypatch.setattr(applications, "YarnBackend", lambda *_, **__: backend)
    return backend


def test_ones_own_are_listed_the_oldest_first(backend: Backend, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split() == ["APPLICATION", "STATE", "AGE", "USER", "QUEUE", "KERNEL", "NAME"]
    assert [row.split()[0][-4:] for row in rows] == ["0001", "0002"]
    assert KERNELS[0] in rows[1]


def test_everybodys_are_listed_when_asked_for(backend: Backend, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--all"]) == 0
    assert "bob" in capsys.readouterr().out
    backend.found = []
    assert main(["list"]) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith("APPLICATION") and "The user alice has no kernels on YARN." in captured.err


def test_kernels_are_ended_by_either_id(backend: Backend, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stop", "application_1700000000000_0001", KERNELS[0][:8], KERNELS[0]]) == 0
    assert backend.killed == ["application_1700000000000_0001", "application_1700000000000_0002"]
    assert backend.deleted == [f"/user/alice/.sparkStaging/{name}" for name in backend.killed]
    assert capsys.readouterr().out.count("has ended.") == 2


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("application_1_1", "YARN has no kernel 'application_1_1' that runs."),
        ("application_1700000000000_0004", "has no kernel"),
        ("aaaa", "has no kernel"),
        ("aaaa0001-0000-0000-0000-00000000000", ""),
    ],
)
def test_nothing_is_ended_when_one_id_is_wrong(
    backend: Backend, capsys: pytest.CaptureFixture[str], wanted: str, words: str
) -> None:
    if not words:
        backend.found.append(application(9, "alice", f"sparkkernels,{KERNELS[0]}"))
        words = "names 2 kernels"
    assert main(["stop", KERNELS[1], wanted]) == 1
    assert words in capsys.readouterr().err and backend.killed == []


def test_somebody_elses_is_told_whose(backend: Backend, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stop", KERNELS[2]]) == 1
    error = capsys.readouterr().err
    assert "does not let alice end application_1700000000000_0003, which is bob's" in error
    assert "alice may not" in error


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0 s"), (59, "59 s"), (60, "1 min"), (7200, "2 h"), (864000, "10 d")]
)
def test_ages(seconds: float, text: str) -> None:
    assert age(seconds) == text
