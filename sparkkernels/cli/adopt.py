"""`jupyter sparkkernels adopt`: kernels whose server is gone."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys

from jupyter_client.manager import AsyncKernelManager
from jupyter_core.paths import jupyter_runtime_dir

from ..adoption import adopt
from ..errors import SparkKernelError
from ..handover import Left, take_all
from ..provisioner import SparkProvisioner

NAME = "adopt"
SUMMARY = "take over a kernel whose Jupyter server is gone"
DESCRIPTION = """List the kernels that Jupyter servers of this account have left on this host, or be
the server of one of them until Ctrl-C, for clients that use its connection file; it is left again then. A
Jupyter server whose kernels survive it takes over all of them when it starts; see docs/surviving.md."""

#: Seconds between two looks whether the kernel is still there.
LOOK_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command."""
    parser.add_argument("kernel", nargs="?", metavar="KERNEL", help="its id, or the beginning of it")


def run(options: argparse.Namespace) -> None:
    """List what was left, or hold one kernel."""
    left = take_all(lambda text: print(text, file=sys.stderr))
    wanted = [one for one in left if options.kernel and one.record.kernel_id.startswith(options.kernel)]
    for one in left:
        if len(wanted) != 1 or one is not wanted[0]:
            one.record.leave()
    if not options.kernel:
        for one in left:
            print(one.record.kernel_id, one.handover.application_id, one.handover.kernel_name)
        if not left:
            raise SparkKernelError("No kernel of this account was left on this host.")
    elif len(wanted) != 1:
        raise SparkKernelError(
            f"{options.kernel[:80]!r} names {len(wanted) or 'none'} of the kernels that were left here.",
            hint="See `jupyter sparkkernels adopt`; a kernel that has a server is not among them.",
        )
    else:
        asyncio.run(hold(wanted[0]))


async def hold(left: Left) -> None:
    """Be the server of one kernel until a signal comes or it ends.

    Raises
    ------
    SparkKernelError
        It can't be taken over, or has ended.
    """
    over = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, over.set)
    path = os.path.join(jupyter_runtime_dir(), f"kernel-{left.record.kernel_id}.json")
    manager = AsyncKernelManager(kernel_name=left.handover.kernel_name, connection_file=path)
    provisioner = await adopt(manager, left)
    try:
        print(f"{provisioner.application_id} is asked to connect.", flush=True)
        await provisioner.reconnected()
        print(f"Connection file: {path}", flush=True)
        print("Ctrl-C leaves the kernel to the next server.", flush=True)
        await watched(provisioner, over)
    finally:
        if not await provisioner.detach():
            await provisioner.cleanup()


async def watched(provisioner: SparkProvisioner, over: asyncio.Event) -> None:
    """Return when it is over; raise when the kernel is."""
    while not over.is_set():
        if await provisioner.poll() is not None:
            raise SparkKernelError("The kernel has ended.", application_id=provisioner.application_id)
        try:
            await asyncio.wait_for(over.wait(), LOOK_S)
        except TimeoutError:
            continue
