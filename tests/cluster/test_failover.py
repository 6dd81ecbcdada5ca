"""Two ResourceManagers, of which the active one steps down or dies in the middle of something."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from jupyter_client.manager import AsyncKernelManager

from .conftest import install, until
from .harness import Cluster
from .notebook import Notebook

pytestmark = [pytest.mark.timeout(300)]

#: A cell of two Spark jobs that take their time.
SLOW = """
import time
def slow(rows):
    time.sleep(1)
    yield from rows
print(sum(sc.parallelize(range(100), 8).mapPartitions(slow).sum() for _ in range(2)))
"""


@pytest.fixture
def alice(secured: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """The cluster, as alice's own server has it."""
    secured.kinit("alice", tmp_path / "ticket-alice")
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{tmp_path / 'ticket-alice'}")
    return secured


async def step_down(cluster: Cluster) -> None:
    """The standby takes over."""
    other = "rm2" if cluster.active_resource_manager == "rm1" else "rm1"
    await asyncio.to_thread(cluster.transition, other)


async def die(cluster: Cluster) -> None:
    """The active one is killed, the standby takes over, and later the dead one is a standby again."""
    active = cluster.active_resource_manager
    daemon = cluster.daemon(f"resourcemanager-{active}")
    await asyncio.to_thread(daemon.kill)
    await asyncio.sleep(2)
    await asyncio.to_thread(cluster.transition, "rm2" if active == "rm1" else "rm1")
    await asyncio.to_thread(daemon.start)


@asynccontextmanager
async def always_alive(manager: AsyncKernelManager) -> AsyncIterator[None]:
    """``poll()`` must not say once that the kernel is dead."""

    async def look() -> None:
        while True:
            assert await manager.is_alive()
            await asyncio.sleep(0.05)

    looking = asyncio.ensure_future(look())
    try:
        yield
        assert not looking.done(), "the kernel was declared dead"
    finally:
        looking.cancel()


async def test_in_the_middle_of_a_start_of_a_cell_and_of_a_shutdown(alice: Cluster, tmp_path: Path) -> None:
    manager = AsyncKernelManager(kernel_name=install(tmp_path, None, {}))
    starting = asyncio.ensure_future(manager.start_kernel())
    provisioner = await until(lambda: manager.provisioner, "a provisioner")
    await until(lambda: provisioner.application_id, "an application")
    await step_down(alice)
    await starting
    notebook = Notebook(manager)
    await notebook.open()
    application_id = notebook.application_id
    assert (await notebook.ok("1 + 1")).value == "2"
    assert (await notebook.ok("spark.range(1000).count()")).value == "1000"

    cell = asyncio.ensure_future(notebook.ok(SLOW))
    async with always_alive(manager):
        await step_down(alice)
        assert (await cell).stdout == "9900\n"

    notebook.close()
    dying = asyncio.ensure_future(die(alice))
    await asyncio.sleep(0.5)
    await manager.shutdown_kernel()
    await dying
    [app] = [app for app in alice.applications() if app["id"] == application_id]
    assert app["state"] in ("FINISHED", "KILLED")
