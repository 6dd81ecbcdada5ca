"""Python environments beside the one that the tests run in: another Spark has another pyspark."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.harness.artifacts import cached
from tests.cluster.harness.errors import HarnessError

PIP_TIMEOUT_S = 15 * 60


def environment(name: str, requirements: Sequence[str]) -> Path:
    """Give a virtual environment of this Python with these packages, made once with pip.

    Parameters
    ----------
    name : str
        What it is called in the cache.
    requirements : sequence of str
        With exact versions: one that changes makes another environment.

    Returns
    -------
    Path
        Its directory.

    Raises
    ------
    HarnessError
        pip fails.
    """
    what = "\n".join([sys.version, sys.base_prefix, *requirements])
    digest = hashlib.sha256(what.encode()).hexdigest()[:12]

    def make(directory: Path) -> Path:
        print(f"Installing {' '.join(requirements)} (only once) ...", file=sys.stderr)
        made = directory / "environment"
        _run([sys.executable, "-m", "venv", str(made)])
        python = str(made / "bin" / "python")
        _run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements])
        return made

    return cached(f"{name}-{digest}", make)


def _run(command: list[str]) -> None:
    """Run a command, quiet unless it fails."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PIP_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise HarnessError(f"`{' '.join(command)}` did not end within {PIP_TIMEOUT_S} s.") from None
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-20:])
        raise HarnessError(f"`{' '.join(command)}` failed (exit code {done.returncode}).\n{tail}")
