"""Hadoop's native library, with which a NodeManager proves who owns a log before it gives it to somebody.

Hadoop's own artifacts hold none. Trino's repackaging of Hadoop 3.3.5 does; the class that speaks to it has
changed since, so that class comes from 3.3.5 as well, and goes on the classpath before the rest of Hadoop.
"""

from __future__ import annotations

import hashlib
import platform
import sys
import zipfile
from pathlib import Path

from tests.cluster.harness import artifacts
from tests.cluster.harness.errors import HarnessError

_VERSION = "3.3.5"
_LIBRARY = ("io.trino.hadoop", "hadoop-apache", "3.3.5-3")
_CLASSES = ("org.apache.hadoop", "hadoop-common", _VERSION)
_SHA256 = {
    _LIBRARY: "2d6fb96cb86f0411f1d520012b0fe2fc0215dcf920108e316f3e31b435dcc88d",
    _CLASSES: "9278109c26d6422b0a22c6f98b89fdee5c6990f9acd02506e0e03879b9392298",
}
_FOLDERS = {"x86_64": "nativelib/Linux-amd64", "aarch64": "nativelib/Linux-aarch64"}
_PACKAGE = "org/apache/hadoop/io/nativeio/"


def hadoop_native() -> Path:
    """Give the directory with the library and its class, downloaded once with Maven.

    Returns
    -------
    Path
        What `classes` and `library_option` are given.

    Raises
    ------
    HarnessError
        When there is none for this machine, Maven fails, or what it fetched is not what it was.
    """
    machine = platform.machine()
    if machine not in _FOLDERS:
        raise HarnessError(
            f"There is no native library of Hadoop for {machine}, only for {', '.join(_FOLDERS)}."
        )
    return artifacts.cached(f"hadoop-native-{_LIBRARY[2]}-{machine}", _make)


def classes(native: Path) -> Path:
    """Give what goes on the classpath first."""
    return native / "classes"


def library_option(native: Path) -> str:
    """Give the option that has a JVM find the library."""
    return f"-Djava.library.path={native}"


def _make(directory: Path) -> Path:
    """Fetch both jars below a directory, and take out of them what is needed."""
    print(f"Fetching the native library of Hadoop {_VERSION} (37 MB, only once) ...", file=sys.stderr)
    jars = artifacts.single_jars(_SHA256, directory)
    native = directory / "native"
    native.mkdir()
    with _opened(jars, _LIBRARY) as jar:
        library = jar.read(f"{_FOLDERS[platform.machine()]}/libhadoop.so")
        (native / "libhadoop.so").write_bytes(library)
    with _opened(jars, _CLASSES) as jar:
        wanted = [name for name in jar.namelist() if name.startswith(_PACKAGE)]
        jar.extractall(classes(native), wanted)
    return native


def _opened(jars: Path, artifact: artifacts.Artifact) -> zipfile.ZipFile:
    """Open a jar that was fetched, if it is the one that is known."""
    _, name, version = artifact
    jar = jars / f"{name}-{version}.jar"
    if hashlib.sha256(jar.read_bytes()).hexdigest() != _SHA256[artifact]:
        raise HarnessError(f"{jar.name}, as Maven fetched it, is not the file that it was.")
    return zipfile.ZipFile(jar)
