"""Starts and kernels that something happens to: each ends with words, and with nothing left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.manager import AsyncKernelManager

from sparkkernels.errors import ApplicationFailed, LaunchTimeout, SparkKernelError, SubmitError
from tests.leaks import Leaks

from .conftest import FINAL, LIMIT_S, Kernels, install, until
from .failed_start import check_words, failed_start
from .harness import Cluster

pytestmark = [pytest.mark.usefixtures("leaks"), pytest.mark.timeout(300)]

#: A kernel that would be killed by its second large array.
SMALL = {"spark.driver.memory": "512m", "spark.driver.memoryOverhead": "384m"}
MAKES_COMMAND = "org.apache.spark.launcher.Main"
EAT = "hoard = [b'x' * 2**26 for _ in range(64)]"


class Start:
    """A kernel's start under way.

    Parameters
    ----------
    name : str
        Of the kernelspec.
    """

    def __init__(self, name: str) -> None:
        self.manager = AsyncKernelManager(kernel_name=name)
        self.task = asyncio.ensure_future(self.manager.start_kernel())
        self.application: Any = None

    async def reaches(self, moment: Callable[[Start], Any]) -> Any:
        """Wait for a moment of it, and return what there is then."""

        def there() -> Any:
            if self.task.done():
                self.task.result()
                raise AssertionError("the start was over before that moment")
            provisioner: Any = self.manager.provisioner
            self.application = self.application or (provisioner and provisioner._application)
            return self.application and moment(self)

        return await until(there, "the moment comes")

    async def error(self) -> SparkKernelError:
        """The error that it ends with."""
        with pytest.raises(SparkKernelError) as caught:
            await asyncio.wait_for(self.task, LIMIT_S)
        check_words(caught.value)
        return caught.value

    @property
    def submitting_jvm(self) -> psutil.Process | None:
        """The JVM of its spark-submit."""
        below = psutil.Process().children(recursive=True)
        return next((process for process in below if submitting(process, self.manager.kernel_id)), None)


def submitting(process: psutil.Process, kernel_id: str = "") -> bool:
    """Whether this is spark-submit's JVM; not the short-lived one that prints the command line for it."""
    try:
        command = process.cmdline()
    except psutil.Error:  # it has ended meanwhile
        return False
    main = "org.apache.spark.deploy.SparkSubmit"
    return (
        main in command
        and command[command.index(main) - 1] != MAKES_COMMAND
        and kernel_id in " ".join(command)
    )


def is_submitting(start: Start) -> psutil.Process | None:
    return start.submitting_jvm if start.application.application_id is None else None


def has_an_id(start: Start) -> psutil.Process | None:
    return start.submitting_jvm if start.application.application_id else None


def has_a_container(start: Start) -> bool:
    return bool(start.application.report and start.application.report.host)


def is_registered(start: Start) -> bool:
    return bool(start.application._link.registered)


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
    async def cancelled(moment: Callable[[Start], Any]) -> None:
        start = Start(install(tmp_path, None, {}))
        await start.reaches(moment)
        start.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start.task
        provisioner: Any = start.manager.provisioner
        assert provisioner.application_id is None

    moments = (lambda start: True, is_submitting, has_an_id, has_a_container, is_registered)
    await asyncio.gather(*map(cancelled, moments))
    assert [app["id"] for app in staged.applications() if app["state"] not in FINAL] == []


async def test_a_killed_spark_submit_is_told_and_its_application_goes_with_it(
    staged: Cluster, tmp_path: Path
) -> None:
    async def killed(moment: Callable[[Start], psutil.Process | None]) -> SparkKernelError:
        start = Start(install(tmp_path, None, {}))
        (await start.reaches(moment)).kill()
        return await start.error()

    for error in await asyncio.gather(killed(is_submitting), killed(has_an_id)):
        assert isinstance(error, SubmitError)
        assert str(error).splitlines()[0] == "spark-submit was ended from outside, by SIGKILL."


async def test_an_application_killed_by_somebody_during_the_start_says_by_whom(
    staged: Cluster, tmp_path: Path
) -> None:
    start = Start(install(tmp_path, None, {}))
    await start.reaches(has_a_container)
    staged.kill_application(start.application.application_id)
    error = await start.error()
    assert isinstance(error, ApplicationFailed)
    assert f"killed by {staged.submitter}" in str(error).splitlines()[0]


async def test_a_kernel_that_ends_at_once_is_quoted(tmp_path: Path) -> None:
    error = await failed_start(tmp_path, ["/bin/sh", "-c", "echo something is amiss >&2; exit 3"])
    assert isinstance(error, ApplicationFailed)
    assert "exit code 3" in str(error).splitlines()[0]
    assert "something is amiss" in error.diagnostics


async def test_a_container_killed_for_its_memory_is_explained_and_the_next_start_works(
    kernels: Kernels, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with kernels(spark_conf=SMALL) as notebook:
        first = notebook.application_id
        await notebook.ok("1")
        notebook.client.execute(EAT)
        await until(lambda: notebook.provisioner._application.ended, "the death is known")
        assert not await notebook.manager.is_alive()
        caplog.clear()
        await notebook.restart()
        explained = [record.message for record in caplog.records if "memory" in record.message]
        assert any(
            "killed the kernel's container for using more memory" in message
            and "raise spark.driver.memoryOverhead" in message
            for message in explained
        )
        assert notebook.application_id != first
        assert (await notebook.ok("6 * 7")).value == "42"


@pytest.mark.parametrize("accepted", [False, True], ids=["before YARN knows it", "accepted"])
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
async def test_a_server_that_ends_while_its_only_kernel_starts_leaves_nothing(
    staged: Cluster, tmp_path: Path, leaks: Leaks, signum: signal.Signals, accepted: bool
) -> None:
    name = install(tmp_path, None, {})
    before = len(staged.applications())
    leaks.excused += ["jupyter_cookie_secret", "jpserver-*"]  # the server's own, which SIGINT leaves
    async with jupyter_server(tmp_path / "server.log") as (server, ask):

        def reached() -> bool:
            if accepted:
                return len(staged.applications()) > before
            return any(submitting(process) for process in psutil.Process(server.pid).children(recursive=True))

        asked = asyncio.ensure_future(asyncio.to_thread(ask, "api/kernels", {"name": name}))
        await until(reached, "it is submitted")
        server.send_signal(signum)
        assert await asyncio.to_thread(server.wait, LIMIT_S) is not None
        await asyncio.wait([asked])
    assert [app["id"] for app in staged.applications() if app["state"] not in FINAL] == []


@contextlib.asynccontextmanager
async def jupyter_server(
    log: Path,
) -> AsyncIterator[tuple[subprocess.Popen[bytes], Callable[[str, dict[str, str]], Any]]]:
    """A stock server, and a way to POST to it; what it said is printed."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"]
    command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token=secret"]
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, cwd=log.parent, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    url = f"http://127.0.0.1:{port}"

    def ask(path: str, content: dict[str, str]) -> Any:
        headers = {"Authorization": "token secret", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{url}/{path}", json.dumps(content).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
                return json.load(answer)
        except OSError as error:
            return error

    def answers() -> bool:
        assert server.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            return False
        return True

    try:
        await until(answers, "the server answers")
        yield server, ask
    finally:
        server.kill()
        server.wait()
        print(log.read_text())
