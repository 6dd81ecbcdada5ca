"""The main job: notebooks over the flights of 2013, opened in a stock Jupyter server, computed on YARN.

In the R notebook a small client of SparkR's protocol stands in for SparkR (tests/backend_client).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import demo
import flights_data
from sparkkernels.cli.main import main as sparkkernels_command
from tests.backend_client import archive

from .conftest import FINAL, environment
from .harness import Cluster

NOTEBOOKS = {
    "python": "examples/flights.ipynb",
    "r": "examples/flights-r.ipynb",
    "scala": "examples/flights-scala.ipynb",
}


def compute(server: demo.Server, staged: Cluster, language: str) -> None:
    """Open a notebook, run its cells, compare its figures, and shut its kernel down."""
    path = NOTEBOOKS[language]
    kernel_name = {"name": f"spark-{language}-yarn"}
    session = server.request(
        "POST",
        "sessions",
        {"path": path, "name": Path(path).name, "type": "notebook", "kernel": kernel_name},
        timeout_s=demo.KERNEL_START_S,
    )
    notebook = server.request("GET", f"contents/{path}?content=1")["content"]
    kernel = server.connect(session["kernel"]["id"], session["id"])
    try:
        demo.check(demo.run_cells(kernel, notebook))
    finally:
        kernel.socket.close()
    running = [app for app in staged.applications() if app["state"] not in FINAL]
    assert [session["kernel"]["id"] in app["applicationTags"] for app in running].count(True) == 1
    server.request("DELETE", f"sessions/{session['id']}", timeout_s=demo.END_S)


@pytest.mark.timeout(400)
def test_the_flights_notebooks_give_on_yarn_the_figures_that_they_give_here(
    staged: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged.hdfs_mkdir("/data/flights")
    for file in flights_data.write(tmp_path / "flights"):
        staged.hdfs_put(f"/data/flights/{file.name}", file.read_bytes())
    sparkr = f"spark.yarn.dist.archives=file://{archive(tmp_path / 'packed')}#sparkr"
    variables = {**demo.environment(tmp_path), **environment(staged)}
    with monkeypatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        for language, more in (("python", []), ("r", ["--conf", sparkr]), ("scala", [])):
            install = ["install", "--language", language, "--master", "yarn", "--user", *more]
            assert sparkkernels_command(install) == 0
    server = demo.Server(variables, tmp_path / "server.log")
    try:
        server.wait_until_up()
        with ThreadPoolExecutor() as pool:
            for done in [pool.submit(compute, server, staged, language) for language in NOTEBOOKS]:
                done.result()
    finally:
        server.stop()
    assert demo.left_over(tmp_path) == []
