"""R kernels: IRkernel as people use it, and the way from R to the application's Spark.

SparkR can't be had from package registries; a small client of its protocol stands in for it
(tests/backend_client).
"""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager

from sparkkernels import ApplicationFailed, ConfigurationError
from tests.backend_client import BEGIN, JOB, install
from tests.cluster.notebook import INTERRUPT_S, LIMIT_S

from .kernels import becomes, running, write_kernelspec

ARGV = (sys.executable, "-m", "sparkkernels_r", "-f", "{connection_file}")
SMALL = {
    "spark.ui.enabled": "false",
    "spark.driver.memory": "512m",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}


@dataclass
class Result:
    """What a cell gave."""

    status: str = ""
    value: str = ""
    text: str = ""
    error: str = ""
    pager: str = ""
    data: dict[str, Any] = field(default_factory=dict)


class RNotebook:
    """Cells run one after another in an R kernel."""

    def __init__(self, manager: AsyncKernelManager, client: AsyncKernelClient) -> None:
        self.manager = manager
        self.client = client

    async def run(self, code: str, answer: str | None = None, at_work: asyncio.Event | None = None) -> Result:
        """Run a cell to its end; the answer is typed where it asks for one."""
        result = Result()

        def hear(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                result.text += content["text"]
                if at_work is not None and "at work" in content["text"]:
                    at_work.set()
            elif message["msg_type"] in ("display_data", "execute_result"):
                result.data.update(content["data"])
                result.value = content["data"].get("text/plain", "").removeprefix("[1] ")
            elif message["msg_type"] == "error":
                result.error = content["evalue"]

        def type_answer(message: dict[str, Any]) -> None:
            result.text += message["content"]["prompt"]
            self.client.input(str(answer))

        reply = await self.client.execute_interactive(
            code, timeout=LIMIT_S, output_hook=hear, stdin_hook=type_answer, allow_stdin=answer is not None
        )
        result.status = reply["content"]["status"]
        pages = [page for page in reply["content"].get("payload", []) if page["source"] == "page"]
        result.pager = "".join(page["data"]["text/plain"] for page in pages)
        return result

    async def value(self, code: str) -> str:
        """The value of a cell that must succeed."""
        result = await self.run(code)
        assert result.status == "ok", result.error
        return result.value

    async def interrupted(self, code: str, after_s: float = 0.1) -> Result:
        """Run a cell, interrupt it some time after it says that it is at work, and return how it ended."""
        at_work = asyncio.Event()
        cell = asyncio.ensure_future(self.run(code, at_work=at_work))
        await asyncio.wait_for(at_work.wait(), LIMIT_S)
        await asyncio.sleep(after_s)
        await self.manager.interrupt_kernel()
        return await asyncio.wait_for(cell, INTERRUPT_S)

    async def restart(self) -> None:
        """Restart the kernel and wait until it answers."""
        await self.manager.restart_kernel()
        await self.client.wait_for_ready(timeout=LIMIT_S)


async def test_a_notebook_in_r_and_the_application_s_spark(tmp_path: Path) -> None:
    install(tmp_path / "library")
    name = write_kernelspec(
        argv=ARGV,
        env={"R_LIBS": str(tmp_path / "library")},
        master="local[2]",
        spark_context="eager",
        spark_conf=SMALL,
    )
    async with running(name) as (manager, client):
        notebook = RNotebook(manager, client)
        run, value = notebook.run, notebook.value

        # R, as in every IRkernel
        await manager.interrupt_kernel()  # of a kernel that does nothing
        assert await value("x <- 41; x + 1") == "42"
        failed = await run("f <- function(y) stop('of the cell'); f(1)")
        assert (failed.status, "of the cell" in failed.error) == ("error", True)
        assert (await run("plot(1:3)")).data["image/png"]
        assert "xm <- mean(x)" in (await run("?mean")).pager
        asked = await run("paste('hello', readline('name? '))", answer="Ada")
        assert ("name? " in asked.text, asked.value) == (True, '"hello Ada"')
        for code in ("while (TRUE) {}", "Sys.sleep(600)", "system('exec sleep 600')"):
            await notebook.interrupted(f"message('at work'); {code}")
        assert await value("x") == "41"

        # Spark, from the first use on
        assert await value("class(spark)") == '"jobj"'
        await run(BEGIN)
        application = await value("application()")
        assert await value("call(sql('select 7'), 'count')") == "1"
        assert "nothing_of_this_name" in (await run("sql('select nothing_of_this_name')")).error
        tags = "call(call(spark, 'sparkContext'), 'getLocalProperty', 'spark.job.tags')"
        tag = await value(tags)
        assert tag.startswith('"sparkkernels-kernel-') and "," not in tag
        for _ in range(2):
            interrupted = await notebook.interrupted(JOB, after_s=0.5)
            assert interrupted.status != "ok"
            assert await value("call(sql('select 7'), 'count')") == "1"  # not the answer to the last one
            assert await value(tags) == tag
        left = "call(call(spark, 'catalog'), 'tableExists', 'mine')"
        await run("call(call(spark, 'range', 5L), 'createOrReplaceTempView', 'mine')")
        assert await value(left) == "TRUE"

        # a warm restart: the same application, a session in which nobody was
        await notebook.restart()
        assert "object 'x' not found" in (await run("x")).error
        await run(BEGIN)
        assert (await value("application()"), await value(left)) == (application, "FALSE")
        assert await value(tags) != tag

        # a user's stop: the next kernel has another application
        await run("call(call(spark, 'sparkContext'), 'stop')")
        link: Any = manager.provisioner
        await becomes(lambda: link._link.context.state == "stopped")
        await notebook.restart()
        await run(BEGIN)
        assert await value("application()") != application

        # R killed by itself is what the provisioner sees
        client.execute("tools::pskill(Sys.getpid(), 9)")
        await becomes(lambda: link._link.kernel.returncode == -9)


async def test_without_sparkr_the_kernel_works_as_r_and_says_what_to_install(tmp_path: Path) -> None:
    async with running(write_kernelspec(argv=ARGV)) as (manager, client):
        notebook = RNotebook(manager, client)
        assert await notebook.value("1 + 1") == "2"
        assert "SparkR is not on this worker: have a full Spark" in (await notebook.run("spark")).error
        assert await notebook.value("spark <- 'a name like others'; spark") == '"a name like others"'
        install(tmp_path / "library")
        used = await notebook.run(f"rm(spark); .libPaths('{tmp_path}/library'); spark")
        assert "This kernel was started without Spark." in used.error
        assert "is the application's session" in (await notebook.run("spark <<- 1")).error


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        ({"PATH": "/nowhere"}, "There is no R on this worker"),
        ({"R_LIBS_SITE": "/nowhere"}, r"R on this worker has no IRkernel\."),
    ],
)
async def test_a_worker_without_r_or_irkernel_is_told_with_what_to_install(
    env: dict[str, str], sentence: str
) -> None:
    manager = AsyncKernelManager(kernel_name=write_kernelspec(argv=ARGV, env=env))
    with pytest.raises(ApplicationFailed, match="ended with exit code 1") as caught:
        await manager.start_kernel()
    assert re.search(sentence, str(caught.value)) and "r-cran-irkernel" in str(caught.value)


async def test_an_r_kernel_can_t_encrypt_and_is_not_started_where_it_must() -> None:
    manager = AsyncKernelManager(kernel_name=write_kernelspec(argv=ARGV, curve="required"))
    with pytest.raises(ConfigurationError, match="does not say that its kernel can encrypt"):
        await manager.start_kernel()
