"""`jupyter sparkkernels logs`: live logs from launch records, others from the backend, and unknown ids."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Collection
from pathlib import Path

import pytest

from sparkkernels.cli import logs
from sparkkernels.cli.main import main
from sparkkernels.cluster.base import ApplicationReport
from sparkkernels.errors import ResourceManagerUnavailable
from sparkkernels.record import LaunchRecord
from sparkkernels.states import ApplicationState

APPLICATION = "application_1700000000000_0042"


@pytest.fixture(autouse=True)
def runtime_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "sparkkernels"


class FakeYarn:
    """What the command asks of a backend."""

    def __init__(self, text: str = "", known: bool = True) -> None:
        self.text = text
        self.known = known

    def report(self, application_ids: Collection[str]) -> dict[str, ApplicationReport]:
        if not self.known:
            return {}
        return {name: ApplicationReport(name, ApplicationState.FINISHED) for name in application_ids}

    def logs(self, application_id: str, tail_bytes: int) -> str:
        assert application_id == APPLICATION
        return self.text


def use(monkeypatch: pytest.MonkeyPatch, backend: object) -> None:
    monkeypatch.setattr(logs, "backend_of", lambda _: backend)


def live_kernel(content: str, application_id: str = APPLICATION) -> str:
    kernel_id = str(uuid.uuid4())
    record = LaunchRecord(kernel_id)
    record.write({"kernel_id": kernel_id, "application_id": application_id})
    (record.directory / "container.log").write_text(content)
    return kernel_id


@pytest.mark.parametrize("application_id", [APPLICATION, "local-0a"])
def test_a_live_kernel_is_found_by_either_id(capsys: pytest.CaptureFixture[str], application_id: str) -> None:
    live_kernel("another kernel's\n", "application_1_1")
    kernel_id = live_kernel("one\ntwo\nthree\n", application_id)
    assert main(["logs", kernel_id]) == 0
    assert capsys.readouterr().out == "one\ntwo\nthree\n"
    assert main(["logs", "-n", "2", application_id]) == 0
    assert capsys.readouterr().out == "two\nthree\n"


def test_a_log_that_was_just_rolled_is_continued_backwards(capsys: pytest.CaptureFixture[str]) -> None:
    kernel_id = live_kernel("new\n")
    (LaunchRecord(kernel_id).directory / "container.log.1").write_text("old\n")
    assert main(["logs", kernel_id]) == 0
    assert capsys.readouterr().out == "old\nnew\n"


def test_only_the_end_of_a_large_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 5_000_000 + b"\nbroken \xff\nlast\n")
    assert logs.tail(path, 100) == "broken \N{REPLACEMENT CHARACTER}\nlast\n"
    assert logs.tail(tmp_path / "none", 100) == ""


def test_an_ended_application_is_asked_of_yarn(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, FakeYarn("a\nb\n"))
    assert main(["logs", APPLICATION]) == 0
    assert capsys.readouterr().out == "a\nb\n"


def test_a_live_kernel_without_output_is_asked_of_yarn(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, FakeYarn("from yarn\n"))
    assert main(["logs", live_kernel("")]) == 0
    assert capsys.readouterr().out == "from yarn\n"


def failing() -> FakeYarn:
    class Unreachable(FakeYarn):
        def report(self, application_ids: Collection[str]) -> dict[str, ApplicationReport]:
            raise ResourceManagerUnavailable("The ResourceManager rm1:8088 can't be reached.", hint="Wait.")

    return Unreachable()


UNKNOWN_KERNEL = "0e3b6d3e-7a0c-4a5e-9a54-0c9a3a5b7f10"
BAD = [
    (["no-id"], 1, "neither a kernel nor an application"),
    (["../../etc/passwd"], 1, "neither a kernel nor an application"),
    ([UNKNOWN_KERNEL], 1, UNKNOWN_KERNEL),
    ([UNKNOWN_KERNEL.upper()], 1, "neither"),
    ([], 2, "KERNEL_OR_APPLICATION_ID"),
    (["-n", "0", UNKNOWN_KERNEL], 2, "--lines"),
    (["-n", "-3", UNKNOWN_KERNEL], 2, "--lines"),
    (["-n", "many", UNKNOWN_KERNEL], 2, "--lines"),
    ([APPLICATION], 1, "There is no log"),
]


@pytest.mark.parametrize(("arguments", "code", "named"), BAD, ids=lambda value: str(value))
def test_bad_input_gets_one_line(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    named: str,
) -> None:
    use(monkeypatch, FakeYarn())
    assert main(["logs", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert named in err


@pytest.mark.parametrize(
    ("backend", "named"), [(FakeYarn(known=False), "does not know"), (failing(), "rm1:8088")]
)
def test_what_yarn_cant_say(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, backend: FakeYarn, named: str
) -> None:
    use(monkeypatch, backend)
    assert main(["logs", APPLICATION]) == 1
    assert named in capsys.readouterr().err


def test_a_damaged_record_is_no_record(runtime_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for content in ("", "[]", "{"):
        directory = runtime_dir / str(uuid.uuid4())
        directory.mkdir(parents=True)
        (directory / "record.json").write_text(content)
        assert main(["logs", directory.name]) == 1
    (runtime_dir / "stray").touch()
    assert main(["logs", "local-1"]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_a_log_that_cant_be_read_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    kernel_id = live_kernel("")
    log = LaunchRecord(kernel_id).directory / "container.log"
    log.unlink()
    log.mkdir()
    assert main(["logs", kernel_id]) == 1
    assert "Is a directory" in capsys.readouterr().err


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    kernel_id = live_kernel("line\n" * 200_000)
    script = f"{sys.executable} -m sparkkernels.cli logs -n 100000 {kernel_id} | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "line\n", "")
