"""Many kernels on one real jupyter_server: thirty real ones at the same moment, and two hundred simulated."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.contract.server import Server
from tests.contract.shared import SHARED, Person
from tests.crowd.burst import burst, first_cell
from tests.crowd.lag import Lag
from tests.crowd.simulation import WITH_LAG, as_installed, neighbour, simulate

from .report import Figures

AT_ONCE, SIMULATED, TALK_S = 30, 200, 15.0


def lags(figures: Figures, lag: Lag, when: str) -> None:
    """How late a loop woke."""
    figures.add(f"lag of the loop, ms, 99 of 100, {when}", lag.p99_ms)
    figures.add(f"lag of the loop, ms, most, {when}", lag.most_ms)


def thirty(figures: Figures, directory: Path, kernel: str) -> None:
    """Thirty kernels on YARN, asked for at the same moment; each ends once its first cell has answered."""
    place = Path(tempfile.mkdtemp(prefix="thirty-", dir=directory))
    with as_installed({}):
        server = Server(place, WITH_LAG, *SHARED)
    try:
        with neighbour(place) as beside:
            seen = burst(server, [Person(server, "anybody")] * AT_ONCE, kernel, first_cell)
    finally:
        server.stop()
    if set(seen.answers.values()) != {"2"} or len(seen.answers) != AT_ONCE:
        raise SystemExit(f"Not all of {AT_ONCE} kernels answered: {seen.answers}")
    figures.add("30 kernels at once, to the last first result", max(seen.seconds))
    figures.add("30 kernels at once, submits at a time", seen.most_submits)
    lags(figures, seen.lag, "30 kernels start and end")
    lags(figures, beside[0], "a loop without work beside them")


def two_hundred(figures: Figures, directory: Path) -> None:
    """Two hundred kernels without containers, with clients that talk to each."""
    place = Path(tempfile.mkdtemp(prefix="two-hundred-", dir=directory))
    seen = simulate(place, SIMULATED, TALK_S)
    if len(seen.heard.kernels) != SIMULATED:
        raise SystemExit(f"Only {len(seen.heard.kernels)} of {SIMULATED} kernels answered.")
    figures.add("200 simulated kernels, all started", seen.start_s)
    lags(figures, seen.starting, "200 simulated kernels start")
    lags(figures, seen.talking, "200 simulated kernels are talked to")
    lags(figures, seen.neighbour, "a loop without work beside those")
    figures.add(
        "200 simulated kernels, ResourceManager calls a second", len(seen.calls) / seen.talking.seconds
    )
    figures.add(
        "200 simulated kernels, server's processors in use", seen.talking.cpu_s / seen.talking.seconds
    )
    figures.add("server's threads for each kernel", (seen.talking.threads - seen.empty.threads) / SIMULATED)
    memory = seen.talking.resident_mib - seen.empty.resident_mib
    figures.add("server's memory for each kernel, MiB", memory / SIMULATED)
