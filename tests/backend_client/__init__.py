"""Not SparkR: an R package of its name and parts that speaks its protocol (see DESCRIPTION)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


def install(library: Path) -> None:
    """Install it into a library of R."""
    library.mkdir(parents=True, exist_ok=True)
    command = ["R", "CMD", "INSTALL", "--no-docs", "--no-test-load", f"--library={library}"]
    subprocess.run([*command, str(Path(__file__).parent)], check=True, capture_output=True, timeout=120)


def archive(directory: Path) -> Path:
    """Pack a library with it as Spark's distributions do, for ``spark.yarn.dist.archives``."""
    install(directory / "library")
    return Path(shutil.make_archive(str(directory / "sparkr"), "zip", directory / "library"))
