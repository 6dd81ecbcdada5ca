"""The launch spec: one frozen, validated description of what to start."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import ConfigurationError

#: Name of an environment variable, a queue, a Spark setting: strict, since they reach commands and URLs.
ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
QUEUE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*\Z")
CONF_NAME = re.compile(r"spark\.[A-Za-z0-9_.\-]+\Z")
USER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}\Z", re.ASCII)
SCALA_VERSION = re.compile(r"([0-9]+\.[0-9]+)?\Z", re.ASCII)
#: An absolute path that Spark's lists of files take as it is: no list, pattern or fragment in it.
JAR = re.compile(r"/[^,*?\[\]{}\\#]*\.jar\Z")
MASTER = re.compile(r"(yarn|local|local\[(\*|[1-9][0-9]*)\])\Z")


@dataclass(frozen=True)
class LaunchSpec:
    """What to start, complete and checked before any process is.

    Attributes
    ----------
    kernel_id : str
        A UUID; becomes a tag, file names and part of the registration.
    generation : int
        Number of this launch of this kernel, from 1; an older supervisor is superseded.
    master : str
        ``yarn`` or ``local[*]``, ``local[N]``.
    argv : tuple of str
        The kernel's own command with ``{connection_file}`` in it.
    env : mapping of str to str
        Environment of the kernel process; travels over the wire only.
    python : str
        The workers' interpreter: the supervisor's, the kernel's and the executors'.
    spark_home : str
        Spark on this host ("" only with ``spark_context="none"``).
    spark_context : str
        ``eager`` (at once, in the background) or ``none`` (local backend only).
    spark_conf : mapping of str to str
        Spark settings of the person or administrator; they win over the package's own.
    jars : tuple of str
        Absolute paths of files on this host that the application's JVMs get.
    scala_version : str
        The Scala that they were built for, like ``2.12``; "" when it does not matter.
    queue : str or None
        YARN queue, None for the cluster's default.
    proxy_user : str or None
        Whom the kernel runs as, when that is somebody else than the submitter.
    name : str
        The application's name in YARN.
    tags : tuple of str
        YARN application tags.
    launch_timeout_s : float
        From the accepted submit to the kernel's first answer, in seconds.
    registration_timeout_s : float
        What the supervisor gives its first contact with the relay, in seconds.
    orphan_timeout_s : float
        How long a supervisor lives without its server, in seconds.
    """

    kernel_id: str
    generation: int
    master: str
    argv: tuple[str, ...]
    python: str
    spark_home: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    spark_context: str = "eager"
    spark_conf: Mapping[str, str] = field(default_factory=dict)
    jars: tuple[str, ...] = ()
    scala_version: str = ""
    queue: str | None = None
    proxy_user: str | None = None
    name: str = "Jupyter kernel"
    tags: tuple[str, ...] = ()
    launch_timeout_s: float = 120.0
    registration_timeout_s: float = 60.0
    orphan_timeout_s: float = 300.0

    @property
    def is_yarn(self) -> bool:
        """Whether this runs on YARN."""
        return self.master == "yarn"

    def __post_init__(self) -> None:
        check_kernel_id(self.kernel_id)
        if not MASTER.match(self.master):
            raise ConfigurationError(
                f"The Spark master {self.master!r} is not one of yarn, local[*] and local[N].",
                hint="Set `master` in the kernelspec's provisioner config.",
            )
        if not self.argv:
            raise ConfigurationError(
                "The kernelspec has an empty argv.", hint="Reinstall it with `jupyter sparkkernels install`."
            )
        if not all(isinstance(argument, str) and "\0" not in argument for argument in self.argv):
            raise ConfigurationError("The kernelspec's argv has an argument that is no text.")
        if self.spark_context not in ("eager", "none"):
            raise ConfigurationError(f"spark_context is {self.spark_context!r}; it must be eager or none.")
        if self.spark_context == "none" and self.is_yarn:
            raise ConfigurationError(
                "On YARN a kernel can't run with spark_context=none: an application that never makes a"
                " SparkContext is ended by Spark's ApplicationMaster after spark.yarn.am.waitTime (100 s),"
                " or at the latest by the ResourceManager's liveness limit.",
                hint="Use spark_context=eager, or master=local[*] for a kernel without Spark.",
            )
        self._check_jars()
        if self.proxy_user is not None and not USER_NAME.match(self.proxy_user):
            raise ConfigurationError(
                "The user's name is not one that a cluster knows: up to 64 letters, digits, dots and dashes.",
                hint="Correct the mapping of names (the settings user_name_…).",
            )
        if self.queue is not None and not QUEUE_NAME.match(self.queue):
            raise ConfigurationError(f"The queue name {self.queue!r} is not a YARN queue name.")
        for name, value in self.env.items():
            if not ENV_NAME.match(name):
                raise ConfigurationError(f"The kernelspec's env has a malformed variable name: {name!r}.")
            if not isinstance(value, str) or "\0" in value:
                raise ConfigurationError(f"The kernelspec's env has a value for {name} that is no text.")
        for name, value in self.spark_conf.items():
            if not CONF_NAME.match(name) or "\n" in value or "\r" in value or "\0" in value:
                raise ConfigurationError(
                    f"The Spark setting {name!r} is malformed.",
                    hint="Names start with `spark.` and values hold no line break.",
                )
        for what in ("launch_timeout_s", "registration_timeout_s", "orphan_timeout_s"):
            if not 0 < getattr(self, what) < math.inf:
                raise ConfigurationError(f"{what} must be a number of seconds and more than 0.")

    def _check_jars(self) -> None:
        for jar in self.jars:
            if not isinstance(jar, str) or not JAR.match(jar) or not jar.isprintable():
                raise ConfigurationError(
                    f"The kernel's jar {jar!r} is not the absolute path of a .jar file of this host.",
                    hint="A jar that is elsewhere belongs into the Spark setting spark.jars; characters that"
                    " Spark gives a meaning (,*?[]{}\\#) must not be in the path.",
                )
        names = [jar.rpartition("/")[2] for jar in self.jars]
        if len(set(names)) < len(names):
            raise ConfigurationError(
                "Two of the kernel's jars have the same file name, and YARN would take one of them only.",
                hint="Rename one of them, and correct `jars`.",
            )
        if self.jars and self.spark_context == "none":
            raise ConfigurationError(
                "A kernel with spark_context=none has no JVM, so `jars` means nothing to it.",
                hint="Remove `jars`, or use spark_context=eager.",
            )
        if not SCALA_VERSION.match(self.scala_version):
            raise ConfigurationError(
                f"scala_version is {self.scala_version!r}; it must be a version like 2.12, or left out."
            )


def check_kernel_id(kernel_id: str) -> None:
    """Refuse a kernel id that is not a UUID in its canonical form; REST accepts any and uses it in paths."""
    try:
        canonical = str(uuid.UUID(kernel_id)) == kernel_id
    except ValueError:
        canonical = False
    if not canonical:
        raise ConfigurationError(
            "The kernel id is not a UUID.", hint="Let the Jupyter server choose the kernel's id."
        )
