"""Kernels that outlive their delegation tokens, on a cluster where those last less than a minute."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from .conftest import LIFE_S, Kernels, act_for, until
from .harness import Cluster
from .notebook import Notebook

pytestmark = [pytest.mark.timeout(600)]

#: One executor from the start to the end, others when a job has more tasks.
EXECUTORS = {
    "spark.executor.cores": "1",
    "spark.executor.memory": "512m",
    "spark.dynamicAllocation.minExecutors": "1",
    "spark.dynamicAllocation.maxExecutors": "2",
    "spark.dynamicAllocation.executorIdleTimeout": "20s",
}
#: A DataFrame is written and read; the containers of the executors that read, slowly, so that all take part.
DATAFRAME = """
def read(rows):
    import os, time
    rows = list(rows)
    time.sleep({pause})
    return [(os.environ["CONTAINER_ID"], len(rows))]
spark.range(800, numPartitions=8).write.mode("overwrite").parquet("data.parquet")
spark.conf.set("spark.sql.files.openCostInBytes", "128m")
parts = spark.read.parquet("data.parquet").rdd.mapPartitions(read).collect()
assert sum(count for _, count in parts) == 800
print(*sorted({{container for container, _ in parts}}))
"""
#: What `hdfs dfs` is on a worker that has nothing but Spark's jars. As with the JVM in which pyarrow uses
#: HDFS, it is HADOOP_TOKEN_FILE_LOCATION that gives it its tokens.
PYTHON = """
import os, subprocess
def hdfs_dfs(*arguments, data=None):
    jars = "__spark_conf__/__hadoop_conf__:__spark_libs__/*"
    command = [os.path.join(os.environ["JAVA_HOME"], "bin", "java"), "-Xmx128m"]
    command += ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", jars]
    command += ["org.apache.hadoop.fs.FsShell", *arguments]
    done = subprocess.run(command, input=data, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise OSError(done.stderr)
    return done.stdout
hdfs_dfs("-put", "-f", "-", "/user/{user}/python.txt", data="written at {time}")
print(hdfs_dfs("-cat", "/user/{user}/python.txt"))
"""
DRIVER = """
path = sc._jvm.org.apache.hadoop.fs.Path("driver.txt")
out = path.getFileSystem(sc._jsc.hadoopConfiguration()).create(path)
out.close()
print(path.getFileSystem(sc._jsc.hadoopConfiguration()).exists(path))
"""
TOKEN_FILE = "import os; print(oct(os.stat(os.environ['HADOOP_TOKEN_FILE_LOCATION']).st_mode))"
KINDS = """
file = sc._jvm.java.io.File(os.environ["HADOOP_TOKEN_FILE_LOCATION"])
credentials = sc._jvm.org.apache.hadoop.security.Credentials
found = credentials.readTokenStorageFile(file, sc._jsc.hadoopConfiguration())
print(*sorted(str(token.getKind()) for token in found.getAllTokens().toArray()))
"""


@pytest.fixture(scope="module")
def secure_cluster(short_lived_cluster: Cluster) -> Cluster:
    """In place of the one with everyday lifetimes."""
    return short_lived_cluster


async def containers(notebook: Notebook, pause: float = 0.0) -> set[str]:
    """Write and read a DataFrame; the containers that read it."""
    return set((await notebook.ok(DATAFRAME.format(pause=pause))).stdout.split())


async def all_of_hdfs(notebook: Notebook, user: str) -> None:
    """Driver and Python write and read HDFS."""
    assert (await notebook.ok(DRIVER)).stdout == "True\n"
    now = time.time()
    code = PYTHON.replace("{time}", str(now)).replace("{user}", user)
    assert (await notebook.ok(code)).stdout == f"written at {now}\n"


async def test_kernels_go_on_after_three_lives_of_their_tokens(
    secured: Cluster,
    secure_kernels: Kernels,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Alice's by the service; beside it bob's by a ticket of his own, which he loses and gets back."""
    caplog.set_level(logging.WARNING)
    ticket = tmp_path / "ticket"
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{ticket}")
    secured.kinit("bob", ticket)
    async with AsyncExitStack() as stack:
        with monkeypatch.context() as as_service:
            act_for(as_service, secured, "alice")
            alice = await stack.enter_async_context(secure_kernels(spark_conf=EXECUTORS))
        bob = await stack.enter_async_context(secure_kernels())
        old = await containers(alice)
        begun_at = time.monotonic()  # later than the first token, so that the three lives are whole
        cut(alice)
        await asyncio.gather(
            bob_without_a_ticket(secured, bob, ticket, caplog), goes_on(alice, old, begun_at)
        )


def cut(notebook: Notebook) -> None:
    """Cut the connection to the supervisor, which dials again."""
    link = notebook.provisioner._link
    link._loop.call_soon_threadsafe(lambda: link._session.connection.abort(ConnectionError("cut")))


async def goes_on(notebook: Notebook, old: set[str], begun_at: float) -> None:
    """After three lives all still works, on old executors and on new ones, and in a new kernel process."""
    while (left := begun_at + 3 * LIFE_S - time.monotonic()) > 0:
        await notebook.ok(f"sc.parallelize([1], 1).count(); import time; time.sleep({min(left, 5)})")
    await all_of_hdfs(notebook, "alice")
    now = await containers(notebook, 2.0)
    assert old & now, "the old executor"
    assert now - old, "a new one"
    assert (await notebook.ok(TOKEN_FILE)).stdout == "0o100600\n"
    assert (await notebook.ok(KINDS)).stdout == "HDFS_DELEGATION_TOKEN YARN_AM_RM_TOKEN\n"
    before = notebook.application_id
    await notebook.restart()
    assert notebook.application_id == before
    await all_of_hdfs(notebook, "alice")
    assert await containers(notebook)


async def bob_without_a_ticket(
    cluster: Cluster, notebook: Notebook, ticket: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With his ticket his tokens are kept fresh; without, he is told before they end, and then they do."""
    await asyncio.sleep(LIFE_S)
    await all_of_hdfs(notebook, "bob")
    ticket.unlink()
    gone_at = time.monotonic()
    await until(lambda: "gets no fresh HDFS tokens" in caplog.text, "the server's log says so", LIFE_S)
    told = ""
    while "HDFS access" not in told:
        assert time.monotonic() < gone_at + LIFE_S, "he is told while he still has access"
        told = (await notebook.ok("import time; time.sleep(1)")).stderr
    assert re.fullmatch(
        r"HDFS access of this kernel ends at \d\d:\d\d \S+\. The Jupyter server's account has no Kerberos"
        r" ticket, and the cluster wants one\. Get one where the Jupyter server runs: kinit \S+\n",
        told,
    )
    assert (await notebook.ok(DRIVER)).stdout == "True\n"
    await asyncio.sleep(gone_at + LIFE_S + 3 - time.monotonic())
    ended = await notebook.run(DRIVER)
    assert "is expired" in ended.evalue or "InvalidToken" in ended.evalue, "so it is tokens that all hangs on"
    cluster.kinit("bob", ticket)
    deadline = time.monotonic() + 20
    while (again := await notebook.run(DRIVER)).status != "ok":
        assert time.monotonic() < deadline, again.evalue
        await asyncio.sleep(1)
