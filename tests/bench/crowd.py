"""Many kernels on one real jupyter_server: thirty real ones at the same moment, and two hundred simulated."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.contract.server import Server
from tests.contract.shared import SHARED, Person
from tests.crowd.burst import burst, first_cell
from tests.crowd.lag import Lag
from tests.crowd.simulation import ONE_IN, WITH_LAG, as_installed, neighbour, simulate

from .report import Figures

AT_ONCE, TALK_S = 30, 15.0


def lags(figures: Figures, lag: Lag, when: str) -> None:
    """How late a loop woke."""
    figures.add(f"lag of the loop, ms, 99 of 100, {when}", lag.p99_ms)
    figures.add(f"lag of the loop, ms, most, {when}", lag.most_ms)
    figures.add(f"its own part, ms, 99 of 100, {when}", lag.own_p99_ms)


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


def simulated(figures: Figures, directory: Path, count: int) -> None:
    """So many kernels without containers, with clients that talk; and the same on a server without us."""
    whose = f"{count} simulated kernels"
    for ours, kernels in ((True, whose), (False, f"{count} on a server without us")):
        seen = simulate(Path(tempfile.mkdtemp(prefix="simulated-", dir=directory)), count, TALK_S, ours=ours)
        if len(seen.heard.kernels) != count:
            raise SystemExit(f"Only {len(seen.heard.kernels)} of {count} kernels answered.")
        figures.add(f"{kernels}, all started", seen.start_s)
        lags(figures, seen.starting, f"{kernels} start")
        lags(figures, seen.some, f"{kernels}, one in {ONE_IN} at work")
        lags(figures, seen.talking, f"{kernels}, all at work")
        lags(figures, seen.beside_start, f"a loop without work beside {kernels} that start")
        lags(figures, seen.neighbour, f"a loop without work beside {kernels}, all at work")
        memory = seen.talking.resident_mib - seen.empty.resident_mib
        figures.add(f"{kernels}, processors in use", seen.talking.cpu_s / seen.talking.seconds)
        figures.add(f"{kernels}, threads for each", (seen.talking.threads - seen.empty.threads) / count)
        figures.add(f"{kernels}, MiB for each", memory / count)
        if ours:
            figures.add(f"{kernels}, ResourceManager calls a second", len(seen.calls) / seen.talking.seconds)
