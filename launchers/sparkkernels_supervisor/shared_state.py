"""What kernel processes leave behind in a SparkContext that outlives them, and how it is taken away.

Public API of Spark where there is one; the rest is named with the Spark class it belongs to (seen on 3.5.9).
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Any, List, Set, Tuple

from .processes import descendants, signal_all

#: Seconds that streaming queries get to stop, all together.
STREAMS_STOP_S = 5.0


class SharedState:
    """The state of one SparkContext that is not a session's own; what is there now is kept by every reset.

    Parameters
    ----------
    jvm : py4j.java_gateway.JVMView
        Of the supervisor's gateway.
    jsc : py4j.java_gateway.JavaObject
        The ``JavaSparkContext``.
    root : py4j.java_gateway.JavaObject
        The first ``SparkSession``; kernels use sessions derived from it.
    """

    def __init__(self, jvm: Any, jsc: Any, root: Any) -> None:
        self._jvm = jvm
        self._jsc = jsc
        self._sc = jsc.sc()
        self._root = root
        self.version: Tuple[int, ...] = tuple(int(part) for part in jsc.version().split(".")[:2])
        self._hadoop = jvm.org.apache.hadoop.conf.Configuration(self._sc.hadoopConfiguration())
        self._log_level = self._root_log_level()
        self._files: Set[str] = set(self._added("Files"))
        self._jars: Set[str] = set(self._added("Jars"))
        self._archives: Set[str] = set(self._added("Archives"))

    def clear(self) -> None:
        """End all work and drop all data: jobs, streaming queries, caches, global temporary views."""
        self._stop_streams()
        self._sc.cancelAllJobs()
        shared = self._root.sharedState()
        shared.cacheManager().clearCache()
        persistent = self._jsc.getPersistentRDDs()
        for number in list(persistent.keySet()):
            persistent[number].unpersist(False)
        shared.globalTempViewManager().clear()

    def forget(self) -> None:
        """Undo what code can change for the whole context: files, Hadoop's settings, log level, defaults."""
        self._jvm.org.apache.spark.sql.SparkSession.setDefaultSession(self._root)
        self._jvm.org.apache.spark.sql.SparkSession.clearActiveSession()
        self._forget_added("Files", self._files)
        self._forget_added("Jars", self._jars)
        self._forget_added("Archives", self._archives)
        hadoop = self._sc.hadoopConfiguration()
        hadoop.clear()
        hadoop.addResource(self._hadoop)
        if self._root_log_level() != self._log_level:
            self._sc.setLogLevel(self._log_level)
        getattr(self._sc, "checkpointDir_$eq")(self._jvm.scala.Option.empty())
        self._sc.clearCallSite()

    def give_back_executors(self) -> None:
        """Let all executors go, where dynamic allocation will ask for others when there is work again."""
        if self._sc.isLocal() or self._sc.executorAllocationManager().isEmpty():
            return
        executors = self._sc.getExecutorIds()
        if not executors.isEmpty():
            # SparkContext.killExecutors refuses under dynamic allocation; this is what its manager calls.
            self._sc.schedulerBackend().killExecutors(executors, False, False, True)

    def end_python_workers(self) -> None:
        """End the Python workers below this JVM (local mode's): they keep the modules they imported."""
        signal_all(_worker_daemons(os.getppid()), signal.SIGTERM)

    def _stop_streams(self) -> None:
        # SharedState.activeStreamingQueries holds the queries of every session.
        queries = self._root.sharedState().activeStreamingQueries()
        running = [queries[key] for key in list(queries)]
        threads = [threading.Thread(target=_stop_query, args=(query,), daemon=True) for query in running]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(STREAMS_STOP_S / len(threads))

    def _root_log_level(self) -> str:
        return str(self._jvm.org.apache.logging.log4j.LogManager.getRootLogger().getLevel().toString())

    def _added(self, kind: str) -> List[str]:
        keys: str = getattr(self._sc, "list" + kind)().mkString("\n")
        return keys.splitlines()

    def _forget_added(self, kind: str, keep: Set[str]) -> None:
        added = getattr(self._sc, "added" + kind)()
        for key in self._added(kind):
            if key in keep:
                continue
            if self.version >= (3, 5):  # a map for each set of artifacts (JobArtifactSet)
                for owner in added.keysIterator().mkString("\n").splitlines():
                    added.apply(owner).remove(key)
            else:
                added.remove(key)
            if kind != "Archives":
                self._forget_copy(kind, key.split("#")[0].rpartition("/")[2])

    def _forget_copy(self, kind: str, name: str) -> None:
        if self.version >= (3, 5):
            server = self._jvm.org.apache.spark.SparkEnv.get().rpcEnv().fileServer()
            (server.removeFile if kind == "Files" else server.removeJar)(name)
        copy = os.path.join(self._jvm.org.apache.spark.SparkFiles.getRootDirectory(), name)
        if os.path.isfile(copy):
            os.unlink(copy)


def _stop_query(query: Any) -> None:
    query.stop()


def _worker_daemons(jvm_pid: int) -> List[int]:
    daemons = []
    for pid in descendants(jvm_pid):
        try:
            with open("/proc/%d/cmdline" % pid, "rb") as file:
                arguments = file.read().split(b"\0")
        except OSError:
            continue  # it ended meanwhile
        if arguments[1:3] == [b"-m", b"pyspark.daemon"]:
            daemons.append(pid)
    return daemons
