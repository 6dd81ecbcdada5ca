"""Homes on the cluster's file system: ``/user/<name>``, owned by the name, closed to all others."""

from __future__ import annotations

from ..errors import ConfigurationError, NotAllowed
from .filesystem import FileSystem

CREATE_COMMAND = "jupyter sparkkernels homes create"
OWNER_MAY_WRITE = 0o300


def check_home(file_system: FileSystem, user: str) -> None:
    """Refuse a start that Spark would fail for want of a home, where looking is quick.

    Raises
    ------
    ConfigurationError
        There is none.
    NotAllowed
        It is not the user's, or closed to its owner.
    """
    if not file_system.is_quick:
        return
    path = file_system.home()
    status = file_system.status(path)
    if status is None or not status.is_directory:
        raise ConfigurationError(
            f"{user} has no home directory on the cluster's file system: there is no {path}.",
            hint=f"An administrator of HDFS creates it with: {CREATE_COMMAND} {user}",
        )
    if status.owner != user:
        raise NotAllowed(
            f"The home directory {path} of {user} belongs to {status.owner}.",
            hint=f"An administrator of HDFS corrects it with: {CREATE_COMMAND} {user}",
        )
    if status.mode & OWNER_MAY_WRITE != OWNER_MAY_WRITE:
        raise NotAllowed(
            f"{user} may not write to the home directory {path} (mode {status.mode & 0o7777:04o}).",
            hint=f"Correct it with: hdfs dfs -chmod 700 {path}",
        )
