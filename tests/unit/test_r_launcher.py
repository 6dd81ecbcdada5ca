"""What the launcher process of R kernels writes down for R, and how it ends."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from sparkkernels_r.news import News, listen

READY = {"type": "context", "state": "ready", "text": "The application is ready."}
BACKEND = {"state": "ready", "text": "", "port": 1234, "secret": "s"}


def content(path: Path) -> dict[str, Any]:
    """What R reads."""
    read: dict[str, Any] = json.loads(path.read_text())
    return read


@pytest.mark.parametrize(
    ("messages", "written"),
    [
        ([], {"state": "starting", "text": "the supervisor has not said anything yet"}),
        ([{"type": "context", "state": "none", "text": ""}], {"state": "none", "text": ""}),
        (
            [{"type": "context", "state": "starting", "text": "soon"}, READY],
            {"state": "starting", "text": "soon"},
        ),
        ([READY, {"type": "backend", "port": 1234, "secret": "s"}], BACKEND),
        ([READY, {"type": "backend", "text": "why not"}], {"state": "failed", "text": "why not"}),
        (
            [
                {"type": "backend", "port": 1, "secret": "s"},
                {"type": "context", "state": "stopped", "text": "gone"},
            ],
            {"state": "stopped", "text": "gone"},
        ),
        (
            [{"type": "notice", "text": "a line"}],
            {"state": "starting", "text": "the supervisor has not said anything yet"},
        ),
    ],
)
def test_r_reads_the_latest_and_ready_only_with_a_backend(
    tmp_path: Path, messages: list[dict[str, Any]], written: dict[str, Any]
) -> None:
    news = News(str(tmp_path / "news.json"))
    news.write()
    for message in messages:
        assert not news.hear(message)
    assert content(tmp_path / "news.json") == written
    assert stat.S_IMODE((tmp_path / "news.json").stat().st_mode) == 0o600
    (tmp_path / "news.json").unlink()
    news.close()
    news.write()
    assert list(tmp_path.iterdir()) == []


def test_a_backend_is_asked_for_once_the_gateway_says_that_spark_is_this_kernel_s(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    news = News(str(tmp_path / "news.json"))
    listening = threading.Thread(target=listen, args=(theirs, news))
    listening.start()
    with ours, theirs, ours.makefile("rb") as lines:
        ours.sendall(json.dumps(READY).encode() + b'\n{"type": "gateway", "port": 1, "secret": "g"}\n')
        assert json.loads(lines.readline()) == {"type": "backend"}
        ours.sendall(b'{"type": "backend", "port": 1234, "secret": "s"}\n')
        ours.shutdown(socket.SHUT_WR)
        listening.join(10)
        assert not listening.is_alive()
    assert content(tmp_path / "news.json") == BACKEND


@pytest.mark.parametrize(("end", "returncode"), [("exit 7", 7), ("kill -9 $$", -9), ("kill -2 $$", -2)])
def test_it_ends_as_r_ended_and_leaves_nothing(tmp_path: Path, end: str, returncode: int) -> None:
    (tmp_path / "R").write_text(f'#!/bin/sh\ncat "$SPARKKERNELS_R_SPARK"; echo "$@"\n{end}\n')
    (tmp_path / "R").chmod(0o755)
    done = launched(tmp_path, f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == returncode
    first, _, command = done.stdout.partition("}")
    assert "starting" in first
    *options, script, arguments, connection_file = command.split()
    assert (options, arguments) == (["--slave", "--no-restore"], "--args")
    assert connection_file == f"{tmp_path}/k.json" and script.startswith(f"--file={tmp_path}/R-")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["R"]


def test_without_r_it_says_in_a_sentence_what_to_install(tmp_path: Path) -> None:
    done = launched(tmp_path, str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("There is no R on this worker") and done.stderr.count("\n") == 1
    assert "r-base-core and r-cran-irkernel" in done.stderr
    assert list(tmp_path.iterdir()) == []


def launched(directory: Path, path: str) -> subprocess.CompletedProcess[str]:
    """Run the launcher process to its end."""
    environ = {name: value for name, value in os.environ.items() if name != "SPARKKERNELS_FD"}
    return subprocess.run(
        [sys.executable, "-m", "sparkkernels_r", "-f", str(directory / "k.json")],
        env={**environ, "PATH": path, "PYTHONPATH": str(Path(__file__).parents[2] / "launchers")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
