"""What the launcher process of Scala kernels does at each event, and how it and the host hold each other."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from typing import Any

import pytest

from sparkkernels_scala.leash import Leash
from sparkkernels_scala.process import NO_SPARK, ScalaKernel


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"type": "context", "state": "none", "text": ""}, NO_SPARK),
        ({"type": "context", "state": "failed", "text": "The context failed."}, "The context failed."),
        ({"type": "failed", "text": "Toree could not be started."}, "Toree could not be started."),
    ],
)
def test_what_keeps_toree_from_running_is_the_process_s_last_word(
    event: dict[str, Any], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, _theirs = socket.socketpair()
    assert ScalaKernel("c.json", ours, print).hear(event) == 1
    assert capsys.readouterr().err == text + "\n"


def test_it_waits_for_spark_tells_when_cells_run_and_ends_when_it_is_asked_to() -> None:
    ours, theirs = socket.socketpair()
    kernel = ScalaKernel("c.json", ours, print)
    assert kernel.hear({"type": "context", "state": "starting", "text": "soon"}) is None
    assert kernel.hear({"type": "interrupt"}) is None
    assert kernel.hear({"type": "busy", "busy": True}) is None
    assert json.loads(theirs.recv(1000)) == {"type": "busy", "busy": True}
    assert kernel.hear({"type": "end"}) == 0


def test_the_leash_is_held_by_whoever_knows_the_token_and_ends_with_the_connection() -> None:
    leash = Leash()
    heard: list[str] = []
    listening = threading.Thread(target=leash.listen, args=(heard.append,))
    listening.start()
    with socket.create_connection(("127.0.0.1", leash.port)) as stranger:
        stranger.sendall(b"end\nend\n")
        assert stranger.recv(1) == b""
    with socket.create_connection(("127.0.0.1", leash.port)) as host:
        host.sendall(f"{leash.token}\nbusy\nidle\n".encode())
    listening.join(10)
    assert not listening.is_alive()
    assert heard == ["busy", "idle"]


def test_without_a_supervisor_it_says_what_it_needs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sparkkernels_scala", "-f", "c.json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, NO_SPARK + "\n")
