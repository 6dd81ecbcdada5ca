"""The R process: started, waited for, and survived by nothing."""

from __future__ import annotations

import os
import pkgutil
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from typing import Mapping

from sparkkernels_supervisor.processes import die_with_parent

from .news import News, listen

#: Names the file in which R reads of Spark.
VARIABLE = "SPARKKERNELS_R_SPARK"
#: A container may have no locale at all, in which R knows ASCII only; a locale that is set goes first.
UTF_8 = {"LANG": "C.UTF-8"}
NO_R = (
    "There is no R on this worker: no program of that name is on the kernel's PATH."
    " Install R and IRkernel on every worker (Debian: r-base-core and r-cran-irkernel)."
)


def run(connection_file: str, environ: Mapping[str, str]) -> int:
    """Run one R kernel to its end.

    Parameters
    ----------
    connection_file : str
        Jupyter's; what R needs besides is in a directory beside it, which only its owner may enter.
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
    # R's temporary files go there too, which an R that is killed leaves.
    directory = tempfile.mkdtemp(prefix="R-", dir=os.path.dirname(connection_file))
    script, news = os.path.join(directory, "kernel.R"), News(os.path.join(directory, "spark.json"))
    try:
        with open(script, "wb") as file:
            file.write(pkgutil.get_data(__package__, "kernel.R") or b"")
        news.write()
        if "SPARKKERNELS_FD" in environ:
            supervisor = socket.socket(fileno=int(environ["SPARKKERNELS_FD"]))
            supervisor.set_inheritable(False)
            threading.Thread(target=listen, args=(supervisor, news), daemon=True).start()
        process = subprocess.Popen(
            [program, "--slave", "--no-restore", "--file=" + script, "--args", connection_file],
            env={**UTF_8, **environ, VARIABLE: news.path, "TMPDIR": directory},
            preexec_fn=die_with_parent,
        )
        returncode = process.wait()
    finally:
        news.close()
        shutil.rmtree(directory, ignore_errors=True)
    if returncode < 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), -returncode)
    return returncode
