"""Where a secret could have got to, and whether it did."""

from __future__ import annotations

import base64
import contextlib
import html
import json
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

from .harness import Cluster
from .notebook import Notebook

#: Bytes that two pieces of a file have in common, so that a secret on the border is found; a keytab is small.
OVERLAP = 8192
PIECE = 4 * 2**20


class Secrets:
    """A kernel's secrets by name, in every form in which they could be written down."""

    def __init__(self, named: dict[str, bytes]) -> None:
        self.named = named
        self._forms = {name: forms(secret) for name, secret in named.items()}

    @classmethod
    def of(cls, notebook: Notebook, **more: bytes) -> Secrets:
        """Those of a live kernel: its own, its link's, and more."""
        manager, link = notebook.manager, notebook.provisioner._link
        assert manager.curve_secretkey, "the kernel does not encrypt"
        [session] = link._secrets
        return cls(
            {
                "kernel key": manager.session.key,
                "CURVE secret key": manager.curve_secretkey,
                "relay token": link.token.encode(),
                "session secret": session.encode(),
                **more,
            }
        )

    def found_in(self, data: bytes) -> set[str]:
        """Names of the secrets in it."""
        return {name for name, spellings in self._forms.items() if any(form in data for form in spellings)}

    def found_in_file(self, path: Path) -> set[str]:
        """Names of the secrets in a file, none when it has gone or is no file."""
        found: set[str] = set()
        with contextlib.suppress(OSError), path.open("rb") as file:
            rest = b""
            while piece := file.read(PIECE):
                found |= self.found_in(rest + piece)
                rest = piece[-OVERLAP:]
        return found


def forms(secret: bytes) -> set[bytes]:
    """A secret as it is, in hex and base64, and as JSON, HTML and URLs write it."""
    written = {secret, secret.hex().encode(), base64.b64encode(secret)}
    with contextlib.suppress(UnicodeDecodeError):
        text = secret.decode()
        written |= {html.escape(text).encode(), json.dumps(text)[1:-1].encode(), quote(text).encode()}
    return written


def leaked_by_processes(secrets: Secrets, kernel: int) -> list[str]:
    """Arguments and environments of all processes; the environment of the kernel itself is its own."""
    leaks = []
    for directory in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            if (int(directory.name), name) != (kernel, "environ"):
                leaks += told(secrets.found_in_file(directory / name), f"{name} of process {directory.name}")
    return leaks


def leaked_by_logs(secrets: Secrets, cluster: Cluster) -> list[str]:
    """Every log of a daemon and of a container, and what YARN generates to start one."""
    names = ("stdout", "stderr", "launch_container.sh", "directory.info")
    leaks = []
    for path in files_below([cluster.directory]):
        parts = path.relative_to(cluster.directory).parts
        if "logs" in parts or path.name.startswith(names) or path.suffix in (".log", ".out"):
            leaks += told(secrets.found_in_file(path), str(path))
    return leaks


def leaked_by_modes(secrets: Secrets, roots: Iterable[Path]) -> list[str]:
    """Files that hold a secret and that others may read."""
    leaks = []
    for path in files_below(roots):
        with contextlib.suppress(FileNotFoundError):
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & 0o077:
                leaks += told(secrets.found_in_file(path), f"{path} of mode {mode:o}")
    return leaks


def files_below(roots: Iterable[Path]) -> Iterator[Path]:
    """Regular files; links are not followed."""
    for root in roots:
        for directory, _, names in os.walk(root):
            for name in names:
                path = Path(directory, name)
                if path.is_file() and not path.is_symlink():
                    yield path


def told(found: set[str], where: str) -> list[str]:
    """In words."""
    return [f"{name} in {where}" for name in sorted(found)]
