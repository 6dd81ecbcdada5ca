"""Kernels asked for at the same moment on one real jupyter_server, each real in every part."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psutil

from tests.contract.server import Server
from tests.contract.shared import Person

from .lag import Lag
from .simulation import lag_of

LOOK_EVERY_S = 0.05
LIMIT_S = 900.0
PLACE = re.compile(r"Kernel (\S+) waits for other submits of this server: it is number (\d+) in the queue")
SUBMIT = re.compile(r"Kernel (\S+): Submitting to yarn")


@dataclass
class Burst:
    """What came of it.

    Attributes
    ----------
    owners : dict of str to str
        Whose each kernel was, by its id.
    answers : dict of str to str
        What each kernel's first cell printed.
    seconds : list of float
        From the common moment to each answer.
    most_submits : int
        Submitting processes seen at a time.
    places : dict of str to int
        The place in the queue that the log told, by kernel id; those that had to wait for none are missing.
    order : list of str
        Kernel ids in the order of their submits, from the log.
    lag : Lag
        Of the server's loop, from before the common moment until the last kernel was gone.
    """

    owners: dict[str, str]
    answers: dict[str, str]
    seconds: list[float]
    most_submits: int
    places: dict[str, int]
    order: list[str]
    lag: Lag


class Submits:
    """Counts the submitting processes of a server: spark-submit is its child, whatever that becomes."""

    def __init__(self, server: int) -> None:
        self._server = server
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.most = 0

    def __enter__(self) -> Submits:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            self.most = max(self.most, sum(map(is_submit, psutil.Process(self._server).children())))


def is_submit(process: psutil.Process) -> bool:
    """Whether a process is a spark-submit that has not ended."""
    try:
        command = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return "spark-submit" in command or "org.apache.spark.deploy.SparkSubmit" in command


def burst(
    server: Server, people: Sequence[Person], kernel: str, answer: Callable[[Person, str], str]
) -> Burst:
    """Have all these ask for a kernel at the same moment, use it and end it.

    Parameters
    ----------
    server : Server
        With :mod:`tests.crowd.lag`.
    people : sequence of Person
        One for each kernel, in the order in which they ask.
    kernel : str
        The kernelspec.
    answer : callable
        Uses a person's kernel of this id; returns what it said.
    """
    owners: dict[str, str] = {}
    answers: dict[str, str] = {}
    seconds: list[float] = []
    together = threading.Barrier(len(people) + 1)

    def one(person: Person) -> None:
        together.wait()
        kernel_id = str(person.post("kernels", LIMIT_S, name=kernel)["id"])
        owners[kernel_id] = person.name
        answers[kernel_id] = answer(person, kernel_id)
        seconds.append(time.monotonic() - begun)
        ended = person.request("DELETE", f"kernels/{kernel_id}", LIMIT_S)
        assert ended.status_code == 204, ended.text

    lag_of(server)
    with Submits(server.pid) as submits, ThreadPoolExecutor(len(people)) as pool:
        futures = [pool.submit(one, person) for person in people]
        begun = time.monotonic()
        together.wait()
        for future in futures:
            future.result(LIMIT_S)
    lag = lag_of(server)
    log = server.log.read_text()
    places = {kernel_id: int(place) for kernel_id, place in PLACE.findall(log)}
    return Burst(owners, answers, seconds, submits.most, places, SUBMIT.findall(log), lag)


def first_cell(person: Person, kernel_id: str) -> str:
    """What 1+1 is, in a kernel."""
    tab = person.connect(kernel_id)
    try:
        return tab.run("print(1+1)", LIMIT_S).splitlines()[-1]
    finally:
        tab.close()
