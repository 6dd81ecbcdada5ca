"""HDFS through its web service."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from hdfs.client import Client, _Request
from hdfs.util import HdfsError

from ..errors import CredentialsError, NotAllowed, SparkKernelError
from .authority import refused_certificate
from .filesystem import FileStatus, FileSystem, FileSystemUnreachable
from .impersonation import impersonation_refused

CHUNK_BYTES = 1 << 20
TIMEOUT_S = (3.05, 60.0)


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

    def read(self, path: str, most_bytes: int) -> bytes:
        """A file's content, or the beginning of a longer one."""

        def content() -> bytes:
            with self._client.read(path, length=most_bytes) as reader:
                return bytes(reader.read())

        return bytes(self._call(content))

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
            where = ", ".join(self._addresses)
            if certificate := refused_certificate(error):
                raise FileSystemUnreachable(
                    f"The HTTPS certificate of WebHDFS at {where} is not trusted: {certificate.reason}.",
                    hint=certificate.hint,
                ) from error
            raise FileSystemUnreachable(
                f"WebHDFS at {where} can't be reached.", diagnostics=type(error).__name__
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


def _webhdfs_status(path: str, status: dict[str, Any]) -> FileStatus:
    return FileStatus(path, status["owner"], int(status["permission"], 8), status["type"] == "DIRECTORY")
