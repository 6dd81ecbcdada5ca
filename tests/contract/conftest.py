"""Every contract test has directories of its own and leaves nothing behind."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.leaks import Leaks, nothing_left


@pytest.fixture(autouse=True)
def leaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Leaks]:
    """Fails a test that leaves a process, a file, a thread or a socket."""
    with nothing_left(tmp_path) as found:
        for name, value in found.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield found
