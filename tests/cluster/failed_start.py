"""A kernel's start that must fail, and what its error owes to whoever asked for the kernel."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import AsyncKernelManager

from sparkkernels.errors import SparkKernelError

from .conftest import LIMIT_S, install
from .harness import Cluster


async def failed_start(directory: Path, argv: list[str] | None = None, **settings: Any) -> SparkKernelError:
    """Start a kernel with these settings, and return the error that it ends with.

    Parameters
    ----------
    directory : Path
        The test's own.
    argv : list of str or None
        In place of the kernel's command.
    **settings
        The provisioner's.
    """
    return await failed_start_of(install(directory, argv, settings))


async def failed_start_of(name: str) -> SparkKernelError:
    """Start a kernel of this kernelspec, and return the error that it ends with."""
    with pytest.raises(SparkKernelError) as caught:
        await asyncio.wait_for(AsyncKernelManager(kernel_name=name).start_kernel(), LIMIT_S)
    check_words(caught.value)
    return caught.value


async def refused_at_once(cluster: Cluster, directory: Path, **settings: Any) -> SparkKernelError:
    """A start that fails within seconds, before YARN hears of it."""
    before = len(cluster.applications())
    begun = time.monotonic()
    error = await failed_start(directory, **settings)
    assert time.monotonic() - begun < 15
    assert len(cluster.applications()) == before
    return error


def check_words(error: SparkKernelError) -> None:
    """Assert that it begins with a whole sentence and ends with the step to take, without noise between."""
    text = str(error)
    print(f"\n{type(error).__name__}: {text}\n")
    assert re.match(r"([A-Z]|spark-submit ).+\.\Z", text.splitlines()[0])
    assert not re.search(r"%|Traceback|Exception", text.splitlines()[0])
    assert error.hint and text.endswith(error.hint)
    for noise in ("<html", "\tat ", " INFO "):
        assert noise not in text
