"""Build the host of Scala kernels, `launchers/sparkkernels_scala/host.jar`, with Maven, as setup.py does.

Does nothing when the jar is newer than its sources.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "launchers" / "scala"
JAR = ROOT / "launchers" / "sparkkernels_scala" / "host.jar"
#: What Maven fetches at the first time takes minutes.
TIMEOUT_S = 1200


def is_stale() -> bool:
    """Whether the jar is missing, or older than one of its sources."""
    sources = [SOURCES / "pom.xml", *(SOURCES / "src" / "main").rglob("*.scala")]
    return not JAR.is_file() or JAR.stat().st_mtime < max(path.stat().st_mtime for path in sources)


def toree_assembly() -> Path | None:
    """The jar that it is compiled against, of the package ``toree``; None when that is not installed."""
    found = importlib.util.find_spec("toree")
    locations = list(found.submodule_search_locations or ()) if found else []
    return next((jar for place in locations for jar in Path(place).glob("lib/toree-assembly-*.jar")), None)


def maven(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Maven on the sources; its output is in the result.

    Raises
    ------
    OSError
        There is no Maven or no Toree.
    subprocess.TimeoutExpired
    """
    program, assembly = shutil.which("mvn"), toree_assembly()
    if program is None or assembly is None:
        raise FileNotFoundError("Maven" if program is None else "the Python package toree")
    return subprocess.run(
        [program, "--batch-mode", "--quiet", *arguments],
        cwd=SOURCES,
        env={**os.environ, "TOREE_JAR": str(assembly)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def build() -> str:
    """Build the jar if it is stale; returns why that was not possible, "" when it was."""
    if not is_stale():
        return ""
    try:
        done = maven("package", "-DskipTests")
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"The host of Scala kernels could not be built: {error}."
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-20:])
        return f"Maven could not build the host of Scala kernels (exit code {done.returncode}).\n{tail}"
    shutil.copyfile(SOURCES / "target" / "host.jar", JAR)
    return ""


if __name__ == "__main__":
    sys.exit(build() or None)
