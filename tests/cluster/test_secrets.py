"""No secret of a kernel is where others look: processes, logs, Spark's pages and events, reports, files."""

from __future__ import annotations

import json
import logging
import uuid
from pathlib import Path

import pytest
import requests

from sparkkernels.relay.hub import shared_hub
from tests.leaks import Leaks

from .conftest import Kernels, act_for, as_user
from .harness import Cluster
from .notebook import Notebook
from .secrets_scan import (
    Secrets,
    files_below,
    leaked_by_logs,
    leaked_by_modes,
    leaked_by_processes,
    told,
)

pytestmark = pytest.mark.timeout(300)

JOB = "spark.range(100).selectExpr('sum(id)').collect()[0][0]"


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("sparkkernels", "traitlets", "asyncio", "urllib3", "jupyter_client"):
        caplog.set_level(logging.DEBUG, name)


def relay_key() -> bytes:
    """A line of the key of this process's relay."""
    thread = shared_hub()._thread
    assert thread is not None
    return thread._certificate.key.splitlines()[1]


def events_conf(directory: str, cluster: Cluster) -> dict[str, str]:
    """Spark settings for an event log that can be read."""
    return {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": f"{cluster.default_fs}{directory}",
        "spark.eventLog.compress": "false",
    }


@pytest.fixture
def events() -> str:
    """The name of a directory on HDFS."""
    return f"/spark-events-{uuid.uuid4().hex}"


async def leaks_of_a_live_kernel(notebook: Notebook, secrets: Secrets, cluster: Cluster) -> list[str]:
    """What is found while it runs, before and after a restart."""
    found = []
    for _ in range(2):
        await notebook.ok(JOB)
        pid = int((await notebook.ok("import os; os.getpid()")).value)
        found += leaked_by_processes(secrets, pid)
        found += leaked_by_logs(secrets, cluster)
        beside = files_below(cluster.container_directories())
        assert any(map(secrets.found_in_file, beside)), "the scan does not find the kernel's connection file"
        found += leaked_by_modes(secrets, cluster.container_directories())
        reports = json.dumps(cluster.applications()).encode()
        found += told(secrets.found_in(reports), "YARN's reports")
        conf = (await notebook.ok("sc.getConf().getAll()")).value
        found += told(secrets.found_in(conf.encode()), "Spark's settings")
        await notebook.restart()
    return found


def leaked_by_pages(
    secrets: Secrets, cluster: Cluster, application_id: str, session: requests.Session
) -> list[str]:
    """What the kernel's owner finds on Spark's pages, through the ResourceManager's proxy."""
    found = []
    proxy = f"{cluster.resource_manager_url}/proxy/{application_id}"
    for page in ("environment/", f"api/v1/applications/{application_id}/environment"):
        answer = session.get(f"{proxy}/{page}", timeout=60)
        assert answer.ok and b"spark.app.name" in answer.content
        found += told(secrets.found_in(answer.content), f"Spark's page {page}")
    return found


def leaks_of_the_past(
    secrets: Secrets, cluster: Cluster, events: str, caplog: pytest.LogCaptureFixture
) -> list[str]:
    """What a kernel that has ended has left behind."""
    found = leaked_by_logs(secrets, cluster)
    logs = cluster.hdfs_list(events)
    assert logs, "Spark wrote no event log"
    for name in logs:
        content = cluster.hdfs_get(f"{events}/{name}")
        assert b"SparkListenerEnvironmentUpdate" in content
        found += told(secrets.found_in(content), f"Spark's event log {name}")
    assert len(caplog.records) > 10 and any(record.levelname == "DEBUG" for record in caplog.records)
    found += told(secrets.found_in(caplog.text.encode()), "our own log at DEBUG")
    return found


async def test_a_kernels_secrets_are_nowhere_where_others_look(
    staged: Cluster,
    kernels: Kernels,
    leaks: Leaks,
    events: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    staged.hdfs_mkdir(events, "1777")
    try:
        async with kernels(spark_conf=events_conf(events, staged)) as notebook:
            secrets = Secrets.of(notebook, relay_key=relay_key())
            assert secrets.found_in_file(Path(notebook.manager.connection_file))  # the scan can find them
            found = await leaks_of_a_live_kernel(notebook, secrets, staged)
            found += leaked_by_modes(secrets, [leaks.runtime, leaks.temporary])
            found += leaked_by_pages(secrets, staged, notebook.application_id, requests.Session())
        found += leaks_of_the_past(secrets, staged, events, caplog)
        assert not found
    finally:
        staged.hdfs_delete(events)


async def test_nor_are_those_of_a_service_with_a_keytab_that_acts_for_somebody(
    secured: Cluster,
    secure_kernels: Kernels,
    events: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    act_for(monkeypatch, secured, "alice")
    secured.hdfs_mkdir(events, "1777")
    keytab = secured.keytab("jupyter")
    assert not keytab.stat().st_mode & 0o077
    try:
        async with secure_kernels(spark_conf=events_conf(events, secured)) as notebook:
            secrets = Secrets.of(notebook, relay_key=relay_key(), keytab=keytab.read_bytes())
            found = await leaks_of_a_live_kernel(notebook, secrets, secured)
            alice = as_user(secured, "alice").session()
            found += leaked_by_pages(secrets, secured, notebook.application_id, alice)
        found += leaks_of_the_past(secrets, secured, events, caplog)
        assert not found
    finally:
        secured.hdfs_delete(events)
