"""A kernel's owner-only directory on this host, in Jupyter's runtime directory, while it lives.

A server process holds its kernels' directories locked; what nobody locks was left, or its server was killed.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_runtime_dir

from .cluster.local_files import SWEEP_AGE_S, take_lock
from .log_writer import LogWriter


def record_directory(kernel_id: str) -> Path:
    """Where the record of this kernel is."""
    return Path(jupyter_runtime_dir()) / "sparkkernels" / kernel_id


def read_record(kernel_id: str) -> dict[str, Any] | None:
    """The record of a live kernel, None when there is none."""
    try:
        content = json.loads((record_directory(kernel_id) / "record.json").read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def records() -> list[str]:
    """The ids of the kernels that have a directory of ours, whoever holds them."""
    found = []
    root = record_directory("")
    for path in root.iterdir() if root.is_dir() else ():
        status = path.lstat()
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and is_kernel_id(path.name):
            found.append(path.name)
    return sorted(found)


def is_kernel_id(text: str) -> bool:
    """Whether this is a kernel's id as directories and tags are called."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def sweep(wanted: Callable[[Path], bool], now: float) -> None:
    """Remove the directories of servers that were killed.

    Parameters
    ----------
    wanted : callable
        Whether a directory is kept all the same.
    now : float
        Seconds since 1970.
    """
    for kernel_id in records():
        record = LaunchRecord(kernel_id)
        try:
            young = now - record.directory.stat().st_ctime < SWEEP_AGE_S
        except OSError:
            continue
        if not young and not wanted(record.directory) and record.lock():
            record.remove()


class LaunchRecord:
    """One kernel's directory: ``record.json``, ``registration.json`` until it was read, ``container.log``."""

    def __init__(self, kernel_id: str) -> None:
        self.kernel_id = kernel_id
        self.directory = record_directory(kernel_id)
        self._writer: LogWriter | None = None
        self._lock: int | None = None

    def lock(self) -> bool:
        """Hold the directory, which exists; whether nobody else does."""
        if self._lock is None:
            try:
                self._lock = take_lock(self.directory)
            except OSError:
                return False
        return True

    def leave(self) -> None:
        """Leave it to somebody else."""
        self._end_log()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def write_registration(self, content: dict[str, Any]) -> Path:
        """Write the registration file (launchers/PROTOCOL.md, section 1), owner-only."""
        return self.write_file("registration.json", content)

    def remove_registration(self) -> None:
        """The supervisor has it, or never will."""
        (self.directory / "registration.json").unlink(missing_ok=True)

    def write(self, content: dict[str, Any]) -> None:
        """Write what is known of the application; no secret belongs into it."""
        self.write_file("record.json", content)

    def log(self, data: bytes) -> None:
        """Append to container.log, from any thread and without waiting for the disk."""
        if self._writer is None:
            self._writer = LogWriter(self.directory / "container.log")
        self._writer.put(data)

    def remove(self) -> None:
        """Leave nothing behind; idempotent."""
        self._end_log()
        shutil.rmtree(self.directory, ignore_errors=True)
        self.leave()

    def _end_log(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def write_file(self, name: str, content: dict[str, Any]) -> Path:
        """Write one file, whole at every moment and owner-only."""
        self.directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory.mkdir(mode=0o700, exist_ok=True)
        self.lock()
        path = self.directory / name
        temporary = self.directory / f".{name}"
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file)
        temporary.replace(path)
        return path
