"""One running cluster for all of this layer, with Spark staged on it, and kernels on it."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import AsyncKernelManager

from sparkkernels.cli.main import main as sparkkernels_command
from sparkkernels.cluster.access import Access
from sparkkernels.cluster.hadoop_site import HadoopSite
from tests.leaks import Leaks
from tests.leaks import nothing_left as nothing_left_here

from .harness import Cluster, processes
from .harness.membership import belongs
from .notebook import Notebook

#: Hang limit of any one step, in seconds.
LIMIT_S = 120.0
FINAL = ("FINISHED", "FAILED", "KILLED")
#: Seconds that a delegation token of the cluster with short ones lasts, however often it is renewed. A kernel
#: must be up before those of its submit have run out.
LIFE_S = 45.0
SHORT_LIVES = {
    "hdfs-site.xml": {
        "dfs.namenode.delegation.token.renew-interval": str(int(LIFE_S * 1000)),
        "dfs.namenode.delegation.token.max-lifetime": str(int(LIFE_S * 1000)),
    },
    # A connection that has proved itself outlives its token; this ends it.
    "core-site.xml": {"ipc.client.connection.maxidletime": "1000"},
    "yarn-site.xml": {"yarn.log-aggregation-enable": "true"},
}
#: Spark's defaults on the tests' clusters.
SPARK_CONF = Path(__file__).parent / "spark-conf"
#: Where an administrator of the cluster with Kerberos staged Spark for everybody.
SHARED_STAGING = "/apps/sparkkernels"

Kernels = Callable[..., AbstractAsyncContextManager[Notebook]]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Real daemons on this host."""
    running = Cluster.up(name=f"test-{os.getpid()}")
    try:
        yield running
    finally:
        running.down()


@pytest.fixture(scope="session")
def staged(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster, in use."""
    with in_use(cluster, tmp_path_factory.mktemp("jupyter")):
        yield cluster


def environment(cluster: Cluster) -> dict[str, str]:
    """What a client of the cluster has in its environment, Spark's defaults for it among them."""
    return {**cluster.environment(), "SPARK_CONF_DIR": str(SPARK_CONF)}


@contextmanager
def in_use(cluster: Cluster, home: Path) -> Iterator[None]:
    """A cluster known to this process's environment, with Spark's jars staged by the command line."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(cluster).items():
            patch.setenv(name, value)
        patch.setenv("JUPYTER_PATH", str(home / "share" / "jupyter"))
        patch.setenv("JUPYTER_RUNTIME_DIR", str(home / "runtime"))
        assert sparkkernels_command(["stage"]) == 0
        yield


@pytest.fixture
def leaks(staged: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Leaks]:
    """Fails a test that leaves a process, a file, a thread or a socket on this host."""
    with no_leaks(staged, tmp_path, monkeypatch) as found:
        yield found


@contextmanager
def no_leaks(cluster: Cluster, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Leaks]:
    """The same for any cluster."""
    with nothing_left_here(directory) as found:
        found.services |= {port for daemon in cluster.daemons for port in daemon.ports.values()}
        for name, value in found.environment.items():
            if name != "JUPYTER_PATH":  # where `install` writes
                monkeypatch.setenv(name, value)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield found


@pytest.fixture(scope="session")
def secure_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Real daemons with Kerberos, HTTPS only and two ResourceManagers; Spark staged by HDFS's superuser."""
    with secure(tmp_path_factory.mktemp("hdfs"), f"secure-{os.getpid()}", ha=True, https=True) as running:
        yield running


@pytest.fixture(scope="session")
def short_lived_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Another one, without HTTPS, whose delegation tokens last less than a minute; nothing is left of it."""
    directory = tmp_path_factory.mktemp("short-lived")
    before = os.environ.get("KRB5_CONFIG")
    name, place = f"short-{os.getpid()}", directory / "cluster"
    with secure(directory, name, place, ha=True, extra_site=SHORT_LIVES) as running:
        assert os.environ.get("KRB5_CONFIG") == before
        yield running
    assert not place.exists()
    assert processes.find(lambda process: belongs(process, place)) == []
    assert processes.find(lambda process: process.mentions(str(place))) == []


@contextmanager
def secure(own: Path, name: str, place: Path | None = None, **options: Any) -> Iterator[Cluster]:
    """A cluster with Kerberos for as long as it is needed, with Spark staged by HDFS's superuser."""
    running = Cluster.up(name=name, directory=place, kerberos=True, **options)
    try:
        cache = own / "ticket"
        running.kinit("hdfs", cache)
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in {**environment(running), "KRB5CCNAME": f"FILE:{cache}"}.items():
                patch.setenv(variable, value)
            assert sparkkernels_command(["stage", "--staging-dir", SHARED_STAGING]) == 0
        yield running
    finally:
        running.down()


@pytest.fixture
def secured(secure_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The cluster with Kerberos, known to this process's environment, which holds no ticket."""
    variables = {
        **environment(secure_cluster),
        "KRB5CCNAME": f"FILE:{tmp_path / 'no-ticket'}",
        "JUPYTER_PATH": str(tmp_path / "share" / "jupyter"),
        "SPARKKERNELS_STAGING_DIR": SHARED_STAGING,
    }
    with no_leaks(secure_cluster, tmp_path, monkeypatch) as found:
        found.excused += ["sparkkernels-*/ticket", "sparkkernels-*/lock", "sparkkernels-*"]  # a service's
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield secure_cluster


def service(cluster: Cluster) -> dict[str, str]:
    """The settings of a server that holds the service's keytab."""
    return {"principal": cluster.principal("jupyter"), "keytab": str(cluster.keytab("jupyter"))}


def access(cluster: Cluster, name: str) -> Access:
    """How somebody proves who they are with a keytab of their own."""
    return Access(cluster.principal(name), str(cluster.keytab(name)), str(cluster.ca_file or ""))


def as_user(cluster: Cluster, name: str) -> HadoopSite:
    """The cluster as somebody has it who holds a keytab of their own."""
    return HadoopSite(str(cluster.conf_dir), os.environ.get("SPARK_HOME", ""), access=access(cluster, name))


def ticket(
    cluster: Cluster, directory: Path, monkeypatch: pytest.MonkeyPatch, name: str, **more: str
) -> None:
    """What `kinit` does for the account that a server runs as."""
    cache = directory / f"ticket-{name}"
    cluster.kinit(name, cache, **more)
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{cache}")


def act_for(monkeypatch: pytest.MonkeyPatch, cluster: Cluster, user: str) -> None:
    """Have kernels started for somebody, as the administrator's choice of an identity does."""
    for name, value in service(cluster).items():
        monkeypatch.setenv(f"SPARKKERNELS_{name.upper()}", value)
    monkeypatch.setenv("JUPYTERHUB_USER", user)
    monkeypatch.setenv("SPARKKERNELS_IDENTITY", "hub")


@pytest.fixture
def kernels(staged: Cluster, tmp_path: Path) -> Kernels:
    """Start a kernel on the cluster from a kernelspec that the command line wrote.

    Called with the provisioner's settings, ``argv`` to replace the kernel's command, ``language``, and
    ``factory`` for another kind of manager.
    """

    return kernels_of(tmp_path)


@pytest.fixture
def secure_kernels(secured: Cluster, tmp_path: Path) -> Kernels:
    """Start a kernel on the cluster with Kerberos."""
    return kernels_of(tmp_path)


def kernels_of(directory: Path) -> Kernels:
    """Start kernels from kernelspecs in this directory."""

    @asynccontextmanager
    async def start(
        *,
        argv: list[str] | None = None,
        language: str = "python",
        factory: type[AsyncKernelManager] = AsyncKernelManager,
        **settings: Any,
    ) -> AsyncIterator[Notebook]:
        name = install(directory, argv, settings, language)
        manager = factory(kernel_name=name)
        await manager.start_kernel()
        notebook = Notebook(manager)
        try:
            await notebook.open()
            yield notebook
        finally:
            notebook.close()
            await manager.shutdown_kernel()

    return start


def install(
    directory: Path, argv: list[str] | None, settings: dict[str, Any], language: str = "python"
) -> str:
    """Write a kernelspec and return its name."""
    name = f"yarn-{time.monotonic_ns()}"
    prefix = Path(os.environ["JUPYTER_PATH"]).parents[1]
    arguments = ["install", "--language", language, "--master", "yarn", "--name", name]
    assert sparkkernels_command([*arguments, "--prefix", str(prefix)]) == 0
    path = prefix / "share" / "jupyter" / "kernels" / name / "kernel.json"
    spec = json.loads(path.read_text())
    spec["argv"] = argv or spec["argv"]
    config = spec["metadata"]["kernel_provisioner"]["config"]
    spark_conf = {**config["spark_conf"], **settings.get("spark_conf", {})}
    config.update({**settings, "spark_conf": spark_conf})
    path.write_text(json.dumps(spec))
    return name


async def until(condition: Callable[[], Any], what: str, limit_s: float = LIMIT_S) -> Any:
    """Wait until a condition holds and return what it gave."""
    deadline = time.monotonic() + limit_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit_s:g} s: {what}")
        await asyncio.sleep(0.1)
    return value


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the test, and only that, which leaves an application, a container or a staging directory."""
    name = next((name for name in ("staged", "secured") if name in request.fixturenames), None)
    if name is None:
        yield
        return
    cluster: Cluster = request.getfixturevalue(name)
    yield

    def running() -> list[str]:
        return [app["id"] for app in cluster.applications() if app["state"] not in FINAL]

    def left() -> list[str]:
        # A JVM that is killed while its SparkContext starts may still make directories behind the NodeManager
        # that deletes them; without a file in them they are YARN's own affair, until it starts anew.
        found = cluster.container_directories()
        directories = [str(path) for path in found if any(files for _, _, files in os.walk(path))]
        homes = [f"/user/{user}/.sparkStaging" for user in (cluster.submitter, "alice", "bob")]
        staging = [name for home in homes if cluster.hdfs_status(home) for name in cluster.hdfs_list(home)]
        return running() + directories + staging + [str(pid) for pid in cluster.processes()]

    deadline = time.monotonic() + 15
    while (rest := left()) and time.monotonic() < deadline:
        time.sleep(0.1)
    if rest:
        for application_id in running():
            cluster.kill_application(application_id)
    assert rest == []
