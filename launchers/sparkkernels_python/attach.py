"""One share of this process in the application's SparkContext: made, and stopped."""

from __future__ import annotations

import os
import sys
from typing import Any, Dict

from .calls import Calls
from .cells import Cells

#: Gives this process's tasks Python workers of their own: those of an earlier kernel process keep its
#: modules. Spark starts other workers for another environment (``PythonWorkerFactory``).
WORKERS = "SPARKKERNELS_WORKERS"


class Attachment:
    """pyspark's SparkContext and SparkSession over the JVM's running SparkContext.

    To be made on a thread that is not the main one, where pyspark would install a SIGINT handler.

    Parameters
    ----------
    port : int
        Of the py4j gateway that the supervisor opened for this process.
    secret : str
        The gateway's.
    cells : Cells
        What runs.

    Raises
    ------
    RuntimeError
        The JVM has no SparkContext.
    """

    def __init__(self, port: int, secret: str, cells: Cells) -> None:
        from pyspark import SparkConf, SparkContext
        from pyspark.sql import SparkSession

        self._gateway = _connect(port, secret)
        self._calls = Calls(self._gateway, secret, cells)
        jvm = self._gateway.jvm
        companion = getattr(getattr(jvm.org.apache.spark, "SparkContext$"), "MODULE$")
        running = companion.getActive()  # getOrCreate would make another SparkContext when there is none
        if running.isEmpty():
            raise RuntimeError("The application's SparkContext was stopped.")
        jsc = jvm.JavaSparkContext.fromSparkContext(running.get())
        self.context: Any = SparkContext(gateway=self._gateway, jsc=jsc, conf=SparkConf(_jconf=jsc.getConf()))
        self.context.environment[WORKERS] = self._calls.kernel_tag
        # A new session has no settings, functions and temporary views but the application's own.
        jsession = jvm.org.apache.spark.sql.SparkSession.builder().getOrCreate().newSession()
        self.session = SparkSession(self.context, jsession)
        version = tuple(int(part) for part in jsc.version().split(".")[:2])
        self._calls.tag_jobs(jsc.sc(), jsession, version >= (3, 5))

    def close(self) -> None:
        """Make pyspark's objects stopped ones; the JVM's SparkContext goes on."""
        from pyspark import SparkContext

        self._calls.stopped = True
        if self._gateway.__dict__.get("_callback_server") is not None:
            self._gateway.shutdown_callback_server()
        self.context.stop_here()
        SparkContext._gateway = None
        SparkContext._jvm = None
        for module, owner, name in (
            ("pyspark.sql.session", "SparkSession", "_instantiatedSession"),
            ("pyspark.sql.session", "SparkSession", "_activeSession"),
            ("pyspark.sql.context", "SQLContext", "_instantiatedContext"),
        ):
            if module in sys.modules:
                setattr(getattr(sys.modules[module], owner), name, None)


def _connect(port: int, secret: str) -> Any:
    """Connect to the JVM as pyspark does: it reads where to from the environment."""
    from pyspark import java_gateway

    launch: Any = java_gateway.launch_gateway
    names: Dict[str, str] = {"PYSPARK_GATEWAY_PORT": str(port), "PYSPARK_GATEWAY_SECRET": secret}
    os.environ.update(names)
    try:
        return launch()
    finally:
        for name in names:
            del os.environ[name]
