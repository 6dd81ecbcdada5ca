"""The local backend with real processes: started, reported, ended with all they started, nothing left."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from sparkkernels.cluster import local
from sparkkernels.cluster.base import ApplicationReport
from sparkkernels.cluster.bundle import MAIN, pack
from sparkkernels.cluster.local import LocalBackend, cause_of_death
from sparkkernels.cluster.local_files import SWEEP_AGE_S, read_tail, sweep, take_lock
from sparkkernels.cluster.processes import has_exited, members, parse_stat
from sparkkernels.errors import ConfigurationError, SubmitError
from sparkkernels.spec import LaunchSpec
from sparkkernels.states import ApplicationState, FinalStatus

KERNEL = "5b2c0e4e-9a3a-4a55-9b16-3a7f0a1f9f10"

#: A supervisor that does what its registration says, and tells what it has done through a pipe.
SUPERVISOR = b"""
import json, os, signal, subprocess, sys
def main():
    todo = json.load(open(sys.argv[1]))
    print("cwd", os.getcwd(), oct(os.stat(".").st_mode & 0o777), flush=True)
    print("registration", oct(os.stat(sys.argv[1]).st_mode & 0o777), flush=True)
    print("environment", sorted(os.environ), flush=True)
    print("complaint", file=sys.stderr, flush=True)
    if todo.get("stubborn"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if todo.get("children"):
        sleeper = [sys.executable, "-c", "import signal; signal.pause()"]
        pids = [subprocess.Popen(sleeper).pid, subprocess.Popen(sleeper, start_new_session=True).pid]
        open(todo["tell"], "w").write(" ".join(map(str, pids)))
    if todo.get("signal"):
        os.kill(os.getpid(), todo["signal"])
    if "exit" not in todo:
        open(todo["tell"], "a").close() if todo.get("tell") else None
        signal.pause()
    return todo["exit"]
"""


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalBackend:
    toy = pack(
        {"__main__.py": MAIN.encode(), "sparkkernels_supervisor/__init__.py": b""}
        | {"sparkkernels_supervisor/__main__.py": SUPERVISOR}
    )
    monkeypatch.setattr(local, "launchers_bundle", lambda: toy)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    return LocalBackend({"PATH": os.environ["PATH"], "JPY_API_TOKEN": "s3cret"})


def make_spec(**changes: object) -> LaunchSpec:
    values: dict[str, object] = {
        "kernel_id": KERNEL,
        "generation": 1,
        "master": "local[*]",
        "argv": ("kernel",),
        "python": sys.executable,
        "spark_context": "none",
        **changes,
    }
    return LaunchSpec(**values)  # type: ignore[arg-type]


def start(backend: LocalBackend, tmp_path: Path, **todo: object) -> str:
    registration = tmp_path / "anything.json"
    registration.write_text(json.dumps(todo))
    told: list[str] = []
    backend.prepare(make_spec())
    submission = backend.submit(make_spec(), registration, told.append)
    assert told == [submission.wait()] == [submission.application_id]
    submission.cancel()
    return told[0]


def wait_for_end(backend: LocalBackend, application_id: str) -> None:
    pid = backend._applications[application_id]._process.pid
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def wait_for_file(path: Path) -> str:
    while not path.exists() or (path.stat().st_size == 0 and path.name == "pids"):
        os.sched_yield()
    return path.read_text()


def left(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize(("code", "state"), [(0, ApplicationState.FINISHED), (3, ApplicationState.FAILED)])
def test_an_end_is_reported_and_leaves_nothing(
    backend: LocalBackend, tmp_path: Path, code: int, state: ApplicationState
) -> None:
    application_id = start(backend, tmp_path, exit=code)
    assert application_id == f"local-{KERNEL}"
    wait_for_end(backend, application_id)
    report = backend.report([application_id, "local-unknown"])[application_id]
    assert (report.state, report.exit_code) == (state, code)
    assert ("complaint" in report.diagnostics) is bool(code)
    assert left(tmp_path) == []
    assert "complaint" in backend.logs(application_id), "its last output outlives its files"
    backend.kill(application_id)
    assert backend.report([application_id])[application_id] == report


def test_what_the_supervisor_finds(backend: LocalBackend, tmp_path: Path) -> None:
    application_id = start(backend, tmp_path, exit=0)
    wait_for_end(backend, application_id)
    text = backend.logs(application_id)
    assert f"cwd {tmp_path}/tmp/sparkkernels-{os.getuid()}-" in text
    assert "0o700" in text
    assert "registration 0o600" in text
    assert "JPY_API_TOKEN" not in text
    assert "SPARKKERNELS_DIRECTORY" in text
    backend.kill(application_id)


def test_kill_ends_the_whole_tree_and_what_left_its_session(backend: LocalBackend, tmp_path: Path) -> None:
    application_id = start(backend, tmp_path, children=True, tell=str(tmp_path / "pids"))
    pids = [int(pid) for pid in wait_for_file(tmp_path / "pids").split()]
    assert backend.report([application_id])[application_id].state is ApplicationState.RUNNING
    backend.kill(application_id)
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists() and not is_zombie(pid)]
    report = backend.report([application_id])[application_id]
    assert (report.final_status, report.exit_code) == (FinalStatus.KILLED, -signal.SIGTERM)
    assert left(tmp_path) == []
    backend.kill(application_id)


def test_an_end_takes_the_children_along(backend: LocalBackend, tmp_path: Path) -> None:
    application_id = start(backend, tmp_path, children=True, tell=str(tmp_path / "pids"), exit=1)
    pids = [int(pid) for pid in wait_for_file(tmp_path / "pids").split()]
    wait_for_end(backend, application_id)
    backend.report([application_id])
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists() and not is_zombie(pid)]


def test_kill_does_not_wait_for_the_stubborn(
    backend: LocalBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "GRACE_S", 0.05)
    application_id = start(backend, tmp_path, stubborn=True, tell=str(tmp_path / "ready"))
    wait_for_file(tmp_path / "ready")
    backend.kill(application_id)
    assert backend.report([application_id])[application_id].exit_code == -signal.SIGKILL


def test_killed_from_outside_is_told_from_an_exit(backend: LocalBackend, tmp_path: Path) -> None:
    application_id = start(backend, tmp_path, signal=int(signal.SIGKILL))
    wait_for_end(backend, application_id)
    report = backend.report([application_id])[application_id]
    assert (report.final_status, report.exit_code) == (FinalStatus.FAILED, -9)
    assert "signal 9" in backend.cause_of_death(report)


def test_a_second_start_while_the_first_runs_is_refused(backend: LocalBackend, tmp_path: Path) -> None:
    application_id = start(backend, tmp_path)
    with pytest.raises(SubmitError, match="still runs"):
        start(backend, tmp_path)
    backend.kill(application_id)
    start(backend, tmp_path, exit=0)
    backend.kill(application_id)


def test_a_start_that_fails_leaves_nothing(backend: LocalBackend, tmp_path: Path) -> None:
    with pytest.raises(SubmitError, match="could not be started"):
        backend.submit(make_spec(python="/nonexistent/python"), tmp_path, lambda _: None)
    assert left(tmp_path) == []


def test_unknown_applications_are_no_error(backend: LocalBackend) -> None:
    backend.kill("local-unknown")
    assert backend.report(["local-unknown"]) == {}
    assert backend.logs("local-unknown") == ""


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"python": "/nonexistent/python"}, "/nonexistent/python does not exist"),
        ({"spark_conf": {"spark.master": "yarn"}}, r"spark\.master can't be set"),
        ({"spark_context": "eager", "spark_home": "/nonexistent"}, "SPARK_HOME=/nonexistent"),
    ],
)
def test_bad_requests_are_refused_before_any_process(
    backend: LocalBackend, changes: dict[str, object], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        backend.prepare(make_spec(**changes))


@pytest.mark.parametrize(
    ("code", "says"),
    [(-9, "signal 9"), (137, "signal 9"), (-11, "SIGSEGV"), (143, "SIGTERM"), (7, "exit code 7")],
)
def test_causes_of_death(code: int, says: str) -> None:
    report = ApplicationReport("x", ApplicationState.FAILED, FinalStatus.FAILED, exit_code=code)
    assert says in cause_of_death(report)


def test_sweep_takes_only_what_nobody_holds(tmp_path: Path) -> None:
    mine = f"sparkkernels-{os.getuid()}-"
    for name in (mine + "dead", mine + "alive", "sparkkernels-other", "something"):
        (tmp_path / name).mkdir()
    (tmp_path / (mine + "link")).symlink_to(tmp_path / "something")
    lock = take_lock(tmp_path / (mine + "alive"))
    now = (tmp_path / (mine + "dead")).stat().st_ctime
    sweep(tmp_path, now + SWEEP_AGE_S / 2)
    assert (tmp_path / (mine + "dead")).exists(), "it may just be being made"
    sweep(tmp_path, now + 2 * SWEEP_AGE_S)
    os.close(lock)
    assert {path.name for path in tmp_path.iterdir()} == {
        *(mine + "alive", mine + "link", "sparkkernels-other", "something")
    }


def test_the_tail_of_a_file_begins_with_a_whole_line(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("first line\nsecond line\nthird\n")
    assert read_tail(tmp_path / "log", 12) == "third\n"
    assert read_tail(tmp_path / "log", 1000) == "first line\nsecond line\nthird\n"
    assert read_tail(tmp_path / "nothing", 1000) == ""


def test_proc_stat_of_a_command_with_odd_names() -> None:
    parsed = parse_stat(b"4711 (a) S 1 (x) R 17 4711 4711 0 -1 4194560 1 0\n")
    assert (parsed.state, parsed.parent, parsed.session) == ("R", 17, 4711)


def test_members_leave_this_process_out() -> None:
    assert os.getpid() not in members(os.getsid(0), "SPARKKERNELS_NOBODY=1")


def test_a_child_of_nobody_has_exited() -> None:
    assert has_exited(os.getppid())


def is_zombie(pid: int) -> bool:
    return parse_stat(Path(f"/proc/{pid}/stat").read_bytes()).state == "Z"


def test_the_directory_is_private(backend: LocalBackend, tmp_path: Path) -> None:
    application_id = start(backend, tmp_path, tell=str(tmp_path / "ready"))
    wait_for_file(tmp_path / "ready")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in left(tmp_path)]
    backend.kill(application_id)
    assert modes == [0o700]
