"""Homes on the cluster's file system: ``/user/<name>``, owned by the name, closed to all others."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from enum import Enum

from ..errors import ConfigurationError, NotAllowed, SparkKernelError
from .filesystem import FileStatus, FileSystem

CREATE_COMMAND = "jupyter sparkkernels homes create"
OWNER_MAY_WRITE = 0o300
OTHERS_MAY_ANYTHING = 0o077
HOME_MODE, ROOT_MODE = 0o700, 0o755

#: A size as HDFS's administrators write it; the letters are powers of 1024.
SIZE = re.compile(r"([1-9][0-9]{0,17})([KMGTPE]?)B?\Z", re.IGNORECASE | re.ASCII)
LETTERS = " KMGTPE"


class Done(Enum):
    """What creating a home came to; the value is the word for it."""

    CREATED = "created"
    CORRECTED = "corrected"
    UNCHANGED = "is as it should be"


def parse_size(text: str) -> int:
    """A number of bytes from ``500g``, ``2T``, ``1048576``.

    Raises
    ------
    ConfigurationError
    """
    found = SIZE.match(text.strip())
    if not found:
        raise ConfigurationError(
            f"{text[:40]!r} is not a size.", hint="Write a whole number of bytes, or with K, M, G, T: 500G."
        )
    return int(found[1]) << 10 * LETTERS.index(found[2].upper() or " ")


class Homes:
    """The homes of one cluster, as an HDFS superuser has them.

    Parameters
    ----------
    file_system : FileSystem
        Asked with a superuser's credentials.
    superuser : str
        Its name: homes that belong to it by mistake are given to their users.
    root : str
        Directory of the homes (``dfs.user.home.dir.prefix``).
    """

    def __init__(self, file_system: FileSystem, superuser: str, root: str = "/user") -> None:
        self._fs = file_system
        self._superuser = superuser
        self._root = root.rstrip("/")

    def create(self, user: str, quota_bytes: int | None = None) -> Done:
        """Make a home, or correct the owner and mode of one that is there; safe to repeat.

        Raises
        ------
        NotAllowed
            It is somebody else's, or who asks is no superuser.
        SparkKernelError
        """
        path = f"{self._root}/{user}"
        status = self._fs.status(path)
        done = Done.UNCHANGED
        if status is None:
            self._make_root()
            self._fs.make_directory(path, HOME_MODE)
            status = FileStatus(path, self._superuser, HOME_MODE, is_directory=True)
            done = Done.CREATED
        elif not status.is_directory:
            raise SparkKernelError(f"{path} is a file, so {user} can't have a home there.")
        elif status.owner not in (user, self._superuser):
            raise NotAllowed(
                f"{path} belongs to {status.owner}, so it is not given to {user}.",
                hint=f"If that is wrong, run: hdfs dfs -chown -R {user} {path}",
            )
        # Closed before it changes hands, so that nobody gets in between.
        if status.mode & 0o7777 != HOME_MODE:
            self._fs.set_mode(path, HOME_MODE)
            done = Done.CORRECTED
        if status.owner != user:
            self._fs.set_owner(path, user)
            done = done if done is Done.CREATED else Done.CORRECTED
        if quota_bytes is not None:
            self._fs.set_space_quota(path, quota_bytes)
        return done

    def faults(self, users: Collection[str] = ()) -> Iterator[str]:
        """What is missing or too open, a sentence each: of these users, or of every home there is."""
        if not users:
            there = self._fs.entries(self._root)
            users = [status.path.rpartition("/")[2] for status in there if status.is_directory]
        for user in users:
            path = f"{self._root}/{user}"
            status = self._fs.status(path)
            if status is None:
                yield f"{user} has no home: there is no {path}."
            elif status.owner != user:
                yield f"{path} belongs to {status.owner} instead of {user}."
            elif status.mode & OTHERS_MAY_ANYTHING:
                yield f"{path} is open to others (mode {status.mode & 0o7777:04o}, not {HOME_MODE:04o})."
            elif status.mode & OWNER_MAY_WRITE != OWNER_MAY_WRITE:
                yield f"{path} is closed to its owner (mode {status.mode & 0o7777:04o})."

    def _make_root(self) -> None:
        """The parent first: made together, it would get the home's owner or mode."""
        if self._fs.status(self._root) is None:
            self._fs.make_directory(self._root, ROOT_MODE)


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
            f"The user {user} has no home directory on the cluster's file system: there is no {path}.",
            hint=f"An administrator of HDFS creates it with: {CREATE_COMMAND} {user}",
        )
    if status.owner != user:
        raise NotAllowed(
            f"The home directory {path} of {user} belongs to {status.owner}.",
            hint=f"An administrator of HDFS corrects it with: {CREATE_COMMAND} {user}",
        )
    if status.mode & OWNER_MAY_WRITE != OWNER_MAY_WRITE:
        raise NotAllowed(
            f"The user {user} may not write to the home directory {path} (mode {status.mode & 0o7777:04o}).",
            hint=f"Correct it with: hdfs dfs -chmod 700 {path}",
        )
