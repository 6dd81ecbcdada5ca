"""The cluster's file system as staging and homes see it: `webhdfs` and `fs_shell` are two ways to it."""

from __future__ import annotations

import posixpath
import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from ..errors import SparkKernelError


@dataclass(frozen=True)
class FileStatus:
    """One file or directory.

    Attributes
    ----------
    path : str
    owner : str
    mode : int
        Permission bits, the sticky one (0o1000) included.
    is_directory : bool
    """

    path: str
    owner: str
    mode: int
    is_directory: bool


class FileSystemUnreachable(SparkKernelError):
    """The file system can't be asked this way."""


class FileSystem(ABC):
    """What staging and homes need; all of it blocks.

    Attributes
    ----------
    is_quick : bool
        Whether a call takes milliseconds, not seconds.
    """

    is_quick = True

    @abstractmethod
    def home(self) -> str:
        """The user's home directory."""

    @abstractmethod
    def status(self, path: str) -> FileStatus | None:
        """One path's status, None when there is no such file."""

    @abstractmethod
    def entries(self, path: str) -> list[FileStatus]:
        """What is in a directory; nothing when there is no such directory."""

    @abstractmethod
    def make_directory(self, path: str, mode: int) -> None:
        """Make a directory with its parents, unless it exists."""

    @abstractmethod
    def set_mode(self, path: str, mode: int) -> None:
        """Set the permission bits."""

    @abstractmethod
    def set_owner(self, path: str, owner: str) -> None:
        """Give it to somebody; only a superuser may."""

    @abstractmethod
    def set_space_quota(self, path: str, quota_bytes: int) -> None:
        """Limit the bytes that a directory's files may take, all replicas counted; only a superuser may."""

    @abstractmethod
    def delete(self, path: str) -> None:
        """Remove a file or a whole directory, if it exists."""

    def read(self, path: str, most_bytes: int) -> bytes:
        """A file's content, or the beginning of a longer one.

        Raises
        ------
        FileSystemUnreachable
            This way of asking has no such operation.
        """
        raise FileSystemUnreachable(f"{path} can be read through WebHDFS only.")

    @abstractmethod
    def _put(self, source: Path, path: str, mode: int) -> None:
        """Write a file."""

    @abstractmethod
    def _rename(self, source: str, path: str) -> None:
        """Rename; fails when the target exists."""

    def upload(self, source: Path, path: str, mode: int) -> None:
        """Copy a local file to a path at which it appears complete or not at all.

        Raises
        ------
        NotAllowed, SparkKernelError
        """
        folder, name = posixpath.split(path)
        temporary = f"{folder}/.{name}.{uuid.uuid4().hex[:8]}"
        try:
            self._put(source, temporary, mode)
            try:
                self._rename(temporary, path)
            except SparkKernelError:
                if self.status(path) is None:
                    raise
        finally:
            self.delete(temporary)
