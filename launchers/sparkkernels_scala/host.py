"""The Scala host (``launchers/scala``) in the application's JVM, called through py4j."""

from __future__ import annotations

from typing import Any

from py4j.java_gateway import GatewayParameters, JavaGateway
from py4j.protocol import Py4JError

from sparkkernels_supervisor.context import explain, kernel_tag

HOST = "sparkkernels.toree.Host"
TOREE = "org.apache.toree.boot.KernelBootstrap"
#: The Scala that Toree 0.5.0 and the host are built for.
SCALA = "2.12"


class NoHost(RuntimeError):
    """The JVM can't run Scala kernels; says why in a whole sentence."""


class Host:
    """The host of one kernel process.

    Parameters
    ----------
    port : int
    secret : str
        Of the kernel's own py4j gateway.

    Raises
    ------
    NoHost
    """

    def __init__(self, port: int, secret: str) -> None:
        parameters = GatewayParameters(port=port, auth_token=secret)
        self._jvm: Any = JavaGateway(gateway_parameters=parameters).jvm
        self._tag = kernel_tag(secret)
        version = self._scala_version()
        if not version.startswith(SCALA + "."):
            raise NoHost(
                "Toree runs on Scala %s, and this Spark is built with Scala %s."
                " Install the kernelspec for a Spark that is built with Scala %s, such as Spark 3.5."
                % (SCALA, version, SCALA)
            )
        for name, what in ((TOREE, "Toree's assembly"), (HOST, "the host of Scala kernels")):
            if not self._has(name):
                raise NoHost(
                    "The application's JVM has no class %s: %s is not among its jars."
                    " Install the kernelspec again with `jupyter sparkkernels install --language scala`."
                    % (name, what)
                )
        self._host = self._jvm.sparkkernels.toree.Host

    def start(self, connection_file: str, leash_port: int, leash_token: str) -> None:
        """Start Toree; returns when it answers.

        Raises
        ------
        NoHost
        """
        try:
            self._host.start(connection_file, leash_port, leash_token, self._tag)
        except Py4JError as error:
            raise NoHost("Toree could not be started in Spark's JVM: %s" % explain(error)) from error

    def interrupt(self) -> None:
        """End the running cell and its Spark jobs."""
        self._host.interrupt()

    def _has(self, name: str) -> bool:
        try:
            self._jvm.java.lang.Thread.currentThread().getContextClassLoader().loadClass(name)
        except Py4JError:
            return False
        return True

    def _scala_version(self) -> str:
        return str(self._jvm.scala.util.Properties.versionNumberString())
