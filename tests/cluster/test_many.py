"""Kernels one after another leave nothing, on the cluster and here."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import psutil

from .conftest import Kernels


def held() -> dict[str, object]:
    """What this process holds that a kernel could have left."""
    mine = psutil.Process()
    threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("sparkkernels")]
    listening = [c.laddr for c in mine.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    files = Path(os.environ["JUPYTER_RUNTIME_DIR"]).rglob("*")
    return {
        "children": sorted(child.name() for child in mine.children(recursive=True)),
        "listening": sorted(map(str, listening)),
        "threads": sorted(name for name in threads if "blocking" not in name),
        "files": sorted(str(path) for path in files if path.is_file()),
        "temporary": sorted(path.name for path in Path("/tmp").glob("sparkkernels*")),
    }


async def test_ten_kernels_in_a_row_leave_nothing(kernels: Kernels) -> None:
    before = held()
    applications = set()
    for number in range(10):
        async with kernels() as notebook:
            assert (await notebook.ok(f"{number} * 2")).value == str(number * 2)
            applications.add(notebook.application_id)
    assert len(applications) == 10
    assert held() == before
