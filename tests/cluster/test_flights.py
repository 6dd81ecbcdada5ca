"""The main job: a notebook over the flights of 2013, opened in a stock Jupyter server, computed on YARN."""

from __future__ import annotations

from pathlib import Path

import pytest

import demo
import flights_data
from sparkkernels.cli.main import main as sparkkernels_command

from .conftest import FINAL
from .harness import Cluster

KERNEL = "spark-python-yarn"


@pytest.mark.timeout(400)
def test_the_flights_notebook_gives_on_yarn_the_figures_that_it_gives_here(
    staged: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged.hdfs_mkdir("/data/flights")
    for file in flights_data.write(tmp_path / "flights"):
        staged.hdfs_put(f"/data/flights/{file.name}", file.read_bytes())
    environment = {**demo.environment(tmp_path), **staged.environment()}
    with monkeypatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        install = ["install", "--language", "python", "--master", "yarn", "--user", "--name", KERNEL]
        assert sparkkernels_command(install) == 0
    server = demo.Server(environment, tmp_path / "server.log")
    try:
        server.wait_until_up()
        session = server.request(
            "POST",
            "sessions",
            {"path": demo.NOTEBOOK, "name": "flights.ipynb", "type": "notebook", "kernel": {"name": KERNEL}},
            timeout_s=demo.KERNEL_START_S,
        )
        notebook = server.request("GET", f"contents/{demo.NOTEBOOK}?content=1")["content"]
        kernel = server.connect(session["kernel"]["id"], session["id"])
        try:
            demo.check(demo.run_cells(kernel, notebook))
        finally:
            kernel.socket.close()
        running = [app for app in staged.applications() if app["state"] not in FINAL]
        assert [session["kernel"]["id"] in app["applicationTags"] for app in running] == [True]
        server.request("DELETE", f"sessions/{session['id']}", timeout_s=demo.END_S)
    finally:
        server.stop()
    assert demo.left_over(tmp_path) == []
