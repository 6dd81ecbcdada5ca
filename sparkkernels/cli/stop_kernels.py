"""`jupyter sparkkernels stop`: end kernels that no server ends any more."""

from __future__ import annotations

import argparse

from ..cluster.yarn import YarnBackend
from ..errors import NotAllowed
from .access import add_cluster_arguments
from .applications import KernelApplication, backend_of, live_applications, the_one

NAME = "stop"
SUMMARY = "end kernels that run on YARN"
DESCRIPTION = (
    "End kernels by the ids of their applications, or of the kernels themselves. For kernels whose Jupyter"
    " server is gone or out of reach; a server that is there takes it for the kernel's death and says so."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command."""
    parser.add_argument("ids", nargs="+", metavar="KERNEL_OR_APPLICATION_ID")
    add_cluster_arguments(parser)


def run(options: argparse.Namespace) -> None:
    """End each, telling so; all must be known before the first is ended."""
    backend = backend_of(options)
    found = live_applications(backend.site)
    for one in dict.fromkeys([the_one(found, wanted) for wanted in options.ids]):
        end(backend, one)
        print(f"{one.application_id} of {one.user} has ended.", flush=True)


def end(backend: YarnBackend, one: KernelApplication) -> None:
    """Have YARN end an application, and remove what Spark staged for it.

    Raises
    ------
    NotAllowed
        It is somebody else's.
    SparkKernelError
        It does not end.
    """
    site = backend.site
    try:
        backend.kill(one.application_id)
    except NotAllowed as error:
        raise NotAllowed(
            f"YARN does not let {site.user} end {one.application_id}, which is {one.user}'s.",
            diagnostics=error.diagnostics,
            hint="Ask as its user, or as an administrator of the queue.",
        ) from error
    if one.user == site.user:
        files = site.file_system()
        files.delete(f"{files.home()}/.sparkStaging/{one.application_id}")
