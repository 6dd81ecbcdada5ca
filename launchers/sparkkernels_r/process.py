"""The R process: started, waited for, and survived by nothing."""

from __future__ import annotations

import os
import pkgutil
import shutil
import signal
import socket
import subprocess
import sys
import threading
from typing import Mapping

from sparkkernels_supervisor.processes import die_with_parent

from .news import News, listen

#: Names the file in which R reads of Spark.
VARIABLE = "SPARKKERNELS_R_SPARK"
NO_R = (
    "There is no R on this worker: no program of that name is on the kernel's PATH."
    " Install R and IRkernel on every worker (Debian: r-base-core and r-cran-irkernel)."
)


def run(connection_file: str, environ: Mapping[str, str]) -> int:
    """Run one R kernel to its end.

    Parameters
    ----------
    connection_file : str
        Jupyter's; what R needs besides is written beside it, readable by its owner only.
    environ : mapping of str to str
        The kernel's environment; ``SPARKKERNELS_FD`` is the supervisor's socket (PROTOCOL.md, section 6).

    Returns
    -------
    int
        R's exit code. A signal that ended R ends this process as well, so that the supervisor sees it.
    """
    program = shutil.which("R", path=environ.get("PATH"))
    if program is None:
        sys.stderr.write(NO_R + "\n")
        return 1
    # The supervisor signals all below it; this process only passes the end of R on. A handler is not
    # inherited by R and what R starts, as SIG_IGN would be.
    signal.signal(signal.SIGINT, lambda signum, frame: None)
    stem = os.path.splitext(connection_file)[0]
    script, news = stem + ".R", News(stem + "-spark.json")
    try:
        write(script, pkgutil.get_data(__package__, "kernel.R") or b"")
        news.write()
        if "SPARKKERNELS_FD" in environ:
            supervisor = socket.socket(fileno=int(environ["SPARKKERNELS_FD"]))
            supervisor.set_inheritable(False)
            threading.Thread(target=listen, args=(supervisor, news), daemon=True).start()
        process = subprocess.Popen(
            [program, "--slave", "--no-restore", "--file=" + script, "--args", connection_file],
            env={**environ, VARIABLE: news.path},
            preexec_fn=die_with_parent,
        )
        returncode = process.wait()
    finally:
        news.close()
        if os.path.exists(script):
            os.unlink(script)
    if returncode < 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), -returncode)
    return returncode


def write(path: str, content: bytes) -> None:
    """Write a file that only its owner can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
