"""Where kernel processes import from: files, since each process compiles anew what it imports from a zip."""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from typing import Dict, Sequence

#: The zip (or directory) that this package came in.
LAUNCHERS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
#: What Spark ships for Python.
SPARK = re.compile(r"(pyspark|py4j)\b.*\.zip$")


class PythonPath:
    """``PYTHONPATH`` of kernel processes.

    Parameters
    ----------
    given : str
        The container's.
    directory : str
        The container's working directory.
    """

    def __init__(self, given: str, directory: str) -> None:
        self._given = [entry for entry in given.split(os.pathsep) if entry]
        self._launchers = os.path.join(directory, ".sparkkernels")
        self._spark = os.path.join(directory, ".spark")
        if not unpack([LAUNCHERS], self._launchers):
            self._launchers = LAUNCHERS

    def unpack_spark(self) -> None:
        """Unpack what Spark ships, unless that is done, for processes that start from now on."""
        if os.path.isdir(self._spark):
            return
        first: Dict[str, str] = {}
        for entry in self._given:
            found = SPARK.match(os.path.basename(entry))
            if found:
                first.setdefault(found[1], entry)
        unpack(list(first.values()), self._spark)

    def __str__(self) -> str:
        entries = [self._launchers]
        for entry in self._given:
            if SPARK.match(os.path.basename(entry)) and self._spark not in entries:
                entries.append(self._spark)  # whoever starts before it is there uses the archives to the end
            entries.append(entry)
        return os.pathsep.join(entries)


def unpack(archives: Sequence[str], directory: str) -> bool:
    """Unpack these into a directory, which is there when it is complete; False when that can't be done."""
    partial = directory + ".partial"
    try:
        for archive in archives:
            with zipfile.ZipFile(archive) as file:
                file.extractall(partial)
        os.rename(partial, directory)
    except (OSError, zipfile.BadZipFile):  # a full disk; not an archive
        shutil.rmtree(partial, ignore_errors=True)
        return False
    return True
