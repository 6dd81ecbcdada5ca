"""The launchers as one file: a zip that Python runs, built the same to the byte from the same sources.

The file is named ``.py`` although it is a zip: spark-submit knows a Python application by that suffix alone
(``org.apache.spark.deploy.SparkSubmit.isPython``), and Python runs a zip whatever its name is.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigurationError

#: What the file carries: top-level packages, installed beside this one.
PACKAGES = ("sparkkernels_supervisor", "sparkkernels_python", "sparkkernels_r", "sparkkernels_scala")

MAIN = """\
import sys

from sparkkernels_supervisor.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
"""

#: The oldest time that a zip can express; a fixed one makes equal sources equal bytes.
TIMESTAMP = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Bundle:
    """The launchers' zip.

    Attributes
    ----------
    name : str
        File name with the first 12 hex digits of the content's SHA-256 in it.
    content : bytes
    """

    name: str
    content: bytes

    def write_to(self, directory: Path) -> Path:
        """Write the file into a directory, readable by its owner only, and return its path."""
        path = directory / self.name
        path.write_bytes(self.content)
        path.chmod(0o600)
        return path


def pack(files: Mapping[str, bytes]) -> Bundle:
    """Zip these files; the same files give the same bytes on every machine.

    Parameters
    ----------
    files : mapping of str to bytes
        Contents by path inside the zip, with ``/``.

    Notes
    -----
    Nothing is compressed: it is some 100 KB, and the bytes of a deflated stream depend on the zlib in use.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(files):
            info = zipfile.ZipInfo(path, TIMESTAMP)
            info.create_system = 3  # Unix, whatever this machine is
            info.external_attr = 0o100644 << 16
            archive.writestr(info, files[path])
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    return Bundle(f"sparkkernels-launchers-{digest[:12]}.py", content)


def package_directory(package: str) -> Path:
    """Where an installed package's files are, without importing it.

    Raises
    ------
    ConfigurationError
        It is not installed as plain files.
    """
    found = importlib.util.find_spec(package)
    locations = list(found.submodule_search_locations or ()) if found else []
    if not locations or not Path(locations[0]).is_dir():
        raise ConfigurationError(
            f"The package {package}, which runs beside the kernel, is not installed.",
            hint="Install sparkkernels again with pip.",
        )
    return Path(locations[0])


def package_files(package: str, directory: Path) -> Iterator[tuple[str, bytes]]:
    """A package's files as (path in the zip, content), without caches, hidden files, and jars for JVMs."""
    for path in directory.rglob("*"):
        relative = path.relative_to(directory)
        if any(part == "__pycache__" or part.startswith(".") for part in relative.parts):
            continue
        if path.is_file() and path.suffix not in (".pyc", ".pyo", ".jar"):
            yield f"{package}/{relative.as_posix()}", path.read_bytes()


@functools.cache
def launchers_bundle() -> Bundle:
    """The launchers installed with this package, read once per process.

    Raises
    ------
    ConfigurationError
    """
    files = {"__main__.py": MAIN.encode()}
    for package in PACKAGES:
        files.update(package_files(package, package_directory(package)))
    return pack(files)
