"""Deaths of kernels: each is told with its cause, and what can't get better is not tried again and again."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.ioloop.manager import AsyncIOLoopKernelManager
from jupyter_client.manager import AsyncKernelManager
from traitlets.config import Config

from sparkkernels import ApplicationFailed, SubmitError
from sparkkernels.cluster.local import LocalSubmission
from sparkkernels.deaths import CONTAINER_S
from sparkkernels.errors import ResourceManagerUnavailable

from .kernels import ECHO, HANG_S, IPYKERNEL, becomes, client_of, run, running, write_kernelspec

#: A kernel that starts unless a file is there.
UNLESS = "import os, sys; os.path.exists(sys.argv[1]) and sys.exit(9); os.execv(sys.executable, sys.argv[2:])"


class Heard:
    """A manager whose restarter is quick, and what it tells."""

    def __init__(self, name: str) -> None:
        config = Config({"KernelRestarter": {"time_to_dead": 0.2}})
        self.manager = AsyncIOLoopKernelManager(kernel_name=name, config=config)
        self.restarts = 0
        self.dead = asyncio.Event()

    async def start(self) -> None:
        await self.manager.start_kernel()
        self.manager.add_restart_callback(self._restarting)
        self.manager.add_restart_callback(self.dead.set, "dead")

    def _restarting(self) -> None:
        self.restarts += 1

    @property
    def provisioner(self) -> Any:
        return self.manager.provisioner

    @property
    def supervisor(self) -> int:
        pid: int = self.provisioner._link.container.pid
        return pid

    async def is_up(self, number: int) -> None:
        await becomes(lambda: self.provisioner._number == number and self.manager.has_kernel)

    async def is_dead_and_gone(self) -> None:
        await asyncio.wait_for(self.dead.wait(), 2 * HANG_S)
        await becomes(lambda: self.provisioner._link is None)
        assert not await self.manager.is_alive()
        await asyncio.sleep(1)  # five looks of a restarter that went on
        restarts = self.restarts
        assert self.provisioner._application is None and self.restarts == restarts


def deaths(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log says of deaths."""
    return [record.getMessage() for record in caplog.records if " died. " in record.getMessage()]


async def test_each_death_is_told_once_with_its_cause_and_a_wanted_end_is_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    argv = (sys.executable, "-m", "sparkkernels_python", "-f", "{connection_file}")
    async with running(write_kernelspec(argv=argv)) as (manager, client):

        async def dies(code: str, words: str) -> None:
            client.execute(code)
            await becomes(lambda: deaths(caplog))
            (told,) = deaths(caplog)
            assert words in told
            caplog.clear()
            await manager.restart_kernel(now=True)
            await client.wait_for_ready(timeout=HANG_S)
            assert words in (await run(client, "")).text + (await run(client, "1")).text

        await dies("import os; os.kill(os.getpid(), 9)", "was killed (signal 9): by somebody on its worker")
        await dies("import os; os.kill(os.getpid(), 15)", "was ended by signal 15")
        await dies("import os; print('out of cheese', flush=True); os._exit(7)", "ended with exit code 7")
        await dies("import os; os.kill(os.getppid(), 9)", "")
        for now in (True, False):
            await manager.restart_kernel(now=now)
            await client.wait_for_ready(timeout=HANG_S)
    await asyncio.sleep(1.2)
    assert not deaths(caplog)


async def test_a_kernel_that_ends_with_its_container_died_of_what_ended_that(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(write_kernelspec("echo", ECHO)) as (manager, _):
        provisioner: Any = manager.provisioner
        link = provisioner._link
        os.kill(link.kernel.pid, signal.SIGTERM)
        await becomes(lambda: link.kernel.state == "exited")
        await asyncio.sleep(2 * CONTAINER_S)  # SIGKILL may follow late on a busy host
        assert not deaths(caplog) and await manager.is_alive()
        os.kill(link.container.pid, signal.SIGKILL)
        await becomes(lambda: deaths(caplog))
        assert "perhaps because this host ran out of memory" in deaths(caplog)[0]
        await manager.restart_kernel(now=True)

        os.kill(link.container.pid, signal.SIGTERM)
        await becomes(lambda: not link.connected)
        assert link.kernel.state == "running"  # so nobody takes its end for the reason


async def test_a_restart_that_needs_somebody_is_not_tried_twice_and_the_kernel_is_dead(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    heard = Heard(write_kernelspec("echo", ECHO, python=str(python)))
    await heard.start()
    python.unlink()
    os.kill(heard.supervisor, signal.SIGKILL)
    await heard.is_dead_and_gone()
    assert heard.restarts == 1
    assert "is not started again by itself: another start would end in the same way" in caplog.text
    await heard.manager.shutdown_kernel()


async def test_a_kernel_whose_application_ends_at_every_start_is_given_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard = Heard(write_kernelspec("echo", ECHO))
    await heard.start()
    for number in (1, 2, 3):
        await heard.is_up(number)
        os.kill(heard.supervisor, signal.SIGKILL)
    await heard.is_dead_and_gone()
    assert heard.restarts == 2
    assert "ended within 60 s of its start 3 times in a row" in caplog.text
    await heard.manager.shutdown_kernel()


async def test_a_restart_that_fails_once_is_tried_again_on_the_same_ports(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trouble = tmp_path / "trouble"
    heard = Heard(write_kernelspec("spark", (sys.executable, "-c", UNLESS, str(trouble), *IPYKERNEL)))
    await heard.start()
    before = heard.manager.get_connection_info()
    async with client_of(heard.manager) as client:
        trouble.touch()
        os.kill(heard.supervisor, signal.SIGKILL)
        await becomes(lambda: "could not be started" in caplog.text)
        trouble.unlink()
        await becomes(lambda: heard.manager.has_kernel)
        assert (await run(client, "print('alive again')")).text == "alive again\n"
    assert heard.manager.get_connection_info() == before
    assert json.loads(Path(heard.manager.connection_file).read_text())["shell_port"] == before["shell_port"]
    assert not heard.dead.is_set()
    await heard.manager.shutdown_kernel()


async def test_a_manager_that_gives_up_leaves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Its restarter counts crashes of the kernel process alone, and tells nobody but its callbacks."""
    caplog.set_level(logging.INFO)
    heard = Heard(write_kernelspec("echo", ECHO))
    await heard.start()
    heard.manager._restarter.restart_limit = 1
    for number in (1, 2):
        await heard.is_up(number)
        await heard.manager.signal_kernel(signal.SIGKILL)
    await heard.is_dead_and_gone()
    assert heard.restarts == 1
    await heard.manager.shutdown_kernel()


async def test_a_kernel_whose_cluster_cannot_be_asked_keeps_no_server_from_stopping(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    manager = AsyncKernelManager(kernel_name=write_kernelspec("echo", ECHO))
    await manager.start_kernel()
    provisioner: Any = manager.provisioner
    application = provisioner._application
    kill, application_id = application._backend.kill, application.application_id

    def unreachable(_: str) -> None:
        raise ResourceManagerUnavailable("Nobody answers.")

    with monkeypatch.context() as patch:
        patch.setattr(application._backend, "kill", unreachable)
        patch.setattr(provisioner._link, "connected", False)
        await manager.shutdown_kernel(now=True)
    assert "could not be killed. Nobody answers." in caplog.text
    assert "could not be ended cleanly. Nobody answers." in caplog.text
    kill(application_id)


@pytest.mark.parametrize("hint", ["", "Ask the administrator."])
async def test_an_application_that_ended_says_more_than_the_submit_that_saw_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hint: str
) -> None:
    """Of an application that fails at once spark-submit may say its exit code before YARN says the reason."""

    def sees_it_fail(submission: LocalSubmission) -> str:
        raise SubmitError("spark-submit failed with exit code 1.", hint=hint)

    monkeypatch.setattr(LocalSubmission, "wait", sees_it_fail)
    ends = tmp_path / "ends"
    ends.write_text(f"#!/bin/sh\nsleep {4 if hint else 0}\nexit 1\n")
    ends.chmod(0o755)
    manager = AsyncKernelManager(kernel_name=write_kernelspec(python=str(ends)))
    expected = SubmitError if hint else ApplicationFailed  # a submit that knows the reason is believed
    with pytest.raises(expected, match="failed with exit code 1" if hint else "ended before its kernel"):
        await manager.start_kernel()
