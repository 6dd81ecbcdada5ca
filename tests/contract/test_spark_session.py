"""`spark` and `sc` in a notebook: late, real, interruptible, stoppable, and gone with a restart.

All but the last test share one application, whose SparkContext waits for a gate: its driver resource is found
by a script of ours.
"""

from __future__ import annotations

import asyncio
import re
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager

from tests.cluster.notebook import INTERRUPT_S, LIMIT_S
from tests.leaks import Leaks, nothing_left
from tests.leftovers import WORKS, leave_all

from .kernels import running, write_kernelspec

pytestmark = pytest.mark.asyncio(loop_scope="module")

ARGV = (sys.executable, "-m", "sparkkernels_python", "-f", "{connection_file}")
#: Of a JVM that computes three rows on a busy machine.
SMALL = {
    "spark.ui.enabled": "false",
    "spark.driver.memory": "512m",
    "spark.sql.shuffle.partitions": "2",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}
SCRIPT = "gate.sh"
WAITING = "Waiting for Spark: the application is starting its SparkContext …"


@pytest.fixture(autouse=True, scope="module")
def leaks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Leaks]:
    """The module's tests together must leave nothing."""
    with nothing_left(tmp_path_factory.mktemp("leaks")) as found, pytest.MonkeyPatch.context() as patch:
        for name, value in found.environment.items():
            patch.setenv(name, value)
        patch.setattr("tempfile.tempdir", None)
        yield found


@dataclass
class Result:
    """What a cell gave."""

    value: str = ""
    printed: str = ""
    warned: str = ""
    error: str = ""
    traceback: str = ""


class SparkNotebook:
    """A notebook whose Spark comes when its gate is opened."""

    def __init__(self, manager: AsyncKernelManager, client: AsyncKernelClient, gate: Path) -> None:
        self.manager = manager
        self.client = client
        self.gate = gate

    async def run(self, code: str, on_output: Callable[[str], None] | None = None) -> Result:
        """Run a cell to its end, whatever end that is."""
        result = Result()

        def hear(message: dict[str, object]) -> None:
            content: dict[str, object] = message["content"]  # type: ignore[assignment]
            if message["msg_type"] == "stream":
                text = str(content["text"])
                if content["name"] == "stdout":
                    result.printed += text
                else:
                    result.warned += text
                if on_output is not None:
                    on_output(text)
            elif message["msg_type"] == "execute_result":
                result.value = str(content["data"]["text/plain"])  # type: ignore[index]

        reply = await self.client.execute_interactive(
            textwrap.dedent(code), timeout=LIMIT_S, output_hook=hear, allow_stdin=False
        )
        if reply["content"]["status"] == "error":
            result.traceback = "\n".join(reply["content"]["traceback"])
            result.error = f"{reply['content']['ename']}: {reply['content']['evalue']}"
        return result

    async def value(self, code: str) -> str:
        """The value of a cell that must succeed."""
        result = await self.run(code)
        assert result.error == "", result.error
        return result.value

    async def becomes(self, code: str, condition: Callable[[str], bool]) -> None:
        """Run a cell again and again until its value is as it should be."""
        deadline = time.monotonic() + LIMIT_S / 4
        while not condition(value := await self.value(code)):
            assert time.monotonic() < deadline, f"it remained {value}"
            await asyncio.sleep(0.2)

    async def begun(self, code: str, mark: str) -> asyncio.Task[Result]:
        """Begin a cell and return when it has printed the mark."""
        at_work = asyncio.Event()
        cell = asyncio.ensure_future(
            self.run(code, on_output=lambda text: at_work.set() if mark in text else None)
        )
        await asyncio.wait_for(at_work.wait(), LIMIT_S)
        return cell

    async def interrupted(self, code: str, mark: str) -> Result:
        """Interrupt a cell when it has printed the mark."""
        cell = await self.begun(code, mark)
        await self.manager.interrupt_kernel()
        return await asyncio.wait_for(cell, INTERRUPT_S)

    async def with_spark(self) -> None:
        """Open the gate and wait for the session."""
        self.gate.touch()
        code = "from pyspark.sql import SparkSession\nspark = SparkSession.builder.getOrCreate()"
        await self.value(f"{code}\nsc = spark.sparkContext")

    async def restart(self) -> None:
        """Restart the kernel and wait until it answers."""
        await self.manager.restart_kernel()
        await self.client.wait_for_ready(timeout=LIMIT_S)


def gate_conf(directory: Path) -> dict[str, str]:
    """Settings with which a SparkContext is not made before the file ``gate`` is there."""
    script = directory / SCRIPT
    script.write_text(
        f"#!/bin/sh\nwhile [ ! -e {directory}/gate ]; do sleep 0.05; done\n"
        """echo '{"name": "gate", "addresses": ["0"]}'\n"""
    )
    script.chmod(0o755)
    name = "spark.driver.resource.gate"
    return {f"{name}.amount": "1", f"{name}.discoveryScript": str(script)}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def notebook(leaks: Leaks, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SparkNotebook]:
    """The notebook that the module's tests share."""
    directory = tmp_path_factory.mktemp("gate")
    name = write_kernelspec(
        argv=ARGV, master="local[2]", spark_context="eager", spark_conf={**SMALL, **gate_conf(directory)}
    )
    async with running(name) as (manager, client):
        yield SparkNotebook(manager, client, directory / "gate")


# -- before there is a context ---------------------------------------------------------------------------


async def test_a_cell_without_spark_does_not_wait_and_a_name_that_is_nobodys_is_an_error(
    notebook: SparkNotebook,
) -> None:
    assert await notebook.value("1 + 1") == "2"
    result = await notebook.run("spork")
    assert result.error.startswith("NameError")


async def test_completion_and_inspection_do_not_wait(notebook: SparkNotebook) -> None:
    await notebook.run("sparkle = 1")
    completed = await notebook.client.complete("spark", reply=True, timeout=LIMIT_S)
    await notebook.client.complete("spark.", reply=True, timeout=LIMIT_S)
    await notebook.client.inspect("spark", reply=True, timeout=LIMIT_S)
    assert "sparkle" in completed["content"]["matches"]


@pytest.mark.parametrize(
    "code",
    [
        "spark",
        "%%time\nsc.parallelize([1])",
        "def f():\n    return spark\nf()",
        "exec('spark.range(1)')",
        "from pyspark.sql import SparkSession\nSparkSession.builder.getOrCreate()",
        "from pyspark import SparkContext\nSparkContext()",
        "from pyspark.sql.functions import col\ncol('x')",
        "import sys; sys.path.insert(0, '{directory}')\nimport at_import",
    ],
)
async def test_code_that_needs_spark_says_once_what_it_waits_for_and_can_be_interrupted(
    notebook: SparkNotebook, tmp_path: Path, code: str
) -> None:
    source = "from pyspark.sql import SparkSession\nsession = SparkSession.builder.getOrCreate()\n"
    (tmp_path / "at_import.py").write_text(source)
    result = await notebook.interrupted(code.format(directory=tmp_path), "Waiting")
    assert result.error.startswith("KeyboardInterrupt")
    assert result.warned == WAITING + "\n"
    assert await notebook.value("1 + 1") == "2"


async def test_the_wait_ends_with_the_real_session_wherever_the_name_stands(
    notebook: SparkNotebook, tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text("rows = spark.range(3)\n")
    await notebook.run(
        """
        def early():
            return spark.range(3).count()
        def helper(text):
            return len(text) + 1
        """
    )
    cell = await notebook.begun(
        f"""
        %%time
        get_ipython().run_line_magic("run", "-i {tmp_path}/script.py")
        from pyspark.sql import SparkSession
        print(rows.count(), early(), eval("spark is spark"), isinstance(spark, SparkSession))
        """,
        "Waiting",
    )
    notebook.gate.touch()
    result = await cell
    assert result.error == ""
    assert result.printed.startswith("3 3 True True\n")
    # From now on they are variables like others, and the builtins Python's own.
    assert await notebook.value("'spark' in globals(), 'sc' in globals(), type(__builtins__).__name__") == (
        "(True, True, 'module')"
    )
    assert (
        await notebook.value("sc.parallelize(['a', 'bc']).map(lambda text: helper(text)).collect()")
        == "[2, 3]"
    )


# -- one session, however one asks -----------------------------------------------------------------------


async def test_everybody_gets_the_same_session(notebook: SparkNotebook, tmp_path: Path) -> None:
    await notebook.with_spark()
    (tmp_path / "imported_module.py").write_text(
        "from pyspark.sql import SparkSession\nsession = SparkSession.builder.appName('mine').getOrCreate()\n"
    )
    value = await notebook.value(
        f"""
        import sys; sys.path.insert(0, {str(tmp_path)!r})
        import imported_module
        from pyspark import SparkContext
        from pyspark.sql import SparkSession
        [imported_module.session is spark, SparkSession.getActiveSession() is spark, spark.sparkContext is sc,
         SparkContext.getOrCreate() is sc, SparkContext() is sc, type(sc) is SparkContext]
        """
    )
    assert value == "[True, True, True, True, True, True]"


async def test_settings_that_come_too_late_are_named_and_the_others_set(notebook: SparkNotebook) -> None:
    await notebook.with_spark()
    result = await notebook.run(
        """
        from pyspark.sql import SparkSession
        builder = SparkSession.builder.appName("mine").config("spark.executor.memory", "7g")
        builder = builder.config("spark.sql.warehouse.dir", "/there").config("spark.driver.memory", "512m")
        session = builder.config("spark.sql.shuffle.partitions", "3").getOrCreate()
        session.conf.get("spark.sql.shuffle.partitions"), session.conf.get("spark.executor.memory", "unset")
        """
    )
    assert result.value == "('3', 'unset')"
    assert len(re.findall("RuntimeWarning", result.warned)) == 1
    assert "too late for: spark.executor.memory, spark.sql.warehouse.dir." in result.warned
    result = await notebook.run(
        """
        from pyspark import SparkConf, SparkContext
        conf = SparkConf().set("spark.executor.cores", "3").set("spark.sql.x", "y")
        SparkContext("local[7]", conf=conf) is sc
        """
    )
    assert result.value == "True"
    assert "too late for: spark.executor.cores, spark.master." in result.warned
    assert await notebook.value("spark.conf.get('spark.sql.x')") == "'y'"


# -- interrupts ------------------------------------------------------------------------------------------

JOB = """
import time
print("at work", flush=True)
sc.parallelize(range(2), 2).map(lambda _: time.sleep(600)).count()
"""
ACTIVE = "list(sc.statusTracker().getActiveJobsIds())"


async def test_an_interrupt_ends_the_cell_and_its_jobs_and_the_next_cell_works(
    notebook: SparkNotebook,
) -> None:
    await notebook.with_spark()
    for _ in range(2):
        cell = await notebook.begun(JOB, "at work")
        await asyncio.sleep(1)
        await notebook.manager.interrupt_kernel()
        result = await asyncio.wait_for(cell, INTERRUPT_S)
        assert result.error.startswith("KeyboardInterrupt"), result.error
        assert "ERROR" not in result.warned
        assert "sc.parallelize" in result.traceback and "py4j" not in result.traceback
        assert await notebook.value("spark.range(5).count()") == "5"
        assert await notebook.value(ACTIVE) == "[]"


async def test_an_interrupt_of_a_call_that_still_plans_leaves_no_job(notebook: SparkNotebook) -> None:
    await notebook.with_spark()
    # The optimizer evaluates the call of sleep(); there is no job to cancel before that has returned.
    cell = await notebook.begun(
        """
        import time
        rows = sc.parallelize([0], 1).map(lambda n: (time.sleep(600), "")).toDF("none string, text string")
        plan = "SELECT java_method('java.lang.Thread', 'sleep', 3000L) AS slept FROM VALUES (1)"
        both = spark.sql(plan).crossJoin(rows)
        print("at work", flush=True)
        both.collect()
        """,
        "at work",
    )
    await asyncio.sleep(0.5)
    await notebook.manager.interrupt_kernel()
    assert (await cell).error.startswith("KeyboardInterrupt")
    began = "max([-1, *sc.statusTracker().getJobIdsForGroup()])"
    before = int(await notebook.value(began))
    await notebook.becomes(began, lambda latest: int(latest) > before)  # submitted by nobody's cell
    await notebook.becomes(ACTIVE, lambda active: active == "[]")


async def test_an_interrupt_does_not_end_a_streaming_query(notebook: SparkNotebook) -> None:
    await notebook.with_spark()
    result = await notebook.interrupted(
        """
        stream = spark.readStream.format("rate").load().writeStream.format("memory").queryName("rate").start()
        while stream.lastProgress is None: stream.processAllAvailable()
        print("at work", flush=True)
        stream.awaitTermination()
        """,
        "at work",
    )
    assert result.error.startswith("KeyboardInterrupt"), result.error
    assert await notebook.value("stream.isActive, stream.exception()") == "(True, None)"
    await notebook.run("stream.stop()")


# -- stop ------------------------------------------------------------------------------------------------


async def test_stop_ends_work_and_data_but_not_the_application(notebook: SparkNotebook) -> None:
    await notebook.with_spark()
    before = await notebook.value("sc.applicationId")
    assert await notebook.value("frame = spark.range(10).cache(); frame.count()") == "10"
    result = await asyncio.wait_for(notebook.run("spark.stop()"), INTERRUPT_S)
    assert result.error == ""
    assert (await notebook.run("frame.count()")).error.startswith(
        "Py4JError: This object belongs to a Spark session"
    )
    assert await notebook.value("sc._jsc, SparkSession.getActiveSession()") == "(None, None)"
    await notebook.run("stopped, spark = spark, SparkSession.builder.getOrCreate()\nsc = spark.sparkContext")
    assert await notebook.value("stopped.stop(); spark is stopped, spark.range(4).count()") == "(False, 4)"
    assert await notebook.value("sc.applicationId") == before
    assert await notebook.value("sc._jsc.getPersistentRDDs().size()") == "0"
    await notebook.run("sc.stop()\nfrom pyspark import SparkContext\nsc = SparkContext()")
    assert await notebook.value("sc.parallelize([1, 2]).sum()") == "3"


# -- restart ---------------------------------------------------------------------------------------------


async def test_a_restart_keeps_the_application_and_nothing_of_the_old_kernel(
    notebook: SparkNotebook, tmp_path: Path
) -> None:
    await notebook.with_spark()
    await notebook.restart()
    await notebook.with_spark()
    application = await notebook.value("sc.applicationId")
    looks = await leave_all(notebook.value, tmp_path)
    await notebook.restart()
    await notebook.with_spark()
    assert await notebook.value("sc.applicationId") == application
    for look, clean in looks.values():
        await notebook.becomes(look, lambda found, clean=clean: found == clean)  # type: ignore[misc]

    (tmp_path / "shipped.py").write_text("answer = 'new'\n")
    use = "sc.parallelize([0], 1).map(lambda _: __import__('shipped').answer).first()"
    assert "No module named" in (await notebook.run(use)).error
    assert await notebook.value(f"sc.addPyFile({str(tmp_path / 'shipped.py')!r}); {use}") == "'new'"
    for code, value in WORKS:
        assert await notebook.value(code) == value


@pytest.mark.parametrize("part", ["env().rpcEnv().shutdown()", "dagScheduler().eventProcessLoop().stop()"])
async def test_a_context_that_does_not_answer_is_replaced_with_its_application_by_a_restart(
    notebook: SparkNotebook, part: str
) -> None:
    await notebook.with_spark()
    before = await notebook.value("sc.applicationId")
    assert (await notebook.run(f"sc._jsc.sc().{part}")).error == ""
    await notebook.restart()
    told = await notebook.run("sc.applicationId")
    assert told.value != before
    assert "in another Spark application. The SparkContext" in told.warned
    assert await notebook.value("spark.range(3).count()") == "3"


async def test_a_streaming_query_is_work_and_an_idle_application_ends_when_it_has_stopped(
    notebook: SparkNotebook,
) -> None:
    """The last of this notebook."""
    provisioner: Any = notebook.manager.provisioner
    provisioner.idle_timeout_s = 2.0
    await notebook.restart()
    await notebook.with_spark()
    await notebook.run(
        """
        import threading
        stream = spark.readStream.format("rate").load().writeStream.format("noop").start()
        threading.Timer(6, stream.stop).start()
        """
    )
    await asyncio.sleep(4)
    assert await provisioner.poll() is None
    deadline = time.monotonic() + LIMIT_S
    while await provisioner.poll() is None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)
    assert provisioner._link.ending.endswith("and it has run nothing, for 2 s.")


# -- no context ------------------------------------------------------------------------------------------


async def test_a_notebook_without_spark_does_not_know_the_names() -> None:
    async with running(write_kernelspec("none", argv=ARGV, spark_context="none")) as (manager, client):
        notebook = SparkNotebook(manager, client, Path())
        assert (await notebook.run("spark")).error == "NameError: name 'spark' is not defined"


async def test_a_context_that_failed_gives_its_cause_and_the_next_kernel_has_another(tmp_path: Path) -> None:
    conf = {**SMALL, **gate_conf(tmp_path)}
    gate = (tmp_path / SCRIPT).read_text()
    (tmp_path / SCRIPT).write_text("#!/bin/sh\necho 'no gate here'\n")
    name = write_kernelspec("broken", argv=ARGV, master="local[2]", spark_context="eager", spark_conf=conf)
    async with running(name) as (manager, client):
        notebook = SparkNotebook(manager, client, tmp_path / "gate")
        for code in (
            "spark",
            "from pyspark.sql import SparkSession\nSparkSession.builder.getOrCreate()",
            "from pyspark.sql.functions import col\ncol('x')",
        ):
            lines = (await notebook.run(code)).error.splitlines()
            assert lines[0] == "SparkContextFailed: The SparkContext could not be started."
            assert "no gate here" in "".join(lines[1:3])
            assert lines[-1] == "Restart the kernel to try again."
        assert await notebook.value("1 + 1") == "2"
        (tmp_path / SCRIPT).write_text(gate)
        await notebook.restart()
        await notebook.with_spark()
        assert await notebook.value("spark.range(3).count()") == "3"
