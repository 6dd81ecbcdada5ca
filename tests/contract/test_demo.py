"""`make demo`, from the server's start on: it ends well, and it leaves nothing when it does not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    directory = tmp_path / "demo"
    directory.mkdir()
    return directory


@pytest.fixture
def demo(temporary: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "examples" / "demo.py")],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.timeout(420)
def test_it_runs_the_notebook_and_leaves_only_its_result(
    demo: subprocess.Popen[str], temporary: Path
) -> None:
    out, err = demo.communicate(timeout=400)
    assert (demo.returncode, err) == (0, ""), out
    assert "336,776 flights" in out
    notebook = json.loads((ROOT / "build" / "flights-executed.ipynb").read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert list(temporary.iterdir()) == []


@pytest.mark.timeout(240)
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_a_cell_runs_it_leaves_nothing(
    demo: subprocess.Popen[str], temporary: Path, signum: signal.Signals
) -> None:
    assert demo.stdout is not None
    seen = ""
    while "Read both files" not in seen:
        character = demo.stdout.read(1)
        assert character, seen
        seen += character
    demo.send_signal(signum)
    started = time.monotonic()
    demo.communicate(timeout=60)
    assert demo.returncode == 128 + signum
    assert time.monotonic() - started < 45
    assert list(temporary.iterdir()) == []
