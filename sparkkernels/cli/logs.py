"""`jupyter sparkkernels logs`: the last lines of a container's output."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from ..cluster.applications import APPLICATION_ID
from ..cluster.yarn import YarnBackend
from ..errors import ConfigurationError, SparkKernelError
from ..record import is_kernel_id, read_record, record_directory, records
from .access import add_cluster_arguments
from .applications import backend_of

NAME = "logs"
SUMMARY = "print the last lines of a kernel's container"
DESCRIPTION = (
    "Print the last output of a container that is not the notebook's: Spark's log, a crash. A kernel started"
    " on this machine by this user is found by its kernel id; any application by its application id."
)

#: How much of a log's end is looked at, in bytes; lines beyond it are not printed.
TAIL_BYTES = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command."""
    parser.add_argument("id", metavar="KERNEL_OR_APPLICATION_ID")
    parser.add_argument("-n", "--lines", default="200", help="how many lines at most (default: %(default)s)")
    add_cluster_arguments(parser)


def run(options: argparse.Namespace) -> None:
    """Print the log's end."""
    if not re.fullmatch(r"[1-9][0-9]{0,8}", options.lines):
        raise ConfigurationError(f"--lines {options.lines!r} is not a number of lines.")
    wanted = options.id
    application_id, kernel_id = resolve(wanted)
    text = live_log(record_directory(kernel_id)) if kernel_id is not None else ""
    if not text and application_id is not None and APPLICATION_ID.match(application_id):
        text = yarn_log(application_id, backend_of(options))
    if not text:
        raise SparkKernelError(f"There is no log of {wanted}.", hint="It may come when its container runs.")
    for line in text.splitlines()[-int(options.lines) :]:
        print(line)


def resolve(wanted: str) -> tuple[str | None, str | None]:
    """What an id names: an application and, if it runs on this machine, its kernel.

    Returns
    -------
    tuple of (str or None, str or None)
        Application id and kernel id.

    Raises
    ------
    SparkKernelError
        Nothing is known of it.
    """
    if is_kernel_id(wanted):
        record = read_record(wanted)
        if record is None:
            raise SparkKernelError(
                f"No kernel {wanted} of this user runs on this machine.",
                hint="For one that has ended give its application id, which its error or YARN's list names.",
            )
        return record.get("application_id"), wanted
    for kernel_id in records():
        record = read_record(kernel_id)
        if record is not None and record.get("application_id") == wanted:
            return wanted, kernel_id
    if not APPLICATION_ID.match(wanted):
        raise SparkKernelError(f"{wanted!r} is neither a kernel nor an application that runs here.")
    return wanted, None


def live_log(directory: Path) -> str:
    """The end of a live kernel's container.log and, when that has just begun, of its predecessor's."""
    text = tail(directory / "container.log", TAIL_BYTES)
    if len(text) < TAIL_BYTES // 2:
        text = tail(directory / "container.log.1", TAIL_BYTES) + text
    return text


def tail(path: Path, size: int) -> str:
    """The last ``size`` bytes of a text file from a line's beginning, "" when there is no such file."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            file.seek(max(0, end - size))
            content = file.read(size)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise SparkKernelError(f"{path} can't be read: {error.strerror}.") from error
    if end > size:
        content = content.partition(b"\n")[2] or content
    return content.decode("utf-8", errors="replace")


def yarn_log(application_id: str, backend: YarnBackend) -> str:
    """What YARN has of it.

    Raises
    ------
    NotAllowed, ResourceManagerUnavailable, SparkKernelError
    """
    if application_id not in backend.report([application_id]):
        raise SparkKernelError(f"The ResourceManager does not know {application_id}.")
    return backend.logs(application_id, TAIL_BYTES)
