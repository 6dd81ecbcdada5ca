"""A file system for unit tests."""

from __future__ import annotations

import dataclasses
import posixpath
from pathlib import Path

from sparkkernels.cluster.filesystem import FileStatus, FileSystem
from sparkkernels.cluster.staging import components
from sparkkernels.errors import SparkKernelError


class Memory(FileSystem):
    """A file system that is a dictionary.

    Attributes
    ----------
    changes : list of str
        What was changed about directories, in order.
    """

    def __init__(self, user: str = "alice") -> None:
        self.user = user
        self.changes: list[str] = []
        self.quotas: dict[str, int] = {}
        self.files: dict[str, FileStatus] = {}
        self.contents: dict[str, bytes] = {}
        self.fail_rename = False
        for path, owner, mode in (
            ("/", "hdfs", 0o755),
            ("/user", "hdfs", 0o755),
            ("/user/alice", "alice", 0o700),
        ):
            self.add(path, owner, mode)

    def add(self, path: str, owner: str, mode: int, is_directory: bool = True) -> None:
        self.files[path] = FileStatus(path, owner, mode, is_directory)

    def home(self) -> str:
        return f"/user/{self.user}"

    def status(self, path: str) -> FileStatus | None:
        return self.files.get(path)

    def entries(self, path: str) -> list[FileStatus]:
        return [
            status for name, status in self.files.items() if posixpath.dirname(name) == path and name != "/"
        ]

    def make_directory(self, path: str, mode: int) -> None:
        self.changes.append(f"mkdir {path} {mode:o}")
        for component in components(path):
            if component not in self.files:
                self.add(component, self.user, mode)

    def set_mode(self, path: str, mode: int) -> None:
        self.changes.append(f"chmod {path} {mode:o}")
        self.files[path] = dataclasses.replace(self.files[path], mode=mode)

    def set_owner(self, path: str, owner: str) -> None:
        self.changes.append(f"chown {path} {owner}")
        self.files[path] = dataclasses.replace(self.files[path], owner=owner)

    def set_space_quota(self, path: str, quota_bytes: int) -> None:
        self.quotas[path] = quota_bytes

    def delete(self, path: str) -> None:
        self.files.pop(path, None)

    def _put(self, source: Path, path: str, mode: int) -> None:
        self.add(path, self.user, mode, is_directory=False)
        self.contents[path] = source.read_bytes()

    def _rename(self, source: str, path: str) -> None:
        if self.fail_rename or path in self.files:
            raise SparkKernelError("exists")
        status = self.files.pop(source)
        self.add(path, status.owner, status.mode, is_directory=False)
        self.contents[path] = self.contents.pop(source)
