"""How late an event loop wakes, measured in the process that it is the loop of.

Loaded into a real jupyter_server it is an extension, which answers ``GET /lag`` with the figures since the
question before. Run by itself it is the neighbour: a process whose loop has nothing else to do, so that its
lag is what the machine makes of any loop at that time.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado import web

#: Seconds that the measuring coroutine sleeps at a time.
SLEEP_S = 0.005


@dataclass
class Lag:
    """The lag of one loop over some time, in milliseconds, and what its process was.

    Attributes
    ----------
    samples : int
    median_ms, p99_ms, most_ms : float
        How much later than asked the coroutine woke.
    own_p99_ms, own_most_ms : float
        The part of it that processor time of the loop's own thread can account for: of each lag no more than
        that thread computed meanwhile. A machine that has no processor to give adds nothing to these.
    seconds : float
        How long it was measured.
    threads : int
        Of the process, at the end.
    resident_mib : float
        Of the process, at the end.
    cpu_s : float
        Processor time of the whole process meanwhile.
    """

    samples: int
    median_ms: float
    p99_ms: float
    most_ms: float
    own_p99_ms: float
    own_most_ms: float
    seconds: float
    threads: int
    resident_mib: float
    cpu_s: float


def share(values: list[float], part: float) -> float:
    """The value that this part of all does not exceed."""
    return sorted(values)[min(int(len(values) * part), len(values) - 1)] if values else 0.0


class LoopLag:
    """A coroutine that sleeps and notes how late it wakes."""

    def __init__(self) -> None:
        self._late: list[float] = []
        self._own: list[float] = []
        self._since = time.perf_counter()
        self._cpu = time.process_time()

    async def run(self) -> None:
        """Measure, for ever."""
        while True:
            computed, due = time.thread_time(), time.perf_counter() + SLEEP_S
            await asyncio.sleep(SLEEP_S)
            late = 1000 * (time.perf_counter() - due)
            self._late.append(late)
            self._own.append(min(late, 1000 * (time.thread_time() - computed)))

    def take(self) -> Lag:
        """The figures so far; measuring begins anew."""
        late, own, since, cpu = self._late, self._own, self._since, self._cpu
        self._late, self._own = [], []
        self._since, self._cpu = time.perf_counter(), time.process_time()
        return Lag(
            samples=len(late),
            median_ms=share(late, 0.5),
            p99_ms=share(late, 0.99),
            most_ms=share(late, 1.0),
            own_p99_ms=share(own, 0.99),
            own_most_ms=share(own, 1.0),
            seconds=self._since - since,
            threads=threading.active_count(),
            resident_mib=psutil.Process().memory_info().rss / 2**20,
            cpu_s=self._cpu - cpu,
        )


class LagHandler(JupyterHandler):
    """Answers with the figures since the question before."""

    @web.authenticated
    def get(self) -> None:
        """GET."""
        self.finish(asdict(self.settings["loop_lag"].take()))


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    return [{"module": "tests.crowd.lag"}]


def _load_jupyter_server_extension(app: Any) -> None:
    lag = LoopLag()
    app.web_app.settings["loop_lag"] = lag
    app.web_app.settings["loop_lag_task"] = app.io_loop.asyncio_loop.create_task(lag.run())
    app.web_app.add_handlers(".*", [(url_path_join(app.web_app.settings["base_url"], "/lag"), LagHandler)])


async def neighbour(path: Path) -> None:
    """Measure until SIGTERM, then write the figures."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    lag = LoopLag()
    task = asyncio.create_task(lag.run())
    path.touch()
    await over.wait()
    task.cancel()
    path.write_text(json.dumps(asdict(lag.take())))


if __name__ == "__main__":
    asyncio.run(neighbour(Path(sys.argv[1])))
