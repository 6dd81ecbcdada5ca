"""HDFS through WebHDFS, as far as the tests need it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from tests.cluster.harness.web import Authenticate, WebError, ask, by_name


class WebHdfs:
    """The file system behind one NameNode.

    Parameters
    ----------
    url : str
        The NameNode's web server, like ``http://localhost:9870``.
    user : str
        Who asks, unless a call says otherwise.
    authenticate : callable
        How a user is known.
    ca_file : Path, optional
        Whom to believe, for HTTPS.
    """

    def __init__(
        self, url: str, user: str, authenticate: Authenticate = by_name, ca_file: Path | None = None
    ) -> None:
        self._url = url
        self._user = user
        self._authenticate = authenticate
        self._ca_file = ca_file

    def mkdir(self, path: str, permission: str = "755", owner: str | None = None) -> None:
        """Make a directory, with its parents, which get the same permission.

        Parameters
        ----------
        path : str
            Absolute path.
        permission : str
            Octal mode.
        owner : str, optional
            Whom to give it to, with the group of the same name.
        """
        self._ask("PUT", path, op="MKDIRS", permission=permission)
        # The server's umask was applied: say it again.
        self._ask("PUT", path, op="SETPERMISSION", permission=permission)
        if owner is not None:
            self._ask("PUT", path, op="SETOWNER", owner=owner, group=owner)

    def put(self, path: str, content: bytes, user: str | None = None) -> None:
        """Write a file, replacing what is there.

        Parameters
        ----------
        path : str
            Absolute path.
        content : bytes
            All of it.
        user : str, optional
            Who writes, and owns it.
        """
        answer = self._ask("PUT", path, user=user, op="CREATE", overwrite="true")
        ask("PUT", answer.headers["Location"], body=content, ca_file=self._ca_file)

    def get(self, path: str) -> bytes:
        """Read a file.

        Parameters
        ----------
        path : str
            Absolute path.

        Returns
        -------
        bytes
            All of it.
        """
        answer = self._ask("GET", path, op="OPEN")
        if answer.status == 307:
            answer = ask("GET", answer.headers["Location"], ca_file=self._ca_file)
        return bytes(answer.body)

    def status(self, path: str) -> dict[str, Any] | None:
        """Describe a file or directory.

        Parameters
        ----------
        path : str
            Absolute path.

        Returns
        -------
        dict or None
            WebHDFS's FileStatus (``owner``, ``permission``, ``type``, ``length``, ...); None when there is
            nothing.
        """
        try:
            found: dict[str, Any] = self._ask("GET", path, op="GETFILESTATUS").json()["FileStatus"]
        except WebError as error:
            if error.status == 404:
                return None
            raise
        return found

    def list(self, path: str) -> list[str]:
        """List a directory.

        Parameters
        ----------
        path : str
            Absolute path.

        Returns
        -------
        list of str
            The names in it, sorted; none when it does not exist.
        """
        try:
            found = self._ask("GET", path, op="LISTSTATUS").json()["FileStatuses"]["FileStatus"]
        except WebError as error:
            if error.status == 404:
                return []
            raise
        return sorted(entry["pathSuffix"] for entry in found)

    def delete(self, path: str) -> bool:
        """Delete a file or a directory with all it holds.

        Parameters
        ----------
        path : str
            Absolute path.

        Returns
        -------
        bool
            False when there was nothing.
        """
        return bool(self._ask("DELETE", path, op="DELETE", recursive="true").json()["boolean"])

    def _ask(self, method: str, path: str, user: str | None = None, **parameters: str) -> Any:
        """Send one operation to the NameNode."""
        address = f"{self._url}/webhdfs/v1{quote(path)}?{urlencode(parameters)}"
        url, headers = self._authenticate(address, user or self._user)
        return ask(method, url, headers=headers, ca_file=self._ca_file)
