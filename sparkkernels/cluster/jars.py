"""A kernel's own jars: local files of this host, known on the cluster by the hash of their content."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigurationError

HINT = "Correct `jars` where it is set, or write the kernelspec anew with `jupyter sparkkernels install`."
#: What a name on the cluster is made of; Spark takes apart what looks like a list, a pattern or a fragment.
UNUSUAL = re.compile(r"[^A-Za-z0-9._\-]+")

#: Digests by path, with what their file looked like then.
_known: dict[Path, tuple[tuple[int, ...], str]] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class Jar:
    """One jar.

    Attributes
    ----------
    path : Path
        On this host.
    name : str
        On the cluster: the file's own, with the first 12 hex digits of the content's SHA-256.
    """

    path: Path
    name: str


def read_jars(paths: Iterable[str]) -> list[Jar]:
    """Look at the jars; a file is read again only when its size, its times or its inode are others.

    Raises
    ------
    ConfigurationError
        One is missing, no file or unreadable.
    """
    return [Jar(path, staged_name(path, _known_digest(path))) for path in map(Path, paths)]


def staged_name(path: Path, digest: str) -> str:
    """A jar's name on the cluster, from its name here and its content's SHA-256."""
    return f"{UNUSUAL.sub('_', path.stem)}-{digest[:12]}.jar"


def digest_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _known_digest(path: Path) -> str:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or not os.access(path, os.R_OK):
            raise PermissionError(errno.EACCES, "it is no file, or not one that this account may read")
        seen = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        with _lock:
            known = _known.get(path)
        if known is not None and known[0] == seen:
            return known[1]
        digest = digest_of(path)
    except OSError as error:
        raise ConfigurationError(
            f"The kernel's jar {path} can't be read on this host: {error.strerror}.", hint=HINT
        ) from error
    with _lock:
        _known[path] = (seen, digest)
    return digest
