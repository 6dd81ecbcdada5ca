"""A launch record is its owner's alone, whole at every moment, and leaves nothing."""

from __future__ import annotations

import os
import stat
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from sparkkernels import log_writer
from sparkkernels.record import LaunchRecord, read_record

KERNEL_ID = str(uuid.uuid4())


@pytest.fixture(params=[0o022, 0o000, 0o077], ids=["usual umask", "open umask", "strict umask"])
def runtime(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    before = os.umask(request.param)
    yield tmp_path / "runtime"
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def log_of(kept: LaunchRecord, size: int) -> bytes:
    """The log once it has this size; the writer is a thread."""
    path = kept.directory / "container.log"
    deadline = time.monotonic() + 10
    while not path.exists() or path.stat().st_size < size:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return path.read_bytes()


def test_everything_is_the_owners_alone_whatever_the_umask(runtime: Path) -> None:
    kept = LaunchRecord(KERNEL_ID)
    registration = kept.write_registration({"token": "secret"})
    kept.write({"kernel_id": KERNEL_ID, "application_id": "application_1_1"})
    kept.log(b"hello")
    assert log_of(kept, 5) == b"hello"
    assert mode(kept.directory) == mode(kept.directory.parent) == 0o700
    assert {path.name: mode(path) for path in kept.directory.iterdir()} == {
        "registration.json": 0o600,
        "record.json": 0o600,
        "container.log": 0o600,
        "lock": 0o600,
    }
    kept.remove_registration()
    kept.remove_registration()
    assert not registration.exists()
    kept.remove()
    kept.remove()
    assert list((runtime / "sparkkernels").iterdir()) == []
    assert not [thread for thread in threading.enumerate() if thread.name == "sparkkernels-log"]


def test_a_record_is_read_back_and_a_missing_or_broken_one_is_none(runtime: Path) -> None:
    assert read_record(KERNEL_ID) is None
    kept = LaunchRecord(KERNEL_ID)
    kept.write({"application_id": "application_1_1"})
    assert read_record(KERNEL_ID) == {"application_id": "application_1_1"}
    for broken in ("", "{", "[]", "null"):
        (kept.directory / "record.json").write_text(broken)
        assert read_record(KERNEL_ID) is None
    kept.remove()


def test_a_log_that_grows_is_begun_anew_and_one_older_file_is_kept(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_writer, "LOG_LIMIT", 1000)
    kept = LaunchRecord(KERNEL_ID)
    kept.write({})
    for number in range(100):
        kept.log(b"%099d\n" % number)
    assert kept._writer is not None
    kept._writer.close()
    older, newer = kept.directory / "container.log.1", kept.directory / "container.log"
    text = older.read_bytes() + newer.read_bytes()
    assert text.splitlines()[-1] == b"%099d" % 99
    assert len(text) <= 2 * 1200
    assert mode(older) == mode(newer) == 0o600
    kept.remove()


def test_one_thread_writes_the_logs_of_all_kernels_and_ends_with_the_last(runtime: Path) -> None:
    kept = [LaunchRecord(str(uuid.uuid4())) for _ in range(20)]
    for one in kept:
        one.write({})
        one.log(b"first\n")
    writing = [thread for thread in threading.enumerate() if thread.name == "sparkkernels-log"]
    assert len(writing) == 1
    for one in kept:
        one.log(b"last\n")
        one.leave()
        assert (one.directory / "container.log").read_bytes() == b"first\nlast\n"
        one.remove()
    writing[0].join(5)
    assert not writing[0].is_alive()


def test_a_directory_that_is_gone_loses_the_log_and_nothing_else(runtime: Path) -> None:
    kept = LaunchRecord(KERNEL_ID)
    kept.log(b"nowhere to go")
    kept.remove()
    assert not kept.directory.exists()
