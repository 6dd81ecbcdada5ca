"""Restarts in a new application: wished for with `%spark restart`, or because the old one is gone."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.ioloop.manager import AsyncIOLoopKernelManager
from jupyter_client.manager import AsyncKernelManager
from traitlets.config import Config

from .kernels import HANG_S, Answer, becomes, run, running, write_kernelspec

ARGV = (sys.executable, "-m", "sparkkernels_python", "-f", "{connection_file}")
OTHER = "spark.sql.shuffle.partitions=5"


class Restarting(AsyncIOLoopKernelManager):
    """A manager that looks often whether its kernel lives."""

    def __init__(self, **kwargs: Any) -> None:
        config = Config({"KernelRestarter": {"time_to_dead": 0.2, "stable_start_time": 0.2}})
        super().__init__(config=config, **kwargs)


@pytest.fixture(autouse=True)
def specs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The specs of all submits, in their order."""
    from sparkkernels.cluster.local import LocalBackend

    seen: list[Any] = []
    submit = LocalBackend.submit

    def remember(self: LocalBackend, spec: Any, *rest: Any) -> Any:
        seen.append(spec)
        return submit(self, spec, *rest)

    monkeypatch.setattr(LocalBackend, "submit", remember)
    return seen


def error_of(answer: Answer) -> str:
    """What a cell that failed says."""
    assert answer.error == "UsageError", answer
    return answer.text


@contextlib.asynccontextmanager
async def restarted(manager: AsyncKernelManager, client: AsyncKernelClient) -> AsyncIterator[None]:
    """Wait until the kernel that something happens to meanwhile is another process, and answers."""
    before = manager.provisioner._number  # type: ignore[union-attr]
    yield
    await becomes(lambda: manager.provisioner._number > before and manager.has_kernel)  # type: ignore[union-attr]
    await becomes(lambda: manager.provisioner.has_process)  # type: ignore[union-attr]
    await client.wait_for_ready(timeout=HANG_S)


async def test_a_notebook_gets_other_settings_within_the_limits_and_keeps_them(specs: list[Any]) -> None:
    write_kernelspec(argv=ARGV, spark_conf={"spark.kept": "yes"})
    async with running(factory=Restarting) as (manager, client):
        assert "%spark restart [--conf NAME=VALUE …]" in (await run(client, "%spark")).text
        assert (await run(client, "%spark --help")).text == (await run(client, "%spark")).text
        for line, words in (
            ("begin", "invalid choice: 'begin'"),
            ("restart --conf spark.executor.memory", "'spark.executor.memory' is not NAME=VALUE"),
            ("--conf spark.a=b", "settings come with a restart"),
            ("restart --conf 'spark.a=b", "No closing quotation"),
            ("restart --conf spark.jars=/etc/passwd", "spark.jars can't be set to '/etc/passwd' by anybody"),
            ("restart --conf spark.master=yarn", "spark.master can't be set"),
            ("restart --conf shuffle=1", "'shuffle' is no name of a Spark setting: correct or remove it."),
            ("restart --queue 'a b'", "The queue 'a b' is no YARN queue name: correct it."),
        ):
            assert words in error_of(await run(client, f"%spark {line}")), line
        assert (await run(client, "x = 1; print(x)")).text == "1\n"
        assert len(specs) == 1

        async with restarted(manager, client):
            client.execute(f"%spark restart --conf {OTHER} --queue night")
            await heard(client, f"Restarting with {OTHER}, queue night …")
        assert dict(specs[-1].spark_conf) == {"spark.kept": "yes", **dict([OTHER.split("=")])}
        assert (specs[-1].queue, len(specs)) == ("night", 2)
        first = await run(client, "x")
        assert first.error == "NameError"
        assert f"%spark restart asked for it, with {OTHER}, queue night." in first.text
        assert (await run(client, "1")).text == ""

        # An application that ended: by itself, with the same settings, and the user is told.
        async with restarted(manager, client):
            psutil.Process(manager.provisioner._link.container.pid).kill()  # type: ignore[union-attr]
        assert dict(specs[-1].spark_conf)["spark.sql.shuffle.partitions"] == "5"
        assert "has ended. The kernel's process was killed (signal 9)" in (await run(client, "1")).text

        # No options: the kernelspec's settings again.
        async with restarted(manager, client):
            client.execute("%spark restart")
            await heard(client, "Restarting with the kernelspec's settings …")
        assert (dict(specs[-1].spark_conf), specs[-1].queue) == ({"spark.kept": "yes"}, None)

        # A warm restart says nothing.
        await manager.restart_kernel()
        await client.wait_for_ready(timeout=HANG_S)
        assert ((await run(client, "1")).text, len(specs)) == ("", 4)


async def test_settings_that_no_application_starts_with_do_not_cost_the_kernel(
    specs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sparkkernels.cluster.local import LocalBackend
    from sparkkernels.errors import SubmitError

    submit = LocalBackend.submit

    def refuse(self: LocalBackend, spec: Any, *rest: Any) -> Any:
        if "spark.bad" in spec.spark_conf:
            raise SubmitError("YARN did not take it.")
        return submit(self, spec, *rest)

    monkeypatch.setattr(LocalBackend, "submit", refuse)
    write_kernelspec(argv=ARGV, limits={"spark.*": {}})
    async with running() as (manager, client):
        answer = await run(client, "%spark restart --queue night")
        assert "The queue night can't be asked for here" in error_of(answer)
        # Nobody restarts this kernel by itself.
        answer = await run(client, "%spark restart --conf spark.bad=1")
        assert answer.text == "At its next restart this kernel has spark.bad=1.\n" and not answer.error
        await manager.restart_kernel()
        await client.wait_for_ready(timeout=HANG_S)
        told = (await run(client, "1")).text
        assert "could not start with spark.bad=1, and has the kernelspec's settings again." in told
        assert "YARN did not take it." in told
        assert "spark.bad" not in specs[-1].spark_conf


async def heard(client: AsyncKernelClient, text: str) -> None:
    """Wait until something is printed."""
    while True:
        message = await client.get_iopub_msg(timeout=HANG_S)
        assert message["msg_type"] != "error", message["content"]
        if text in message["content"].get("text", ""):
            return
