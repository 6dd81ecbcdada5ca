"""The Scala host's own tests, which Maven runs with ScalaTest."""

from __future__ import annotations

import re

import pytest

from tools import scala_host


@pytest.mark.timeout(scala_host.TIMEOUT_S)
def test_the_scala_host_passes_its_tests() -> None:
    done = scala_host.maven("test", "-DargLine=-Xmx256m")
    assert done.returncode == 0, done.stdout
    counts = re.search(r"Tests: succeeded (\d+), failed 0", done.stdout)
    assert counts is not None and int(counts[1]) > 10, done.stdout
