"""The private directories of submits and local applications: locked while anybody needs them, else swept."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from pathlib import Path

LOCK = "lock"
#: A directory younger than this may not have its lock yet.
SWEEP_AGE_S = 60.0


def read_tail(path: Path, tail_bytes: int) -> str:
    """The last bytes of a file as text, from the first whole line; "" when there is no such file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - tail_bytes))
            text = file.read(tail_bytes).decode(errors="replace")
    except OSError:
        return ""
    return text.partition("\n")[2] if size > tail_bytes and "\n" in text else text


def directory_prefix() -> str:
    """How this user's directories are called."""
    return f"sparkkernels-{os.getuid()}-"


def take_lock(directory: Path) -> int:
    """Lock a directory's lock file for as long as the descriptor is open here or in any child that got it."""
    descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def sweep(parent: Path, now: float) -> None:
    """Remove directories of what ended after its server had been killed: nobody locks them.

    Parameters
    ----------
    parent : Path
        Where temporary directories are made.
    now : float
        Seconds since the epoch.
    """
    for directory in parent.glob(f"{directory_prefix()}*"):
        try:
            status = directory.lstat()
            if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode):
                continue
            if now - status.st_ctime < SWEEP_AGE_S:
                continue
            os.close(take_lock(directory))
            shutil.rmtree(directory, ignore_errors=True)
        except OSError:
            continue  # locked: it lives, or its server does
