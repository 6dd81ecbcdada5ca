"""The software a cluster runs on: Hadoop's jars from Maven Central, and a Java 17."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.cluster.harness.errors import HarnessError

#: Group, name and version on Maven Central.
Artifact = tuple[str, str, str]

HADOOP_VERSION = "3.5.0"
MAVEN_TIMEOUT_S = 15 * 60

_HADOOP_ARTIFACTS = (
    "hadoop-common",
    "hadoop-hdfs",
    "hadoop-hdfs-client",
    "hadoop-yarn-server-resourcemanager",
    "hadoop-yarn-server-nodemanager",
    # The ResourceManager loads classes of it even when the timeline service is off.
    "hadoop-yarn-server-timelineservice",
    "hadoop-yarn-client",
)
_LOGGING = ("org.slf4j", "slf4j-reload4j", "1.7.36")
_ALONE = "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>"
_PLUGIN = ("org.apache.maven.plugins", "maven-dependency-plugin", "3.8.1")


def cache_directory() -> Path:
    """Give the directory for what outlives a cluster, below ``XDG_CACHE_HOME``."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sparkkernels-tests"


def java_home() -> Path:
    """Find a Java 17: Hadoop 3.5 needs 17 or newer, Spark 3.5 needs 17 or older.

    Returns
    -------
    Path
        ``JAVA_HOME`` if it is a Java 17, else the home of the ``java`` on PATH.

    Raises
    ------
    HarnessError
        When neither is a Java 17.
    """
    candidates = []
    if home := os.environ.get("JAVA_HOME"):
        candidates.append(Path(home))
    if command := shutil.which("java"):
        candidates.append(Path(command).resolve().parent.parent)
    for candidate in candidates:
        if (candidate / "bin" / "java").is_file() and _java_version(candidate) == "17":
            return candidate
    seen = ", ".join(f"{c} is version {_java_version(c) or 'unknown'}" for c in candidates) or "there is none"
    raise HarnessError(
        f"The test cluster needs Java 17 in JAVA_HOME or on PATH, but {seen}: "
        "install Debian's package openjdk-17-jre-headless."
    )


def hadoop_jars() -> Path:
    """Give the directory with Hadoop's jars, downloaded once with Maven.

    Returns
    -------
    Path
        A directory of about 180 jars, 100 MB, whose name changes with the list of artifacts.

    Raises
    ------
    HarnessError
        When Maven is missing or fails.
    """
    hadoop = [("org.apache.hadoop", name, HADOOP_VERSION) for name in _HADOOP_ARTIFACTS]
    pom = _pom([_dependency(artifact) for artifact in [*hadoop, _LOGGING]])
    digest = hashlib.sha256(pom.encode()).hexdigest()[:12]

    def make(directory: Path) -> Path:
        print(f"Fetching the jars of Hadoop {HADOOP_VERSION} (100 MB, only once) ...", file=sys.stderr)
        return _download(pom, directory)

    return cached(f"hadoop-{HADOOP_VERSION}-{digest}", make)


def cached(name: str, make: Callable[[Path], Path]) -> Path:
    """Give a directory of the cache, made once.

    Parameters
    ----------
    name : str
        What it is called; changes with what is in it.
    make : callable
        Given an empty directory, makes it there and returns it.
    """
    target = cache_directory() / name
    if not target.is_dir():
        cache_directory().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{name}.", dir=cache_directory()) as temporary:
            made = make(Path(temporary))
            try:
                # A rename is atomic: whoever finds the directory finds all of it.
                made.rename(target)
            except OSError:
                if not target.is_dir():
                    raise
    return target


def single_jars(artifacts: Iterable[Artifact], directory: Path) -> Path:
    """Let Maven fetch these artifacts and nothing they depend on; returns where they are."""
    return _download(_pom([_dependency(artifact, _ALONE) for artifact in artifacts]), directory)


def _download(pom: str, directory: Path) -> Path:
    """Let Maven copy the dependencies of a pom below a directory."""
    maven = shutil.which("mvn")
    if maven is None:
        raise HarnessError("Hadoop's jars are fetched with Maven: install Debian's package maven.")
    (directory / "pom.xml").write_text(pom)
    jars = directory / "jars"
    command = [maven, "-B", "-q", "dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env={**os.environ, "JAVA_HOME": str(java_home())},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=MAVEN_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise HarnessError(f"Maven did not fetch Hadoop's jars within {MAVEN_TIMEOUT_S} s.") from None
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-20:])
        raise HarnessError(f"Maven could not fetch Hadoop's jars (exit code {done.returncode}).\n{tail}")
    return jars


def _java_version(home: Path) -> str | None:
    """Give the major version of a Java, from the ``release`` file every JDK since 9 has."""
    try:
        release = (home / "release").read_text()
    except OSError:
        return None
    match = re.search(r'^JAVA_VERSION="(\d+)', release, re.MULTILINE)
    return match[1] if match else None


def _pom(entries: Iterable[str]) -> str:
    """Write a pom: the text of Hadoop's names the cache, so it holds nothing that varies."""
    dependencies = "\n".join(entries)
    return f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  {_coordinates(("sparkkernels.tests", "cluster", "1"))}
  <packaging>pom</packaging>
  <dependencies>
{dependencies}
  </dependencies>
  <build>
    <plugins>
      <plugin>{_coordinates(_PLUGIN)}</plugin>
    </plugins>
  </build>
</project>
"""


def _dependency(artifact: Artifact, more: str = "") -> str:
    """Write a dependency as XML."""
    return f"    <dependency>{_coordinates(artifact)}{more}</dependency>"


def _coordinates(artifact: Artifact) -> str:
    """Write Maven coordinates as XML."""
    group, name, version = artifact
    return f"<groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version>"
