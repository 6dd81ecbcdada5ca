"""The environment that spark-submit gets: a whitelist of the server's, never the server's own secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .spark_home import Java

#: Variables that are passed on. ``PYTHONPATH`` is not: Spark would take it along into the container.
NAMES = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TERM",
        "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "XDG_RUNTIME_DIR", "CONDA_PREFIX",
        "VIRTUAL_ENV", "HIVE_CONF_DIR",
    }
)  # fmt: skip
PREFIXES = ("LC_", "HADOOP_", "YARN_", "HDFS_", "SPARK_", "KRB5")

#: Never passed on, whatever the lists above say.
SECRET = re.compile(r"SECRET|PASSWORD|PASSWD|CREDENTIAL|TOKEN(?!_FILE_LOCATION\Z)|API_?KEY|ACCESS_?KEY", re.I)

#: HotSpot options that make a short-lived JVM start sooner; other JVMs ignore what they don't know.
SHORT_LIVED_JVM = "-XX:+IgnoreUnrecognizedVMOptions -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData"

#: For JVMs that live long: the optimizing compiler waits until code is twenty times hotter than it usually
#: does. A starting JVM then spends about 30 percent less processor time, and a loop that matters still gets
#: there within milliseconds. (Leaving that compiler out starts even faster but nearly doubles long queries.)
LONG_LIVED_JVM = (
    "-XX:+IgnoreUnrecognizedVMOptions"
    " -XX:Tier4InvocationThreshold=100000 -XX:Tier4MinInvocationThreshold=12000"
    " -XX:Tier4CompileThreshold=300000 -XX:Tier4BackEdgeThreshold=800000"
)


def base_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What of this environment may be seen by spark-submit and by what it starts."""
    return {
        name: value
        for name, value in environ.items()
        if (name in NAMES or name.startswith(PREFIXES)) and not SECRET.search(name)
    }


def submit_environment(
    environ: Mapping[str, str], java: Java, spark_home: str, submit_options: str
) -> dict[str, str]:
    """The environment of one spark-submit.

    Parameters
    ----------
    environ : mapping of str to str
        The server's environment.
    java : Java
    spark_home : str
    submit_options : str
        Options of the submitting JVM; those in the server's own SPARK_SUBMIT_OPTS come after them and win.
    """
    env = base_environment(environ)
    env["SPARK_HOME"] = spark_home
    if java.home:
        env["JAVA_HOME"] = java.home
    # spark-class runs a JVM only to print the command line of the next one.
    env["SPARK_LAUNCHER_OPTS"] = f"{SHORT_LIVED_JVM} {environ.get('SPARK_LAUNCHER_OPTS', '')}".strip()
    env["SPARK_SUBMIT_OPTS"] = f"{submit_options} {environ.get('SPARK_SUBMIT_OPTS', '')}".strip()
    return env
