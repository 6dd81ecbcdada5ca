"""Two hundred kernels on one real jupyter_server: real sockets and a real provisioner each, no containers."""

from __future__ import annotations

import asyncio
import compileall
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import requests
from jupyter_core.paths import jupyter_data_dir

import sparkkernels
import sparkkernels_supervisor
from tests.contract.header_users import HEADER
from tests.contract.kernels import write_kernelspec
from tests.contract.server import TOKEN, Server, wait_until

from .clients import Heard, talk
from .direct import NAME
from .fake_yarn import environment
from .lag import Lag

REPOSITORY = Path(__file__).resolve().parents[2]
LIMIT_S = 120.0
#: Seconds that the clients talk before it is measured: their first connections are over then.
SETTLE_S = 3.0
#: Of so many kernels one has somebody at work.
ONE_IN = 5
#: Ours as a wheel enables it, which an editable installation does not.
EXTENSIONS = dict.fromkeys(("sparkkernels.extension", "tests.crowd.lag", "tests.crowd.direct"), True)
WITH_LAG = f"--ServerApp.jpserver_extensions={EXTENSIONS}"


@dataclass
class Simulated:
    """What came of it.

    Attributes
    ----------
    empty, starting, some, talking, ending : Lag
        Of the server's loop: before the first kernel, while all start at once, while one in ``ONE_IN`` is
        talked to, while all are, and while all are shut down at once.
    beside_start, neighbour : Lag
        Of a loop that has nothing to do, on the same machine while the kernels started, and while all were
        talked to.
    start_s : float
        From asking for all kernels at once to the last one's first answer.
    start_calls, calls : list
        Time and path of the calls to the ResourceManager while they started, and while they were talked to.
    heard : Heard
        What the clients of all got.
    """

    empty: Lag
    starting: Lag
    some: Lag
    talking: Lag
    ending: Lag
    beside_start: Lag
    neighbour: Lag
    start_s: float
    start_calls: list[tuple[float, str]]
    calls: list[tuple[float, str]]
    heard: Heard


def lag_of(server: Server) -> Lag:
    """The lag of a server's loop since it was asked last."""
    headers = {"Authorization": f"token {TOKEN}", HEADER: "anybody"}
    return Lag(**requests.get(f"{server.url}/lag", headers=headers, timeout=LIMIT_S).json())


def simulate(directory: Path, count: int, talk_s: float, *, ours: bool = True) -> Simulated:
    """Start so many kernels at once, have clients talk to some and to all for so long, and end them.

    The process's environment leads to directories of Jupyter's that are the caller's to throw away.

    Parameters
    ----------
    directory : Path
    count : int
    talk_s : float
    ours : bool
        Or the same kernels on a server without this package, which takes their ports for a local kernel's.
    """
    with as_installed(environment(directory / "yarn")):
        if ours:
            write_kernelspec(
                argv=("none", "{connection_file}"),
                master="yarn",
                spark_context="eager",
                metadata={"supported_encryption": ["curve"]},
            )
        else:
            write_direct(directory / "yarn")
        with fleet(directory / "yarn") as address:
            server = Server(directory, WITH_LAG)
            try:
                return measure(server, address, directory, count, talk_s)
            finally:
                server.stop()


@contextmanager
def as_installed(variables: Mapping[str, str]) -> Iterator[None]:
    """An environment for servers whose lag is measured: our modules are compiled, as pip leaves them."""
    for package in (sparkkernels, sparkkernels_supervisor):
        compileall.compile_dir(package.__path__[0], quiet=1)
    path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    with patch.dict(os.environ, {**variables, "PYTHONPATH": path}):
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        yield


def write_direct(place: Path) -> None:
    """A kernelspec of the same name for the fleet's kernels without us."""
    directory = Path(jupyter_data_dir(), "kernels", "spark")
    directory.mkdir(parents=True, exist_ok=True)
    provisioner = {"provisioner_name": NAME, "config": {"inbox": str(place / "inbox")}}
    spec = {"argv": ["none"], "display_name": "Direct", "language": "none"}
    (directory / "kernel.json").write_text(
        json.dumps({**spec, "metadata": {"kernel_provisioner": provisioner}})
    )


def measure(server: Server, address: str, directory: Path, count: int, talk_s: float) -> Simulated:
    """As above, on a server that runs."""
    calls_begun = 0

    def calls() -> list[tuple[float, str]]:
        nonlocal calls_begun
        found = requests.get(f"http://{address}/calls", timeout=LIMIT_S).json()
        new, calls_begun = found[calls_begun:], len(found)
        return [(at, path) for at, path in new]

    assert "spark" in server.get("kernelspecs").json()["kernelspecs"]  # JupyterLab's first question
    lag_of(server)
    time.sleep(1)
    with neighbour(directory) as beside_start, ThreadPoolExecutor(count) as pool:
        empty = lag_of(server)
        begun = time.monotonic()
        made = list(pool.map(lambda _: start(server), range(count)))
        start_s = time.monotonic() - begun
        starting, start_calls = lag_of(server), calls()
    files = [Path(os.environ["JUPYTER_RUNTIME_DIR"], f"kernel-{kernel_id}.json") for kernel_id in made]
    at_work = files[::ONE_IN]
    asyncio.run(talk(at_work, SETTLE_S))
    lag_of(server)
    asyncio.run(talk(at_work, talk_s))
    some = lag_of(server)
    asyncio.run(talk(files, SETTLE_S))
    lag_of(server), calls()
    with neighbour(directory) as beside:
        heard = asyncio.run(talk(files, talk_s))
    talking, talk_calls = lag_of(server), calls()
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(lambda name: end(server, name), made))
    return Simulated(
        *(empty, starting, some, talking, lag_of(server), beside_start[0], beside[0]),
        *(start_s, start_calls, talk_calls, heard),
    )


def start(server: Server) -> str:
    """Start a kernel over REST; its id."""
    return str(server.request("POST", "kernels", timeout=LIMIT_S, name="spark").json()["id"])


def end(server: Server, kernel_id: str) -> None:
    """End a kernel over REST."""
    answer = server.request("DELETE", f"kernels/{kernel_id}", timeout=LIMIT_S)
    assert answer.status_code == 204, answer.text


@contextmanager
def fleet(directory: Path) -> Iterator[str]:
    """The cluster that is none; the address of its services."""
    directory.mkdir()
    ready = directory / "ready"
    with process("tests.crowd.fleet", directory, directory / "log"):
        wait_until(lambda: ready.exists() and ready.read_text(), LIMIT_S)
        yield ready.read_text()


@contextmanager
def neighbour(directory: Path) -> Iterator[list[Lag]]:
    """A loop without work; its lag is in the list afterwards."""
    figures = directory / "neighbour.json"
    found: list[Lag] = []
    with process("tests.crowd.lag", figures, directory / "neighbour.log"):
        wait_until(figures.exists, LIMIT_S)
        yield found
    found.append(Lag(**json.loads(figures.read_text())))
    figures.unlink()


@contextmanager
def process(module: str, argument: Path, log: Path) -> Iterator[None]:
    """A module that runs until SIGTERM."""
    with log.open("wb") as output:
        running = subprocess.Popen(
            [sys.executable, "-m", module, str(argument)],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            running.wait(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
            raise
