"""Scala kernels: Toree in the application's JVM, as people use it, through one kernel's life."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import AsyncKernelManager

from sparkkernels import ApplicationFailed
from sparkkernels.cli.scala_jars import SCALA_VERSION, host_jar, scala_jars
from tests.cluster.notebook import LIMIT_S, Notebook

from .kernels import becomes, running, write_kernelspec

ARGV = (sys.executable, "-m", "sparkkernels_scala", "-f", "{connection_file}")
CONF = {
    "spark.ui.enabled": "false",
    "spark.driver.memory": "900m",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.repl.class.outputDir": "sparkkernels-repl",
}
CLASSES = "case class P(a: Int); val x = 40"
CLOSURES = "Seq(P(1), P(1)).toDS.map(p => p.a + x).collect().sum"
HOLD = """val held = new Array[Long](1000)
System.getProperties.put("held", new java.lang.ref.WeakReference(held))"""
HELD = """for (_ <- 1 to 3) { System.gc(); System.runFinalization() }
String.valueOf(System.getProperties.remove("held").asInstanceOf[java.lang.ref.WeakReference[AnyRef]].get)"""
END_OF_TOREE = """import org.apache.toree.kernel.protocol.v5.{kernel => toree, _}
import scala.concurrent.duration._
val field = kernel.getClass.getSuperclass.getDeclaredFields.find(_.getName.endsWith("actorLoader")).get
field.setAccessible(true)
val relay = field.get(kernel).asInstanceOf[toree.ActorLoader].load(SystemActorType.KernelMessageRelay)
val actor = scala.concurrent.Await.result(relay.resolveOne(10.seconds), 10.seconds)
val cell = actor.getClass.getMethod("underlying").invoke(actor)
cell.getClass.getMethod("system").invoke(cell).asInstanceOf[akka.actor.ActorSystem].terminate()"""
RUNAWAYS = (
    'println("at work"); Thread.sleep(600000)',
    'println("at work"); sc.parallelize(1 to 4, 4).map { x => Thread.sleep(600000); x }.count()',
    'println("at work"); var n = 0L; while (true) n += 1',
)


def kernelspec(jars: list[str]) -> str:
    return write_kernelspec(
        "scala",
        ARGV,
        master="local[2]",
        spark_context="eager",
        jars=jars,
        scala_version=SCALA_VERSION,
        spark_conf=CONF,
    )


@pytest.mark.timeout(400)
async def test_a_notebook_in_scala(tmp_path: Path) -> None:
    async with running(kernelspec(scala_jars())) as (manager, client):
        notebook = Notebook(manager)
        notebook.client = client
        run, ok = notebook.run, notebook.ok

        async def value(code: str) -> str:
            return (await ok(code)).value

        # the application's Spark
        application = await value("sc.applicationId")
        assert application.startswith("local-")
        assert await value("import spark.implicits._\nSeq(1, 2).toDS.map(_ * 2).reduce(_ + _)") == "6"
        await ok(CLASSES)
        assert await value(CLOSURES) == "82"
        tag = await value('sc.getLocalProperty("spark.job.tags")')
        assert tag.startswith("sparkkernels-kernel-") and "," not in tag

        # what cells print, results, completion
        printed = await ok('println("to out"); System.err.println("to err"); "a " + "value"')
        assert (printed.stdout, printed.stderr, printed.value) == ("to out\n", "to err\n", "a value")
        completed = await client.complete("spark.ra", 8, reply=True, timeout=LIMIT_S)
        assert completed["content"]["matches"] == ["range"]

        # errors, with the lines of the cell
        def traceback(result: Any) -> list[str]:
            return next(m["content"]["traceback"] for m in result.messages if m["msg_type"] == "error")

        failed = await run('def half(n: Int) = {\n  require(n % 2 == 0, "odd")\n  n / 2\n}\n\nhalf(3)')
        assert (failed.ename, failed.evalue) == (
            "java.lang.IllegalArgumentException",
            "requirement failed: odd",
        )
        assert traceback(failed)[-2:] == ["  at half(cell:2)", "  at cell:6"]
        assert (await run("throw new RuntimeException()")).ename == "java.lang.RuntimeException"
        wrong = await run('val right = 1\n\nval wrong: Int = "text"')
        assert wrong.ename == "CompileError" and wrong.evalue == "cell:3: error: type mismatch;"

        # magics
        assert "|    42|" in await value("%%sql\nselect 6 * 7 as answer")
        await ok('spark.range(3).createOrReplaceTempView("mine")')
        assert "|       3|" in await value("%%sql\nselect count(*) from mine")
        assert "nothing_of_this_name" in (await value("%%sql\nselect nothing_of_this_name"))
        html = await ok("%%html\n<b>bold</b>")
        assert any("text/html" in m["content"].get("data", {}) for m in html.messages)
        await ok(f"%AddJar file://{host_jar()}")
        assert await value(CLOSURES) == "82"

        # interrupts: a kernel that does nothing, whose next cell it may come to; and all kinds of cells
        await manager.interrupt_kernel()
        await run("1")
        for cell in RUNAWAYS:
            interrupted = await notebook.interrupted(cell, "at work", after_s=0.5)
            assert (interrupted.ename, interrupted.evalue) == ("Interrupted", "The cell was interrupted.")
            again = await ok('println("heard"); spark.range(5).count()')
            assert (again.stdout, again.value) == ("heard\n", "5")

        # memory that runs out is an error of the cell
        assert (await run("Array.ofDim[Long](3000, 1000000)")).ename == "java.lang.OutOfMemoryError"
        assert await value("1 + 1") == "2"

        # a warm restart: what the ended kernel held is not in the heap any more
        await ok(HOLD)
        await notebook.restart()
        assert await value(HELD) == "null"
        await ok('spark.range(3).createOrReplaceTempView("mine")')

        # a warm restart, out of a cell that no interrupt ends: the same application, and nothing else
        client.execute("while (true) { try { while (true) {} } catch { case _: Throwable => } }")
        await notebook.restart()
        assert (await run("x")).ename == "CompileError"
        assert await value("sc.applicationId") == application
        await ok(CLASSES)
        assert await value(CLOSURES) == "82"
        assert await value('spark.catalog.tableExists("mine")') == "false"
        assert await value('sc.getLocalProperty("spark.job.tags")') != tag

        # an interrupt while a cell is compiled lets the compiler be
        classes = "; ".join(f"case class Q{n}(a: Int)" for n in range(100))
        early = asyncio.ensure_future(run(f"{classes}; Thread.sleep(600000)"))
        await asyncio.sleep(1)
        await manager.interrupt_kernel()
        assert (await early).ename == "Interrupted"
        assert await value(CLOSURES) == "82"

        # Toree's end, as after an OutOfMemoryError on one of its own threads, is the kernel's
        link: Any = manager.provisioner
        client.execute(END_OF_TOREE)
        await becomes(lambda: link._link.kernel.returncode == 1)
        await notebook.restart()
        assert await value("sc.applicationId") == application

        # the kernel's end when a client asks for it
        client.shutdown()
        await becomes(lambda: link._link.kernel.returncode == 0)


async def test_without_toree_the_start_fails_and_says_what_is_missing() -> None:
    manager = AsyncKernelManager(kernel_name=kernelspec([str(host_jar())]))
    with pytest.raises(ApplicationFailed, match="Toree's assembly is not among its jars") as caught:
        await manager.start_kernel()
    assert "install --language scala" in str(caught.value)
