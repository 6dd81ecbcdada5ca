"""Starts and kernels that something happens to: each ends with words, and with nothing left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from sparkkernels.errors import ApplicationFailed, LaunchTimeout, SparkKernelError, SubmitError

from .conftest import FINAL, Kernels, install
from .failed_start import failed_start
from .faults import record
from .harness import Cluster
from .starts import Start, has_a_container, has_an_id, is_registered, is_submitting

pytestmark = [pytest.mark.usefixtures("leaks"), pytest.mark.timeout(300)]


async def test_a_full_queue_is_named_when_the_time_is_up(
    staged: Cluster, kernels: Kernels, tmp_path: Path
) -> None:
    async with kernels(queue="tiny"):
        error = await failed_start(tmp_path, queue="tiny", launch_timeout_s=8)
    assert isinstance(error, LaunchTimeout)
    assert "waiting in the queue root.tiny" in str(error).splitlines()[0]
    assert "AM resource limit" in error.diagnostics
    waited = next(app for app in staged.applications() if app["id"] == error.application_id)
    assert waited["state"] == "KILLED"


async def test_a_start_cancelled_at_any_moment_leaves_nothing(staged: Cluster, tmp_path: Path) -> None:
    async def cancelled(moment: Callable[[Start], Any], words: str) -> None:
        start = Start(install(tmp_path, None, {}))
        await start.reaches(moment)
        begun = time.monotonic()
        start.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start.task
        record(f"start cancelled {words}", "the start is cancelled", all_ended_after=time.monotonic() - begun)
        provisioner: Any = start.manager.provisioner
        assert provisioner.application_id is None

    await asyncio.gather(
        cancelled(lambda start: True, "at its beginning"),
        cancelled(is_submitting, "while spark-submit is at work"),
        cancelled(has_an_id, "when YARN's id is known"),
        cancelled(has_a_container, "when there is a container"),
        cancelled(is_registered, "when the supervisor has registered"),
    )
    assert [app["id"] for app in staged.applications() if app["state"] not in FINAL] == []


async def test_a_killed_spark_submit_is_told_and_its_application_goes_with_it(
    staged: Cluster, tmp_path: Path
) -> None:
    async def killed(moment: Callable[[Start], psutil.Process | None], words: str) -> SparkKernelError:
        start = Start(install(tmp_path, None, {}))
        (await start.reaches(moment)).kill()
        begun = time.monotonic()
        error = await start.error()
        record(f"kill -9 of spark-submit {words}", f"“{error.message}”", told_after=time.monotonic() - begun)
        return error

    before = killed(is_submitting, "before the id is known")
    for error in await asyncio.gather(before, killed(has_an_id, "when the id is known")):
        assert isinstance(error, SubmitError)
        assert str(error).splitlines()[0] == "spark-submit was ended from outside, by SIGKILL."


async def test_an_application_killed_by_somebody_during_the_start_says_by_whom(
    staged: Cluster, tmp_path: Path
) -> None:
    start = Start(install(tmp_path, None, {}))
    await start.reaches(has_a_container)
    staged.kill_application(start.application.application_id)
    begun = time.monotonic()
    error = await start.error()
    killed = "application killed in YARN's UI during the start"
    record(killed, f"“{error.message}”", told_after=time.monotonic() - begun)
    assert isinstance(error, ApplicationFailed)
    assert f"killed by {staged.submitter}" in str(error).splitlines()[0]


async def test_a_kernel_that_ends_at_once_is_quoted(tmp_path: Path) -> None:
    error = await failed_start(tmp_path, ["/bin/sh", "-c", "echo something is amiss >&2; exit 3"])
    assert isinstance(error, ApplicationFailed)
    assert "exit code 3" in str(error).splitlines()[0]
    assert "something is amiss" in error.diagnostics
