"""`jupyter sparkkernels adopt` says what was left and refuses what nobody can take."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from sparkkernels.cli.main import FAILED, OK, USAGE, main
from sparkkernels.handover import save
from sparkkernels.record import LaunchRecord
from tests.handovers import handover


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime directory of the test's own."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))


def leave(name: str = "no-such-kernelspec") -> str:
    """Leave a kernel as a server does; its id."""
    kernel_id = str(uuid.uuid4())
    record = LaunchRecord(kernel_id)
    save(record, handover(kernel_id=kernel_id, kernel_name=name))
    record.leave()
    return kernel_id


@pytest.mark.usefixtures("runtime")
def test_nothing_left_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["adopt"]) == FAILED
    assert "No kernel of this account was left on this host." in capsys.readouterr().err


@pytest.mark.usefixtures("runtime")
def test_what_was_left_is_listed_and_stays_free(capsys: pytest.CaptureFixture[str]) -> None:
    kernel_ids = sorted((leave(), leave()))
    for _ in range(2):
        assert main(["adopt"]) == OK
        lines = capsys.readouterr().out.splitlines()
        assert lines == [f"{kernel_id} application_1_1 no-such-kernelspec" for kernel_id in kernel_ids]


@pytest.mark.usefixtures("runtime")
def test_a_kernel_that_can_not_be_taken_is_left_again(capsys: pytest.CaptureFixture[str]) -> None:
    kernel_id = leave()
    assert main(["adopt", kernel_id[:8]]) == USAGE
    assert "Its kernelspec no-such-kernelspec is gone. Install it again" in capsys.readouterr().err
    assert main(["adopt", "no-such-kernel"]) == FAILED
    assert "names none of the kernels that were left here" in capsys.readouterr().err
    assert LaunchRecord(kernel_id).lock()
