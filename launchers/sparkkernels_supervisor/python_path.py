"""Where kernel processes import from: files, since each process compiles anew what it imports from a zip."""

from __future__ import annotations

import os
import re
import shutil
import zipfile

#: The zip (or directory) that this package came in.
LAUNCHERS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
#: What Spark ships for Python.
SPARK = re.compile(r"(pyspark|py4j)\b.*\.zip$")


class PythonPath:
    """``PYTHONPATH`` of kernel processes, as ``str``: the launchers, and what the container has.

    Parameters
    ----------
    given : str
        The container's.
    directory : str
        The container's working directory.
    """

    def __init__(self, given: str, directory: str) -> None:
        self._entries = [LAUNCHERS, *filter(None, given.split(os.pathsep))]
        self._directory = os.path.join(directory, ".sparkkernels")
        unpack(LAUNCHERS, self._place(LAUNCHERS))

    def unpack_spark(self) -> None:
        """Unpack what Spark ships, for processes that start from now on."""
        for entry in self._entries:
            if SPARK.match(os.path.basename(entry)):
                unpack(entry, self._place(entry))

    def __str__(self) -> str:
        places = map(self._place, self._entries)
        found = (place if os.path.isdir(place) else entry for place, entry in zip(places, self._entries))
        return os.pathsep.join(found)

    def _place(self, entry: str) -> str:
        return os.path.join(self._directory, os.path.basename(entry))


def unpack(archive: str, directory: str) -> None:
    """Unpack it, if that can be done, into a directory that is there only when it is complete."""
    if not zipfile.is_zipfile(archive) or os.path.isdir(directory):
        return
    partial = directory + ".partial"
    try:
        with zipfile.ZipFile(archive) as file:
            file.extractall(partial)
        os.rename(partial, directory)
    except (OSError, zipfile.BadZipFile):  # a full disk; a damaged archive
        shutil.rmtree(partial, ignore_errors=True)
