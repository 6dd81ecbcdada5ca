"""The application's Spark, seen from the supervisor: its SparkContext, and what kernel processes use of it.

Speaks py4j with the JVM that forked the supervisor; pyspark is never imported here. All methods but
:meth:`SparkApplication.start` block, and may be called from any thread and several at a time.
"""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from py4j.java_gateway import GatewayParameters, JavaGateway
from py4j.protocol import Py4JError, Py4JJavaError

from . import tokens
from .shared_state import SharedState

#: What pyspark's own SparkContext sets unless it is set (pyspark/context.py); and ``spark.files.overwrite``,
#: so that a new kernel process may add a file of the same name as the old one did (``Utils.downloadFile``).
DEFAULTS = {
    "spark.serializer.objectStreamReset": "100",
    "spark.rdd.compress": "true",
    "spark.files.overwrite": "true",
}
#: Seconds for which jobs are looked for that calls of an ended kernel still submit, and between two looks.
SWEEP_S, SWEEP_EVERY_S = 30.0, 0.5
#: Seconds for telling the ApplicationMaster why it fails.
FAIL_S = 5.0
#: Seconds between two looks whether somebody stopped the context.
LOOK_EVERY_S = 5.0
#: Lines of a Java stack that are worth reading.
STACK_LINES = 6

Status = Dict[str, Any]


class SparkStopped(RuntimeError):
    """The application has no SparkContext that works."""


def connect(environ: Mapping[str, str]) -> SparkApplication:
    """Connect to the JVM that forked this process.

    Parameters
    ----------
    environ : mapping of str to str
        Has ``PYSPARK_GATEWAY_PORT`` and ``PYSPARK_GATEWAY_SECRET`` (Spark's ``PythonRunner``), and on YARN
        ``CONTAINER_ID``, from which the application's id follows.
    """
    # No ClientServer, as pyspark has in its place: its finalizer thread wakes ten times a second.
    parameters = GatewayParameters(
        port=int(environ["PYSPARK_GATEWAY_PORT"]),
        auth_token=environ["PYSPARK_GATEWAY_SECRET"],
        auto_convert=True,
    )
    return SparkApplication(JavaGateway(gateway_parameters=parameters), _application_id(environ))


class SparkApplication:
    """One SparkContext and the kernel processes that use it, one after another.

    Parameters
    ----------
    gateway : py4j.java_gateway.JavaGateway
        To the JVM.
    application_id : str
        Its id on YARN; "" elsewhere, where it is not known before the context is.

    Attributes
    ----------
    status : dict
        ``state`` (``starting``, ``ready``, ``failed`` or ``stopped``), ``text``, ``application_id``, ``ui``;
        replaced as a whole at each change.
    """

    def __init__(self, gateway: Any, application_id: str = "") -> None:
        self._jvm = gateway.jvm
        self._jsc: Any = None
        self._shared: Optional[SharedState] = None
        self._kernel_gateway: Optional[_KernelGateway] = None
        self._r_backend: Optional[_RBackend] = None
        self._lock = threading.Lock()
        self._on_yarn = bool(application_id)
        self._on_state: Callable[[Status], object] = lambda status: None
        whose = "the application %s" % application_id if application_id else "the application"
        self.status: Status = {
            "state": "starting",
            "text": "%s is starting its SparkContext" % whose,
            "application_id": application_id,
            "ui": "",
        }

    def start(self, on_state: Callable[[Status], object]) -> None:
        """Create the SparkContext and its first session in the background.

        Parameters
        ----------
        on_state : callable
            Called with :attr:`status` at each change, on the thread where it happened.
        """
        self._on_state = on_state
        threading.Thread(target=self._create, name="spark-context", daemon=True).start()

    def gateway_for_kernel(self) -> Tuple[int, str]:
        """Port and secret of the running kernel's own py4j gateway; the same until :meth:`close_kernel`.

        Raises
        ------
        SparkStopped
            There is no context (any more).
        """
        self._require_context()
        with self._lock:
            if self._kernel_gateway is None:
                self._kernel_gateway = _KernelGateway(self._jvm)
            return self._kernel_gateway.port, self._kernel_gateway.secret

    def backend_for_kernel(self) -> Tuple[int, str]:
        """Port and secret of the running kernel's own SparkR backend; the same until :meth:`close_kernel`.

        Raises
        ------
        SparkStopped
            There is no context (any more).
        """
        shared = self._require_context()
        tag = kernel_tag(self.gateway_for_kernel()[1]) if shared.version >= (3, 5) else ""
        with self._lock:
            if self._r_backend is None:
                shared.give_fresh_session()  # SparkR takes the default session
                self._r_backend = _RBackend(self._jvm, self._jsc.sc(), tag)
            return self._r_backend.port, self._r_backend.secret

    def close_kernel(self) -> str:
        """Shut the kernel's gateway, so that nothing in the JVM lives on for its sake; gives its job tag."""
        with self._lock:
            gateway, self._kernel_gateway = self._kernel_gateway, None
            backend, self._r_backend = self._r_backend, None
        if backend is not None:
            backend.close()
        if gateway is None:
            return ""
        gateway.close()
        if self._shared is not None and self._shared.version >= (3, 5):
            threading.Thread(target=self._sweep, args=(gateway.tag,), name="spark-sweep", daemon=True).start()
        return gateway.tag

    def interrupt(self, tag: str, all_jobs: bool = False) -> None:
        """Cancel the jobs of the cell with this tag; or all jobs, which an older Spark than 3.5 always does.

        Parameters
        ----------
        tag : str
            "" when no cell runs that used Spark: nothing is cancelled then.
        all_jobs : bool
            Cancel every job of the application.
        """
        shared = self._require_context()
        if all_jobs or (tag and shared.version < (3, 5)):
            self._jsc.sc().cancelAllJobs()
        elif tag:
            self._jsc.sc().cancelJobsWithTag(tag)

    def release(self) -> None:
        """Do what ``spark.stop()`` means: end all work, drop all data, give the executors back."""
        shared = self._require_context()
        shared.clear()
        shared.give_back_executors()

    def reset(self) -> None:
        """Take away what an ended kernel process left: gateway, work, data, files, settings and workers.

        Raises
        ------
        SparkStopped
            There is no context that works; the application is of no more use.
        """
        tag = self.close_kernel()
        shared = self._require_context()
        try:
            shared.check()
        except Py4JError as error:
            self._change(
                "stopped", "The SparkContext does not work any more: %s" % explain(error).splitlines()[0]
            )
            raise SparkStopped(self.status["text"]) from error
        shared.reset(tag)

    def work(self) -> Tuple[int, int]:
        """How many Spark jobs and streaming queries run now, and how many jobs there were in all.

        Raises
        ------
        SparkStopped
        """
        return self._require_context().work()

    def merge_tokens(self, path: str, credentials: bytes) -> bytes:
        """What is in a file of Hadoop's tokens, with these in place of older ones."""
        return tokens.merge(self._jvm, path, credentials)

    def use_tokens(self, credentials: bytes) -> None:
        """Have driver and executors use these tokens from now on.

        Raises
        ------
        SparkStopped
        """
        self._require_context()
        tokens.use(self._jvm, self._jsc.sc(), credentials)

    def is_stopped(self) -> bool:
        """Whether the context was stopped by somebody, a thing that no later context of the JVM can mend."""
        text = "The SparkContext was stopped."
        try:
            stopped = self._jsc is not None and bool(self._jsc.sc().isStopped())
        except Py4JError as error:
            stopped = True
            text = "The application's JVM does not answer any more: %s" % error
        if stopped and self.status["state"] == "ready":
            self._change("stopped", text)
        return stopped

    def stop(self, timeout_s: float = 10.0) -> bool:
        """Close the kernel's gateway and stop the context; whether that ended in time.

        Call it before the supervisor ends: an open gateway keeps the JVM of local mode alive.

        Parameters
        ----------
        timeout_s : float
            Seconds to wait at most.
        """
        thread = threading.Thread(target=self._stop, name="spark-stop", daemon=True)
        thread.start()
        thread.join(timeout_s)
        if not thread.is_alive() and self.status["state"] == "ready":
            self._change("stopped", "The SparkContext was stopped.")
        return not thread.is_alive()

    def fail(self, code: int, text: str) -> None:
        """Let YARN's diagnostics say why the application fails, and end it; returns within seconds.

        Parameters
        ----------
        code : int
            The exit code.
        text : str
            The reason. By itself Spark would only say with which exit code its Python process ended.

        Notes
        -----
        ``org.apache.spark.deploy.yarn.ApplicationMaster.finish`` is private to Spark but public in bytecode
        (seen in 3.5.9 and 4.3.0). Outside a container of YARN nothing is done.
        """
        if self._on_yarn:
            thread = threading.Thread(target=self._fail, args=(code, text), daemon=True)
            thread.start()
            thread.join(FAIL_S)

    def _fail(self, code: int, text: str) -> None:
        try:
            yarn = self._jvm.org.apache.spark.deploy.yarn
            companion = getattr(getattr(yarn, "ApplicationMaster$"), "MODULE$")
            master = getattr(companion, "org$apache$spark$deploy$yarn$ApplicationMaster$$master")()
            failed = self._jvm.org.apache.hadoop.yarn.api.records.FinalApplicationStatus.FAILED
            master.finish(failed, code, text)
        except (Py4JError, AttributeError, TypeError) as error:  # another Spark: it says the exit code itself
            sys.stderr.write("sparkkernels: YARN could not be told the reason: %r\n" % error)

    def _stop(self) -> None:
        try:
            self.close_kernel()
            if self._jsc is not None:
                self._jsc.stop()
        except Py4JError as error:
            self._change("stopped", "The JVM did not stop its SparkContext: %s" % error)

    def _create(self) -> None:
        self._on_state(self.status)
        try:
            spark = self._jvm.org.apache.spark
            conf = spark.SparkConf(True)
            for name, value in DEFAULTS.items():
                conf.setIfMissing(name, value)
            jsc = spark.api.java.JavaSparkContext.fromSparkContext(spark.SparkContext.getOrCreate(conf))
            root = spark.sql.SparkSession.builder().getOrCreate()
            self._shared = SharedState(self._jvm, jsc, root)
            self._jsc = jsc
            ui = jsc.sc().uiWebUrl()
            self.status = dict(
                self.status, application_id=jsc.sc().applicationId(), ui="" if ui.isEmpty() else ui.get()
            )
        except Exception as error:
            self._change("failed", explain(error))
            raise  # onto the container's stderr, for the administrator
        else:
            self._change("ready", "The application %s is ready." % self.status["application_id"])
            while not self.is_stopped():
                time.sleep(LOOK_EVERY_S)

    def _change(self, state: str, text: str) -> None:
        self.status = dict(self.status, state=state, text=text)
        self._on_state(self.status)

    def _require_context(self) -> SharedState:
        if self._shared is None or self.is_stopped():
            raise SparkStopped(self.status["text"])
        return self._shared

    def _sweep(self, tag: str) -> None:
        """Cancel what calls of a killed kernel still submit when it is gone: one may have been planning."""
        end = time.monotonic() + SWEEP_S
        try:
            while time.monotonic() < end:
                self._jsc.sc().cancelJobsWithTag(tag)
                time.sleep(SWEEP_EVERY_S)
        except Py4JError:
            return  # the context or the JVM has ended, and the jobs with it


class _KernelGateway:
    """A py4j server in the JVM for one kernel process (``org.apache.spark.api.python.Py4JServer``)."""

    def __init__(self, jvm: Any) -> None:
        self._server = jvm.org.apache.spark.api.python.Py4JServer(jvm.org.apache.spark.SparkConf(True))
        self._server.start()
        self.port: int = self._server.getListeningPort()
        self.secret: str = self._server.secret()
        self.tag = kernel_tag(self.secret)

    def close(self) -> None:
        self._server.shutdown()


class _RBackend:
    """What SparkR talks to (``org.apache.spark.api.r.RBackend``, private to Spark, tried on 3.5.9, 4.3.0)."""

    def __init__(self, jvm: Any, sc: Any, tag: str) -> None:
        self._backend = jvm.org.apache.spark.api.r.RBackend()
        if tag:
            sc.addJobTag(tag)  # its threads, on which R's calls run, have it from the one that starts them
        try:
            bound = self._backend.init()
        finally:
            if tag:
                sc.removeJobTag(tag)
        self.port: int = bound._1()
        self.secret: str = bound._2().secret()

    def close(self) -> None:
        self._backend.close()


def kernel_tag(secret: str) -> str:
    """The Spark job tag on all jobs of the kernel process whose gateway has this secret."""
    return "sparkkernels-kernel-" + hashlib.sha256(secret.encode()).hexdigest()[:16]


def explain(error: BaseException) -> str:
    """Say why something failed: the root cause in words, then where it was thrown.

    Parameters
    ----------
    error : BaseException
        For a Java exception (``Py4JJavaError``) the chain of causes is followed to its end.
    """
    if not isinstance(error, Py4JJavaError):
        return "%s: %s" % (type(error).__name__, error)
    chain = [error.java_exception]
    while len(chain) < 20:
        cause = chain[-1].getCause()
        if cause is None:
            break
        chain.append(cause)
    stack = ["    at %s" % frame.toString() for frame in list(chain[-1].getStackTrace())[:STACK_LINES]]
    outer: List[str] = ["  caused %s" % item.toString() for item in chain[-2::-1]]
    return "\n".join([chain[-1].toString()] + stack + outer)


def _application_id(environ: Mapping[str, str]) -> str:
    """The YARN application of ``container_[e<epoch>_]<cluster>_<number>_<attempt>_<container>``."""
    parts = environ.get("CONTAINER_ID", "").split("_")
    if len(parts) < 5:
        return ""
    return "application_%s_%s" % (parts[-4], parts[-3])
