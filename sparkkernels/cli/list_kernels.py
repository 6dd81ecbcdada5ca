"""`jupyter sparkkernels list`: the kernels that YARN has."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from ..errors import SparkKernelError
from .access import add_cluster_arguments
from .applications import KernelApplication, backend_of, live_applications

NAME = "list"
SUMMARY = "list the kernels that run on YARN"
DESCRIPTION = "List your kernels on YARN, from whichever Jupyter server they were started; or everybody's."

HEADINGS = ("APPLICATION", "STATE", "AGE", "USER", "QUEUE", "KERNEL", "NAME")
UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command."""
    parser.add_argument("--all", action="store_true", help="everybody's kernels")
    add_cluster_arguments(parser)


def run(options: argparse.Namespace) -> None:
    """Print a table; nothing but its heading when there are none."""
    site = backend_of(options).site
    user = site.user
    found = [one for one in live_applications(site) if options.all or one.user == user]
    for line in table(found, time.time()):
        print(line)
    if not found:
        nobody = "Nobody has kernels" if options.all else f"The user {user} has no kernels"
        raise SparkKernelError(f"{nobody} on YARN.")


def table(found: Sequence[KernelApplication], now: float) -> list[str]:
    """The lines of a table of kernels."""
    rows = [
        (
            one.application_id,
            one.state,
            age(now - one.started_at),
            one.user,
            one.queue,
            one.kernel_id,
            one.name,
        )
        for one in found
    ]
    widths = [max(map(len, column)) for column in zip(HEADINGS, *rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in (HEADINGS, *rows)]


def age(seconds: float) -> str:
    """A time span in its largest unit."""
    for size, unit in UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
