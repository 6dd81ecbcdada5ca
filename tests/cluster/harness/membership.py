"""Which processes belong to a cluster, and to what part of it."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.harness.processes import MARK, Process

#: System property on every daemon's command line: the cluster's directory, a slash, the daemon's name.
DAEMON_PROPERTY = "sparkkernels.test.daemon"

#: Environment variable of the process that holds a worker's namespaces: the worker's name.
WORKER_VARIABLE = "SPARKKERNELS_TEST_WORKER"


def daemon_mark(directory: Path, name: str) -> str:
    """Give the argument that marks a daemon of Hadoop's: a system property that nothing reads."""
    return f"-D{DAEMON_PROPERTY}={directory}/{name}"


def kdc_mark(directory: Path) -> str:
    """Give the argument that marks a KDC: its pid file, which nothing reads either."""
    return f"{directory}/kdc.pid"


def workers_directory(directory: Path) -> Path:
    """Give the directory below which NodeManagers keep what containers use, and nobody else has business."""
    return directory / "workers"


def belongs(process: Process, directory: Path) -> bool:
    """Tell whether a process is part of a cluster.

    A container inherits the mark from its NodeManager. One that cleared its environment is known by the paths
    that YARN put into its command line, or by where it works.

    Parameters
    ----------
    process : Process
        Any process.
    directory : Path
        The cluster's directory.
    """
    return process.has_environment(MARK, str(directory)) or process.mentions(
        f"{workers_directory(directory)}/"
    )


def is_daemon(process: Process, directory: Path) -> bool:
    """Tell whether a process is a daemon of a cluster, or a command that waits for one."""
    mark = daemon_mark(directory, "")
    return any(a.startswith(mark) for a in process.argv) or kdc_mark(directory) in process.argv


def is_in_container(process: Process, directory: Path) -> bool:
    """Tell whether a process runs in a container of a cluster."""
    if is_daemon(process, directory) or process.has_variable(WORKER_VARIABLE):
        return False
    return belongs(process, directory)
