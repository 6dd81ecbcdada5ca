"""What an ended kernel process left in its executors' containers, and how it is taken away from there.

Executors outlive the kernel. Spark gives no message for what is in their directories, or for the Python
workers below them, but it runs any command there as a task (``RDD.pipe``): one task for each executor.
"""

from __future__ import annotations

from typing import Any, Iterable

#: Seconds that all executors together get: one that computes for a task that can't be killed is left alone.
CLEAN_S = 3.0
#: What runs beside each executor: ends the Python workers below its JVM, removes the named files.
CODE = """
import os, shutil, signal, sys
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        with open("/proc/%s/stat" % pid, "rb") as file:
            parent = int(file.read().rpartition(b")")[2].split()[1])
        with open("/proc/%s/cmdline" % pid, "rb") as file:
            command = file.read().split(b"\\0")
        if parent == os.getppid() and command[1:3] == [b"-m", b"pyspark.daemon"]:
            os.kill(int(pid), signal.SIGTERM)
    except (OSError, ValueError, IndexError):
        continue
for name in map(os.path.basename, sys.argv[1:]):
    path = os.path.join(".", name)
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    elif name and os.path.lexists(path):
        os.unlink(path)
"""


def clean(jvm: Any, jsc: Any, names: Iterable[str]) -> None:
    """End the Python workers of all executors, and remove files that were added for them.

    Parameters
    ----------
    jvm : py4j.java_gateway.JVMView
    jsc : py4j.java_gateway.JavaObject
        The ``JavaSparkContext``; nothing runs in it.
    names : iterable of str
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
    cleaning = tasks.pipe([python, "-S", "-c", CODE, *names]).countAsync()
    try:
        cleaning.get(int(CLEAN_S * 1000), jvm.java.util.concurrent.TimeUnit.MILLISECONDS)
    finally:
        cleaning.cancel(True)
