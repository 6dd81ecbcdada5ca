"""What kernel processes leave behind in a SparkContext that outlives them, and how it is taken away.

Public API of Spark where there is one; the rest is named with the Spark class it belongs to (3.5.9, 4.3.0).
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import threading
from typing import Any, Callable, Dict, List, Set, Tuple
from urllib.parse import unquote

from py4j.protocol import Py4JError

from . import executors
from .processes import descendants, signal_all

#: Seconds that streaming queries get to stop, all together.
STREAMS_STOP_S = 5.0
#: Seconds that the driver's endpoint has for an answer.
CHECK_S = 10
#: Names of a broadcast's blocks (``org.apache.spark.storage.BroadcastBlockId``).
BROADCAST = re.compile(r"\bbroadcast_(\d+)")
#: The directory in which one Python SparkContext keeps what it broadcasts (``pyspark/context.py``).
PYSPARK_FILES = re.compile(r"pyspark-[0-9a-f-]{36}\Z")
KINDS = ("Files", "Jars", "Archives")


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
        self._kept: Dict[str, Set[str]] = {kind: set(self._added(kind)) for kind in KINDS}
        self._forgotten: Set[str] = set()

    def reset(self, tag: str) -> None:
        """Take away all that a kernel process left; what can't be is told, and does not keep the rest.

        Parameters
        ----------
        tag : str
            The job tag of the kernel process, "" when it never asked for Spark.
        """
        for step in (
            self._stop_streams,
            self._sc.cancelAllJobs,
            self._drop_caches,
            self._drop_broadcasts,
            self._forget_settings,
            self._forget_added,
            self._remove_files,
            lambda: self._end_python_workers(tag),
        ):
            attempt(step)

    def clear(self) -> None:
        """End all work and drop all data: jobs, streaming queries, caches, broadcasts."""
        for step in (self._stop_streams, self._sc.cancelAllJobs, self._drop_caches, self._drop_broadcasts):
            attempt(step)

    def give_fresh_session(self) -> None:
        """Have whoever asks for the default session get one in which nobody has set or named anything."""
        sessions = self._jvm.org.apache.spark.sql.SparkSession
        sessions.clearActiveSession()
        sessions.setDefaultSession(self._root.newSession())

    def work(self) -> Tuple[int, int]:
        """How many jobs and streaming queries run now, and how many jobs there were in all."""
        streams = self._root.sharedState().activeStreamingQueries().size()
        jobs = len(self._jsc.statusTracker().getActiveJobIds())
        return streams + jobs, int(self._sc.dagScheduler().numTotalJobs())

    def check(self) -> None:
        """Ask the driver's endpoints, without which no job runs, even if nobody has stopped the context.

        Raises
        ------
        py4j.protocol.Py4JError
            One of them is gone, or the thread that hands out jobs (it ends when it finds no memory).
        """
        if not self._sc.dagScheduler().eventProcessLoop().isActive():
            raise Py4JError("the thread of its scheduler has ended")
        self._sc.getExecutorMemoryStatus()
        if not self._sc.isLocal():
            jvm = self._jvm
            messages = jvm.org.apache.spark.scheduler.cluster
            question = getattr(messages, "CoarseGrainedClusterMessages$IsExecutorAlive")("0")
            answer = getattr(getattr(jvm.scala.reflect, "ClassTag$"), "MODULE$").Boolean()
            seconds = jvm.java.util.concurrent.TimeUnit.SECONDS
            limit = jvm.scala.concurrent.duration.FiniteDuration(CHECK_S, seconds)
            timeout = jvm.org.apache.spark.rpc.RpcTimeout(limit, "sparkkernels")
            self._sc.schedulerBackend().driverEndpoint().askSync(question, timeout, answer)

    def give_back_executors(self) -> None:
        """Let all executors go, where dynamic allocation will ask for others when there is work again."""
        if self._sc.isLocal() or self._sc.executorAllocationManager().isEmpty():
            return
        executors = self._sc.getExecutorIds()
        if not executors.isEmpty():
            # SparkContext.killExecutors refuses under dynamic allocation; this is what its manager calls.
            self._sc.schedulerBackend().killExecutors(executors, False, False, True)

    def _stop_streams(self) -> None:
        # SharedState.activeStreamingQueries holds the queries of every session.
        queries = self._root.sharedState().activeStreamingQueries()
        running = [queries[key] for key in list(queries)]
        threads = [threading.Thread(target=_stop_query, args=(query,), daemon=True) for query in running]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(STREAMS_STOP_S / len(threads))

    def _drop_caches(self) -> None:
        shared = self._root.sharedState()
        shared.cacheManager().clearCache()
        persistent = self._jsc.getPersistentRDDs()
        for number in list(persistent.keySet()):
            persistent[number].unpersist(False)
        shared.globalTempViewManager().clear()

    def _drop_broadcasts(self) -> None:
        # Spark frees them when the JVM's garbage collector finds them, which may be half an hour later.
        blocks = self._environment("blockManager", "org.apache.spark.storage.BlockManager")
        master = blocks.master()
        for number in {
            int(found) for found in BROADCAST.findall(blocks.blockInfoManager().entries().mkString())
        }:
            master.removeBroadcast(number, True, False)

    def _forget_settings(self) -> None:
        """Undo what code can change for the whole context: Hadoop's settings, log level, defaults."""
        self._jvm.org.apache.spark.sql.SparkSession.setDefaultSession(self._root)
        self._jvm.org.apache.spark.sql.SparkSession.clearActiveSession()
        hadoop = self._sc.hadoopConfiguration()
        hadoop.clear()
        hadoop.addResource(self._hadoop)
        if self._root_log_level() != self._log_level:
            self._sc.setLogLevel(self._log_level)
        getattr(self._sc, "checkpointDir_$eq")(self._jvm.scala.Option.empty())
        self._sc.clearCallSite()
        self._jvm.org.apache.spark.util.AccumulatorContext.clear()

    def _root_log_level(self) -> str:
        return str(self._jvm.org.apache.logging.log4j.LogManager.getRootLogger().getLevel().toString())

    def _added(self, kind: str) -> List[str]:
        keys: str = getattr(self._sc, "list" + kind)().mkString("\n")
        return keys.splitlines()

    def _forget_added(self) -> None:
        """Forget added files, jars and archives, and remove the driver's copies."""
        self._forgotten = set()
        for kind in KINDS:
            added = getattr(self._sc, "added" + kind)()
            for key in set(self._added(kind)) - self._kept[kind]:
                if self.version >= (3, 5):  # a map for each set of artifacts (JobArtifactSet)
                    for owner in added.keysIterator().mkString("\n").splitlines():
                        added.apply(owner).remove(key)
                else:
                    added.remove(key)
                address, _, fragment = key.partition("#")
                name = unquote(address).rpartition("/")[2]
                if kind != "Archives":
                    self._unserve(kind, name)
                if not set(fragment or name) <= {"."} and "/" not in fragment:
                    self._forgotten.add(fragment or name)

    def _unserve(self, kind: str, name: str) -> None:
        if self.version >= (3, 5):
            server = self._environment("rpcEnv", "org.apache.spark.rpc.RpcEnv").fileServer()
            (server.removeFile if kind == "Files" else server.removeJar)(name)

    def _environment(self, part: str, kind: str) -> Any:
        """A part of the driver's ``SparkEnv``, of which py4j could call nothing.

        It looks at all methods of a class to call one, and those of Spark 4.3's mention classes (protobuf's)
        that PyPI's pyspark does not bring along.
        """
        lang = self._jvm.java.lang
        name = lang.Class.forName
        returns = lang.invoke.MethodType.methodType(name(kind))
        lookup = lang.invoke.MethodHandles.publicLookup()
        method = lookup.findVirtual(name("org.apache.spark.SparkEnv"), part, returns)
        return method.invokeWithArguments([self._sc.env()])

    def _remove_files(self) -> None:
        """Remove the driver's copies of added files, and what Python broadcast from files."""
        root = self._jvm.org.apache.spark.SparkFiles.getRootDirectory()
        local = self._jvm.org.apache.spark.util.Utils.getLocalDir(self._sc.conf())
        left = [os.path.join(root, name) for name in self._forgotten]
        left += [os.path.join(local, name) for name in os.listdir(local) if PYSPARK_FILES.match(name)]
        for path in left:
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path, ignore_errors=True)
            elif os.path.lexists(path):
                os.unlink(path)

    def _end_python_workers(self, tag: str) -> None:
        """End the Python workers, which keep the modules that they imported, and remove executors' copies."""
        if self._sc.isLocal():
            signal_all(_worker_daemons(os.getppid()), signal.SIGTERM)
            return

        def clean() -> None:
            executors.clean(self._jvm, self._jsc, tag, sorted(self._forgotten))

        if self._forgotten:
            clean()  # the next kernel may add files of the same names
        elif tag:
            threading.Thread(target=attempt, args=(clean,), name="spark-clean", daemon=True).start()


def attempt(step: Callable[[], Any]) -> None:
    """Take one step of a reset; its failure is told on the container's stderr."""
    try:
        step()
    except (Py4JError, OSError) as error:
        sys.stderr.write("sparkkernels: part of the last kernel may be left: %r\n" % error)


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
