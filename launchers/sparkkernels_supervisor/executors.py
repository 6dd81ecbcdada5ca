"""What an ended kernel process left in its executors' containers, and how it is taken away from there.

Executors outlive the kernel. Spark gives no message for what is in their directories, or for the Python
workers below them, but it runs any command there as a task (``RDD.pipe``): one task for each executor.
"""

from __future__ import annotations

from typing import Any, Sequence

#: The variable with which a kernel's launcher tells its Python workers from others' (PROTOCOL.md, section 6).
WORKERS = "SPARKKERNELS_WORKERS"
#: Seconds that all executors get to remove files, for which the next kernel has to wait; and to end workers.
#: A task of Python's that was cancelled holds its core for 2 s more (``spark.python.task.killTimeout``).
FILES_S, WORKERS_S = 3.0, 60.0
#: What runs beside each executor: ends one kernel's Python workers below its JVM, removes the named files.
CODE = """
import os, shutil, signal, sys
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        with open("/proc/%s/stat" % pid, "rb") as file:
            parent = int(file.read().rpartition(b")")[2].split()[1])
        with open("/proc/%s/cmdline" % pid, "rb") as file:
            command = file.read().split(b"\\0")
        if parent == os.getppid() and command[1:3] == [b"-m", b"pyspark.daemon"]:
            with open("/proc/%s/environ" % pid, "rb") as file:
                if sys.argv[1].encode() in file.read().split(b"\\0"):
                    os.kill(int(pid), signal.SIGTERM)
    except (OSError, ValueError, IndexError):
        continue
for name in map(os.path.basename, sys.argv[2:]):
    path = os.path.join(".", name)
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    elif name and os.path.lexists(path):
        os.unlink(path)
"""


def clean(jvm: Any, jsc: Any, tag: str, names: Sequence[str]) -> None:
    """End an ended kernel's Python workers beside all executors, and remove files that it added.

    Parameters
    ----------
    jvm : py4j.java_gateway.JVMView
    jsc : py4j.java_gateway.JavaObject
        The ``JavaSparkContext``; nothing runs in it.
    tag : str
        The kernel process's job tag, which its workers have in their environment.
    names : sequence of str
        Names in the executors' directories (``SparkFiles.get``).

    Raises
    ------
    py4j.protocol.Py4JError
        They did not all answer in time, or a task failed.
    """
    sc = jsc.sc()
    executors = sc.getExecutorIds().size()
    if not executors:
        return
    python = sc.conf().get("spark.pyspark.python", "python3")
    # Free executors get one task each: the scheduler hands tasks out in turn (TaskSchedulerImpl).
    tasks = jsc.parallelize(list(range(executors)), executors)
    cleaning = tasks.pipe([python, "-S", "-c", CODE, "%s=%s" % (WORKERS, tag), *names]).countAsync()
    try:
        cleaning.get(
            int(1000 * (FILES_S if names else WORKERS_S)), jvm.java.util.concurrent.TimeUnit.MILLISECONDS
        )
    finally:
        cleaning.cancel(True)
