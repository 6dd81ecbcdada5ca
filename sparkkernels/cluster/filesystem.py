"""The cluster's file system: through WebHDFS where there is one, else through Hadoop's FsShell."""

from __future__ import annotations

import posixpath
import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from hdfs.client import Client, _Request
from hdfs.util import HdfsError

from ..errors import CredentialsError, NotAllowed, SparkKernelError
from .hadoop_cli import FS_SHELL, HadoopCli
from .impersonation import impersonation_refused

CHUNK_BYTES = 1 << 20
TIMEOUT_S = (3.05, 60.0)
SHELL_TIMEOUT_S = 60.0
UPLOAD_TIMEOUT_S = 1800.0


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


class _Client(Client):  # type: ignore[misc]
    """The library's client, with the one operation that it lacks."""

    _set_quota = _Request("PUT")


class WebHdfs(FileSystem):
    """HDFS through its web service.

    Parameters
    ----------
    addresses : list of str
        Of all NameNodes.
    session_factory : callable
        Makes the session of each thread: what proves who asks.
    proxy_user : str or None
        On whose behalf it is asked.
    """

    def __init__(
        self,
        addresses: list[str],
        session_factory: Callable[[], requests.Session],
        proxy_user: str | None = None,
    ) -> None:
        self._addresses = addresses
        self._session_factory = session_factory
        self._proxy_user = proxy_user
        self._local = threading.local()

    @property
    def _client(self) -> _Client:
        client = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = _Client(
                ";".join(self._addresses),
                proxy=self._proxy_user,
                timeout=TIMEOUT_S,
                session=self._session_factory(),
            )
        return client

    def home(self) -> str:
        """The user's home directory."""
        return str(self._call(lambda: self._client.resolve("")))

    def status(self, path: str) -> FileStatus | None:
        """One path's status."""
        found = self._call(lambda: self._client.status(path, strict=False))
        return None if found is None else _webhdfs_status(path, found)

    def entries(self, path: str) -> list[FileStatus]:
        """What is in a directory."""
        try:
            found = self._call(lambda: self._client.list(path, status=True))
        except FileNotFoundError:
            return []
        return [_webhdfs_status(f"{path}/{name}", status) for name, status in found]

    def make_directory(self, path: str, mode: int) -> None:
        """Make a directory; only the last one gets the mode."""
        if self.status(path) is None:
            self._call(lambda: self._client.makedirs(path))
            self.set_mode(path, mode)

    def set_mode(self, path: str, mode: int) -> None:
        """Set the permission bits."""
        self._call(lambda: self._client.set_permission(path, oct(mode)[2:]))

    def set_owner(self, path: str, owner: str) -> None:
        """Give it to somebody."""
        self._call(lambda: self._client.set_owner(path, owner=owner))

    def set_space_quota(self, path: str, quota_bytes: int) -> None:
        """Limit the bytes; NameNodes can since Hadoop 3.3."""
        self._call(lambda: self._client._set_quota(path, storagespacequota=str(quota_bytes)))

    def delete(self, path: str) -> None:
        """Remove a file or a whole directory."""
        self._call(lambda: self._client.delete(path, recursive=True))

    def _put(self, source: Path, path: str, mode: int) -> None:
        def write() -> None:
            with source.open("rb") as data:
                chunks = iter(lambda: data.read(CHUNK_BYTES), b"")
                self._client.write(path, data=chunks, permission=oct(mode)[2:])

        self._call(write)

    def _rename(self, source: str, path: str) -> None:
        self._call(lambda: self._client.rename(source, path))

    def _call(self, call: Any) -> Any:
        """Foreign errors become ours here."""
        try:
            return call()
        except requests.RequestException as error:
            raise FileSystemUnreachable(
                f"WebHDFS at {', '.join(self._addresses)} can't be reached.",
                diagnostics=type(error).__name__,
            ) from error
        except HdfsError as error:
            text, kind = str(error), error.exception or ""
            if kind == "FileNotFoundException" or "does not exist" in text:
                raise FileNotFoundError(text) from error
            if "Authentication required" in text or "Unauthorized" in text:
                raise CredentialsError(
                    "HDFS does not accept this server's Kerberos credentials.",
                    diagnostics=text,
                    hint="See `klist`, and whether the NameNode's web service wants Kerberos.",
                ) from error
            if refused := impersonation_refused(text):
                raise refused from error
            if "AccessControlException" in kind or "Permission denied" in text:
                raise NotAllowed("HDFS does not allow this.", diagnostics=text) from error
            raise SparkKernelError("HDFS refuses.", diagnostics=text) from error


class FsShell(FileSystem):
    """Any file system that Hadoop knows, through a JVM for each call.

    Parameters
    ----------
    cli : HadoopCli
    user : str
    """

    is_quick = False

    def __init__(self, cli: HadoopCli, user: str) -> None:
        self._cli = cli
        self._user = user

    def home(self) -> str:
        """The user's home directory (``dfs.user.home.dir.prefix`` is ``/user``)."""
        return f"/user/{self._user}"

    def status(self, path: str) -> FileStatus | None:
        """One path's status."""
        return next(iter(self._stat(path)), None)

    def entries(self, path: str) -> list[FileStatus]:
        """What is in a directory."""
        return self._stat(f"{path}/*")

    def make_directory(self, path: str, mode: int) -> None:
        """Make a directory."""
        if self.status(path) is None:
            self._run("-mkdir", "-p", path)
            self.set_mode(path, mode)

    def set_mode(self, path: str, mode: int) -> None:
        """Set the permission bits."""
        self._run("-chmod", oct(mode)[2:], path)

    def set_owner(self, path: str, owner: str) -> None:
        """Give it to somebody."""
        self._run("-chown", owner, path)

    def set_space_quota(self, path: str, quota_bytes: int) -> None:
        """FsShell has no word for it."""
        raise SparkKernelError(
            "Quotas can only be set through WebHDFS, which can't be used here.",
            hint=f"Run: hdfs dfsadmin -setSpaceQuota {quota_bytes} {path}",
        )

    def delete(self, path: str) -> None:
        """Remove a file or a whole directory."""
        self._run("-rm", "-r", "-f", "-skipTrash", path)

    def _put(self, source: Path, path: str, mode: int) -> None:
        self._run("-put", str(source), path, timeout_s=UPLOAD_TIMEOUT_S)
        self.set_mode(path, mode)

    def _rename(self, source: str, path: str) -> None:
        self._run("-mv", source, path)

    def _stat(self, pattern: str) -> list[FileStatus]:
        output = self._run("-stat", "%F|%a|%u|%n", pattern, missing_ok=True)
        folder = posixpath.dirname(pattern)
        lines = [line.split("|", 3) for line in output.splitlines() if line.count("|") >= 3]
        return [
            FileStatus(posixpath.join(folder, name), owner, int(mode, 8), kind == "directory")
            for kind, mode, owner, name in lines
        ]

    def _run(self, *arguments: str, missing_ok: bool = False, timeout_s: float = SHELL_TIMEOUT_S) -> str:
        done = self._cli.run(FS_SHELL, arguments, timeout_s)
        if done.returncode and not (missing_ok and "No such file or directory" in done.stderr):
            said = [line for line in done.stderr.splitlines() if not line.startswith(("WARN", "SLF4J", "\t"))]
            error = NotAllowed if "Permission denied" in done.stderr else SparkKernelError
            raise error(
                "The cluster's file system refuses.", diagnostics="\n".join(line[:500] for line in said[-5:])
            )
        return done.stdout


def _webhdfs_status(path: str, status: dict[str, Any]) -> FileStatus:
    return FileStatus(path, status["owner"], int(status["permission"], 8), status["type"] == "DIRECTORY")
