"""Which clusters there are: one small file per name, written before anything else of a cluster exists."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.cluster.harness import processes
from tests.cluster.harness.artifacts import cache_directory
from tests.cluster.harness.errors import HarnessError

#: Lies in every directory the harness made: nothing without it is ever deleted.
_OURS = ".sparkkernels-test-cluster"


@dataclass(frozen=True)
class Entry:
    """What is needed to find a cluster, and to remove it however far it got.

    Parameters
    ----------
    name : str
        What people call it.
    directory : str
        Where everything of it is; processes and network interfaces are recognised by it.
    hosts : int
        How many workers have network namespaces.
    owner_pid, owner_start_time : int
        The process that brings, or brought, it up.
    """

    name: str
    directory: str
    hosts: int
    owner_pid: int
    owner_start_time: int

    def has_owner(self) -> bool:
        """Tell whether the process that brought it up still runs."""
        return processes.start_time(self.owner_pid) == self.owner_start_time


def claim(name: str, hosts: int, directory: Path | None) -> Entry:
    """Take a name and make a directory for its cluster.

    Parameters
    ----------
    name : str
        Letters, digits, ``-`` and ``_``.
    hosts : int
        How many workers will have network namespaces.
    directory : Path, optional
        A directory that does not exist yet or is empty; else one is made below the temporary directory.

    Returns
    -------
    Entry
        What was written down.

    Raises
    ------
    HarnessError
        When the name is taken or malformed, or the directory holds something.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,30}", name):
        raise HarnessError(f"{name!r} is no name for a cluster: letters, digits, - and _, at most 31.")
    if directory is None:
        made = Path(tempfile.mkdtemp(prefix=f"sparkkernels-{name}-")).resolve()
    else:
        made = directory.resolve()
        if made.exists() and (not made.is_dir() or any(made.iterdir())):
            raise HarnessError(f"{made} is not an empty directory, and `down` would delete it.")
        made.mkdir(parents=True, exist_ok=True)
    (made / _OURS).touch()
    # Clients of other accounts read their configuration here.
    made.chmod(0o755)
    own_start_time = processes.start_time(os.getpid())
    assert own_start_time is not None
    entry = Entry(name, str(made), hosts, os.getpid(), own_start_time)
    path = _path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x") as file:
            json.dump(asdict(entry), file)
    except FileExistsError:
        remove_directory(made)
        raise HarnessError(
            f"A cluster named {name!r} exists already: `python -m tests.cluster down --name {name}` ends it."
        ) from None
    except BaseException:
        remove_directory(made)
        raise
    return entry


def find(name: str) -> Entry | None:
    """Look a name up; None when there is no such cluster."""
    try:
        return Entry(**json.loads(_path(name).read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        # A crash in the middle of the first write: nothing of the cluster can exist yet.
        return Entry(name, "", 0, 0, -1)


def release(entry: Entry) -> None:
    """Forget a cluster whose processes and interfaces are gone, and delete its directory."""
    if entry.directory:
        remove_directory(Path(entry.directory))
    _path(entry.name).unlink(missing_ok=True)


def remove_directory(directory: Path) -> None:
    """Delete a directory that the harness made, and none other.

    Parameters
    ----------
    directory : Path
        Its path; it may be gone already.
    """
    marker = directory / _OURS
    if not marker.is_file():
        return
    # The marker goes last, so that an interrupted removal can be taken up again.
    for child in directory.iterdir():
        if child == marker:
            continue
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()
    shutil.rmtree(directory)


def _path(name: str) -> Path:
    return cache_directory() / "clusters" / f"{name}.json"
