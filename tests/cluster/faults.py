"""What the fault table needs: ways to injure, a watch beside each kernel, and the table itself."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.ioloop.manager import AsyncIOLoopKernelManager

from .conftest import until
from .notebook import Notebook

#: The file that the rows are appended to, for docs/reliability.md.
TABLE = "FAULT_TABLE"
CGROUPS = Path("/sys/fs/cgroup")
COMMAND_S = 30.0


def record(fault: str, seen: str, **seconds: float) -> None:
    """Add a row to the table: what was done, what the user saw, and after how many seconds."""
    after = ", ".join(f"{name.replace('_', ' ')}: {value:.1f} s" for name, value in seconds.items())
    row = f"| {fault} | {seen} | {after} |"
    print(row)
    if path := os.environ.get(TABLE):
        with open(path, "a") as file:
            file.write(f"{row}\n")


class Deaths(logging.Handler):
    """What the server's log says of deaths, each with its time."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[float, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what matters here."""
        text = record.getMessage()
        if " died. " in text or "not started again by itself" in text or "has lost its Spark" in text:
            self.told.append((record.created, text))


@contextmanager
def deaths_told() -> Iterator[Deaths]:
    """Listen to the log of all kernels of this process."""
    handler = Deaths()
    logger = logging.getLogger("traitlets")
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)


@dataclass
class Patient:
    """A kernel with the restarter that Jupyter servers have, and what is told of it.

    Parameters
    ----------
    manager : AsyncIOLoopKernelManager
        Of a kernel that was started.
    log : Deaths
    """

    manager: AsyncIOLoopKernelManager
    log: Deaths
    restarts: int = 0
    dead: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.manager.add_restart_callback(self._restarting)
        self.manager.add_restart_callback(self.dead.set, "dead")
        self.notebook = Notebook(self.manager)

    def _restarting(self) -> None:
        self.restarts += 1

    @property
    def provisioner(self) -> Any:
        """The kernel's."""
        return self.manager.provisioner

    @property
    def number(self) -> int:
        """How many kernel processes it has had."""
        return int(self.provisioner._number)

    def told(self, since: float) -> tuple[float, str] | None:
        """What the log has told of this kernel's death since then."""
        found = [(at, text) for at, text in self.log.told if at >= since and self.manager.kernel_id in text]
        return next(((at, text) for at, text in found if " died. " in text), None)

    async def dies_of(self, fault: str, words: str, done_at: float) -> None:
        """Wait for the log to tell its death with these words, and add a row to the table.

        Parameters
        ----------
        fault : str
            What was done, at ``done_at``.
        words : str
        done_at : float
            Seconds since the epoch.
        """
        try:
            at, text = await until(lambda: self.told(done_at), f"the death of {fault} is told")
        except AssertionError as error:
            report = self.provisioner._application and self.provisioner._application.report
            raise AssertionError(f"{error}; YARN said {report}, and the log {self.log.told}") from None
        assert words in text, text
        seconds = {"told_after": at - done_at}
        record(fault, f"“{text.partition(' died. ')[2].splitlines()[0]}”", **seconds)

    async def is_up_again(self, number: int, fault: str, done_at: float) -> None:
        """Wait until its restarter has brought up process ``number``, in which a cell works."""
        await until(lambda: self.number == number and self.manager.has_kernel, f"{fault}: restarted")
        up_at = time.time()
        await self.notebook.client.wait_for_ready(timeout=120)
        assert (await self.notebook.ok("6 * 7")).value == "42"
        record(f"{fault}, then", "the kernel restarts by itself", up_again_after=up_at - done_at)


@asynccontextmanager
async def patient(name: str, log: Deaths) -> AsyncIterator[Patient]:
    """A kernel of this kernelspec, connected to; it is shut down whatever becomes of the test."""
    manager = AsyncIOLoopKernelManager(kernel_name=name)
    await manager.start_kernel()
    found = Patient(manager, log)
    try:
        await found.notebook.open()
        yield found
    finally:
        found.notebook.close()
        await manager.shutdown_kernel()


def above(pid: int) -> list[psutil.Process]:
    """The ancestors of a process, nearest first."""
    return list(psutil.Process(pid).parents())


@contextmanager
def cut_off(port: int, *, reset: bool) -> Iterator[None]:
    """No packet to or from this port passes on this host; with ``reset`` both ends are told at once."""
    table = f"sparkkernels-fault-{os.getpid()}-{port}"
    verdict = "reject with tcp reset" if reset else "drop"
    rules = f"""table inet {table} {{
      chain output {{
        type filter hook output priority 0; policy accept;
        tcp flags & rst == rst accept
        tcp dport {port} {verdict}
        tcp sport {port} {verdict}
      }}
    }}"""
    _run("nft", "-f", "-", text=rules)
    try:
        yield
    finally:
        _run("nft", "delete", "table", "inet", table)


@contextmanager
def memory_limit(pid: int, limit: int) -> Iterator[None]:
    """Linux kills this process when it uses more than so many bytes, as when a host's memory runs out."""
    version_1 = CGROUPS / "memory"
    group = (version_1 if version_1.is_dir() else CGROUPS) / f"sparkkernels-fault-{os.getpid()}"
    group.mkdir()
    names = ("memory.limit_in_bytes",) if version_1.is_dir() else ("memory.max", "memory.swap.max")
    try:
        for name in names:
            (group / name).write_text("0" if "swap" in name else str(limit))
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        deadline = time.monotonic() + COMMAND_S
        while (group / "cgroup.procs").read_text() and time.monotonic() < deadline:
            time.sleep(0.1)
        group.rmdir()


@contextmanager
def small_disk(directory: Path, mib: int) -> Iterator[None]:
    """A file system of so many MiB in place of a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    status = directory.stat()
    options = f"size={mib}m,mode={status.st_mode & 0o7777:o}"
    _run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory))
    try:
        yield
    finally:
        _run("umount", "--lazy", str(directory))


def _run(*command: str, text: str | None = None) -> None:
    subprocess.run(command, input=text, text=True, check=True, timeout=COMMAND_S)
