"""Any file system that Hadoop knows, through Hadoop's FsShell: a JVM for each call."""

from __future__ import annotations

import posixpath
from pathlib import Path

from ..errors import NotAllowed, SparkKernelError
from .filesystem import FileStatus, FileSystem
from .hadoop_cli import FS_SHELL, HadoopCli

SHELL_TIMEOUT_S = 60.0
UPLOAD_TIMEOUT_S = 1800.0


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
