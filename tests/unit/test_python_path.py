"""What kernel processes import from, with archives as Spark ships them."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sparkkernels_supervisor.python_path import PythonPath

ARCHIVES = {"pyspark.zip": "pyspark", "py4j-0.10.9.7-src.zip": "py4j"}


@pytest.fixture
def container(tmp_path: Path) -> Path:
    """A working directory with what Spark ships in it."""
    for name, package in ARCHIVES.items():
        with zipfile.ZipFile(tmp_path / name, "w") as file:
            file.writestr(f"{package}/__init__.py", "")
    return tmp_path


def given(container: Path, *first: Path) -> str:
    """``PYTHONPATH`` as Spark sets it, after these."""
    return os.pathsep.join(map(str, (*first, *(container / name for name in ARCHIVES))))


def places(path: PythonPath) -> list[Path]:
    """Where a process finds the two packages."""
    show = "import py4j, pyspark; print(py4j.__file__, pyspark.__file__)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", show],
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [Path(name).parents[1] for name in done.stdout.split()]


def test_spark_s_packages_come_from_files_once_they_are_unpacked(container: Path) -> None:
    path = PythonPath(given(container), str(container))
    assert places(path) == [container / "py4j-0.10.9.7-src.zip", container / "pyspark.zip"]
    path.unpack_spark()
    unpacked = container / ".sparkkernels"
    assert places(path) == [unpacked / "py4j-0.10.9.7-src.zip", unpacked / "pyspark.zip"]


def test_what_comes_before_spark_s_own_stays_before_it(container: Path) -> None:
    patched = container / "patched"
    (patched / "pyspark").mkdir(parents=True)
    (patched / "pyspark" / "__init__.py").touch()
    path = PythonPath(given(container, patched), str(container))
    path.unpack_spark()
    assert places(path)[1] == patched


@pytest.mark.parametrize("broken", [b"", b"PK"])
def test_what_is_no_archive_stays_where_it_is(container: Path, broken: bytes) -> None:
    (container / "pyspark-of-mine.zip").write_bytes(broken)
    path = PythonPath(given(container, container / "pyspark-of-mine.zip"), str(container))
    path.unpack_spark()
    assert str(container / "pyspark-of-mine.zip") in str(path).split(os.pathsep)
    assert places(path)[1] == container / ".sparkkernels" / "pyspark.zip"


def test_what_the_disk_does_not_hold_is_imported_from_its_archive(container: Path) -> None:
    with zipfile.ZipFile(container / "pyspark.zip", "a") as file:
        file.writestr("pyspark/large.py", "#" * 1000)
    path = PythonPath(given(container), str(container))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        path.unpack_spark()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert places(path)[1] == container / "pyspark.zip"
    assert not list(container.glob(".sparkkernels/pyspark*"))
