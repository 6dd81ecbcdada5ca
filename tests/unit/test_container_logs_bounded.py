"""The files of a container's log directory stay small, whoever writes them and however long."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sparkkernels_supervisor import container, room
from sparkkernels_supervisor.container import Output

CHUNK = 65536


def on_disk(directory: Path) -> int:
    """Bytes that the files of a directory take."""
    return sum(path.stat().st_blocks * 512 for path in directory.iterdir())


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that are soon reached."""
    monkeypatch.setattr(room, "LIMIT", 8 * CHUNK)
    monkeypatch.setattr(room, "KEPT", 2 * CHUNK)
    monkeypatch.setattr(container, "KERNEL_LOG_LIMIT", 4 * CHUNK)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("mode", ["ab", "wb"], ids=["appending", "as a shell redirects"])
def test_a_file_that_somebody_else_writes_gives_up_its_beginning(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "stdout"
    with path.open(mode, buffering=0) as file:
        for number in range(64):
            file.write(bytes([65 + number % 26]) * CHUNK)
            first = room.make_room(str(path))
            assert on_disk(tmp_path) <= 9 * CHUNK
            assert first == 0 or path.stat().st_size - first <= 3 * CHUNK
    assert path.stat().st_size == 64 * CHUNK
    assert path.read_bytes()[-CHUNK:] == b"L" * CHUNK


def test_a_small_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "stderr"
    path.write_bytes(b"x" * CHUNK)
    assert room.make_room(str(path)) == 0
    assert path.read_bytes() == b"x" * CHUNK


def test_a_file_system_without_holes_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LIMIT", 0)
    monkeypatch.setattr(room, "KEPT", 0)
    monkeypatch.setattr(room._libc, "fallocate", lambda *arguments: -1)
    path = tmp_path / "stderr"
    path.write_bytes(b"x" * CHUNK)
    assert room.make_room(str(path)) == 0
    assert path.read_bytes() == b"x" * CHUNK


@pytest.mark.usefixtures("small")
def test_what_a_kernel_prints_for_weeks_takes_no_more_than_two_files(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    for number in range(200):
        output.write_kernel(bytes([65 + number % 26]) * (CHUNK // 4))
        assert on_disk(tmp_path) <= 10 * CHUNK
    assert sorted(os.listdir(tmp_path)) == ["kernel.log", "kernel.log.1"]
    assert (tmp_path / "kernel.log").read_bytes().endswith(b"R" * (CHUNK // 4))
