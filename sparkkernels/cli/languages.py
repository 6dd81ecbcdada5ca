"""The languages that `jupyter sparkkernels install` knows: what each writes into a kernelspec, and checks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigurationError
from .scala_jars import SCALA_VERSION, scala_jars

#: Run by the interpreter of a local kernel: is it new enough, and has it a kernel?
_PROBE = """
import importlib.util, json, sys
print(json.dumps([list(sys.version_info[:2]), importlib.util.find_spec("ipykernel") is not None]))
"""
_PROBE_TIMEOUT_S = 60
_OLDEST_PYTHON = (3, 8)


@dataclass(frozen=True)
class Language:
    """One language.

    Attributes
    ----------
    name : str
        As in ``--language`` and in names of kernelspecs.
    jupyter_name : str
        As Jupyter calls it (``language`` in kernel.json).
    launcher : str
        The module that the workers' Python runs, of the launchers' zip.
    metadata : dict
        What its kernels can.
    check_local : callable
        Called with the Python of a local kernel; raises ``ConfigurationError`` when the kernel can't run
        on this machine.
    jars : callable
        Paths of the jars that its kernels need, on this machine; raises ``ConfigurationError`` when one is
        missing.
    scala_version : str
        What they were built for; "" when there are none.
    spark_conf : mapping of str to str
        Spark settings that it needs.
    """

    name: str
    jupyter_name: str
    launcher: str
    metadata: dict[str, Any]
    check_local: Callable[[str], None]
    jars: Callable[[], list[str]] = list
    scala_version: str = ""
    spark_conf: Mapping[str, str] = field(default_factory=dict)

    def argv(self, python: str) -> list[str]:
        """The kernel's command, run by the supervisor where the kernel lives."""
        return [python, "-m", self.launcher, "-f", "{connection_file}"]


def language(name: str) -> Language:
    """The language of this name.

    Raises
    ------
    ConfigurationError
        There is no launcher for it.
    """
    if name not in LANGUAGES:
        raise ConfigurationError(
            f"There is no launcher for the language {name!r}; there is one for {', '.join(LANGUAGES)}."
        )
    return LANGUAGES[name]


def check_python(python: str, *, local: bool) -> str:
    """Check the interpreter's name as far as that can be done from here.

    Returns
    -------
    str
        As given; for a local kernel a relative path is made absolute, since the kernel runs elsewhere.
    """
    if not python.strip() or not python.isprintable():
        raise ConfigurationError("--python must be the path of an interpreter.")
    if not local:
        return python
    if shutil.which(python) is None:
        raise ConfigurationError(f"--python {python} is not an executable file on this machine.")
    # Not resolved: the link is what makes a virtual environment's interpreter its own.
    return os.path.abspath(python) if os.sep in python else python


def _check_python_kernel(python: str) -> None:
    if not _has_ipykernel(python):
        raise ConfigurationError(
            f"--python {python} has no ipykernel.", hint=f"Install it: `{python} -m pip install ipykernel`."
        )


def _check_r_kernel(python: str) -> None:
    _has_ipykernel(python)
    done = _output(
        ["R", "--slave", "--no-restore", "-e", "cat(requireNamespace('IRkernel', quietly = TRUE))"]
    )
    if done is None:
        raise ConfigurationError(
            "There is no R on this machine.",
            hint="Install R and IRkernel (Debian: r-base-core and r-cran-irkernel).",
        )
    if done != "TRUE":
        raise ConfigurationError(
            "R on this machine has no IRkernel.",
            hint='Install it (Debian: r-cran-irkernel; else install.packages("IRkernel") in R).',
        )


def _check_scala_kernel(python: str) -> None:
    _has_ipykernel(python)


def _has_ipykernel(python: str) -> bool:
    """Whether this interpreter, which must be new enough, has it."""
    output = _output([shutil.which(python) or python, "-c", _PROBE])
    try:
        version, has_ipykernel = json.loads(output or "")
    except ValueError as error:
        raise ConfigurationError(f"--python {python} does not run as a Python interpreter.") from error
    if tuple(version) < _OLDEST_PYTHON:
        raise ConfigurationError(f"--python {python} is Python {version[0]}.{version[1]}; 3.8 is the oldest.")
    return bool(has_ipykernel)


def _output(command: list[str]) -> str | None:
    """What a command prints; None when it fails."""
    try:
        return subprocess.run(
            command,
            cwd=os.sep,  # what lies in the current directory is not what is installed
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT_S,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None


PYTHON = Language(
    name="python",
    jupyter_name="python",
    launcher="sparkkernels_python",
    # jupyter_client's KernelManager._kernel_supports_curve_encryption takes a list or a string.
    metadata={"debugger": True, "supported_encryption": ["curve"]},
    check_local=_check_python_kernel,
)
R = Language(
    name="r",
    jupyter_name="R",
    launcher="sparkkernels_r",
    metadata={},  # IRkernel has no CURVE
    check_local=_check_r_kernel,
)
SCALA = Language(
    name="scala",
    jupyter_name="scala",
    launcher="sparkkernels_scala",
    metadata={},  # Toree has no CURVE
    check_local=_check_scala_kernel,
    jars=scala_jars,
    scala_version=SCALA_VERSION,
    # Where executors get the classes of cells from; what is there is the kernel's own affair.
    spark_conf={"spark.repl.class.outputDir": "sparkkernels-repl"},
)
LANGUAGES = {one.name: one for one in (PYTHON, R, SCALA)}
