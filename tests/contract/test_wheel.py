"""What pip installs: a wheel built from this tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.leaks import Leaks
from tools.environment import SOURCES

from .server import Server

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpacked."""
    directory = tmp_path_factory.mktemp("wheel")
    tree = directory / "tree"
    tree.mkdir()
    for name in [*SOURCES, "tools"]:  # not what tests and earlier builds have left
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tree / name)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", f"--wheel-dir={directory}", tree],
        env={**os.environ, "SPARKKERNELS_SCALA_HOST": "no"},
        check=True,
        timeout=240,
    )
    (path,) = directory.glob("sparkkernels-*.whl")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(directory / "unpacked")
    return directory / "unpacked"


@pytest.mark.timeout(300)
def test_it_holds_every_package_and_what_is_no_code(wheel: Path) -> None:
    files = {str(path.relative_to(wheel)) for path in wheel.rglob("*") if path.is_file()}
    launchers = [path.relative_to(ROOT / "launchers") for path in (ROOT / "launchers").glob("*/*.py")]
    own = [path.relative_to(ROOT) for path in (ROOT / "sparkkernels").rglob("*.py")]
    expected = {str(path) for path in [*launchers, *own]}
    expected |= {"sparkkernels/py.typed", "sparkkernels/launchers/PROTOCOL.md", "sparkkernels_r/kernel.R"}
    expected |= {f"sparkkernels/spark_conf/{path.name}" for path in (ROOT / "spark-conf").iterdir()}
    assert expected - files == set()


@pytest.mark.timeout(300)
def test_a_server_of_its_environment_has_the_extension(
    wheel: Path, tmp_path: Path, leaks: Leaks, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaks.excused.append("jupyter_cookie_secret")
    (data,) = wheel.glob("*.data/data")
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(data / "etc" / "jupyter"))
    server = Server(tmp_path)
    server.stop()
    assert "sparkkernels.extension | extension was successfully loaded." in server.log.read_text()
