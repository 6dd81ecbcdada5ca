"""Not SparkR: an R package of its name and parts that speaks its protocol (see DESCRIPTION)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

#: The first cell of a notebook: short names for what the tests call.
BEGIN = """
library(SparkR)
call <- sparkR.callJMethod
sql <- function(text) call(spark, "sql", text)
application <- function() call(call(spark, "sparkContext"), "applicationId")
"""
#: A Spark job that takes far longer than anybody waits.
JOB = 'message("at work"); call(sql("select sum(hash(id)) from range(0, 1000000000000, 1, 2)"), "head")'


def install(library: Path) -> None:
    """Install it into a library of R."""
    library.mkdir(parents=True, exist_ok=True)
    command = ["R", "CMD", "INSTALL", "--no-docs", "--no-test-load", f"--library={library}"]
    subprocess.run([*command, str(Path(__file__).parent)], check=True, capture_output=True, timeout=120)


def archive(directory: Path) -> Path:
    """Pack a library with it as Spark's distributions do, for ``spark.yarn.dist.archives``."""
    install(directory / "library")
    return Path(shutil.make_archive(str(directory / "sparkr"), "zip", directory / "library"))
