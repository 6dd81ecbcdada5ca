"""The kernel application: ipykernel's own, with Spark's names and tags around each execution."""

from __future__ import annotations

import os
import threading
from typing import Any, Dict, List, Optional

import zmq
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp

from . import interrupts
from .backlog import Backlog
from .cells import Cells
from .channel import Channel
from .link import SparkLink
from .magic import SparkMagic
from .names import NotebookNames
from .notices import Notices
from .patches import install

#: Milliseconds between two looks whether output that nobody takes is waited for any longer.
LOOK_MS = 200
#: Requests that look at a notebook's variables and must not wait for Spark.
LOOKING = ("complete_request", "inspect_request", "is_complete_request", "comm_info_request")


class SparkKernel(IPythonKernel):
    """An IPython kernel whose cells may use the application's Spark."""

    spark: Optional[NotebookSpark] = None

    def should_handle(self, stream: Any, msg: Any, idents: Any) -> bool:
        """Called with each request: whoever asks is there again."""
        if self.spark is not None:
            self.spark.backlog.answer(stream, idents)
        handles: Any = super().should_handle
        return bool(handles(stream, msg, idents))

    async def do_execute(self, code: str, *args: Any, **kwargs: Any) -> Any:
        """Run code, as one cell to Spark."""
        execute: Any = super().do_execute
        if self.spark is None:
            return await execute(code, *args, **kwargs)
        with self.spark.cells.running(), self.spark.names.during(code):
            self.spark.notices.show()
            return await execute(code, *args, **kwargs)


class SparkKernelApp(IPKernelApp):
    """An ipykernel that waits where others lose output: when nobody takes it for a while."""

    #: Whether a :class:`Backlog` decides on what can't be sent.
    has_backlog = False

    def init_iopub(self, context: Any) -> None:
        """Have a full buffer slow the cell down; ZeroMQ by itself drops what is more than 1000 messages."""
        init_iopub: Any = super().init_iopub
        if not self.has_backlog:
            init_iopub(context)
            return
        context.setsockopt(zmq.XPUB_NODROP, 1)
        context.setsockopt(zmq.SNDTIMEO, LOOK_MS)
        init_iopub(context)
        context.setsockopt(zmq.SNDTIMEO, -1)


class NotebookSpark:
    """What one notebook has of Spark.

    Parameters
    ----------
    kernel : SparkKernel
        The notebook's.
    channel : Channel
        To the supervisor.
    backlog : Backlog
        What nobody has heard.
    """

    def __init__(self, kernel: Any, channel: Channel, backlog: Backlog) -> None:
        self._kernel = kernel
        self.backlog = backlog
        self.cells = Cells(channel)
        self.names = NotebookNames(kernel.shell.user_ns, self._session)
        self.link = SparkLink(channel, self.cells, self.names.bind)
        self.notices = Notices(self.cells)
        self.link.on_notice = self.notices.hear
        self.link.on_restart_answer = SparkMagic(kernel.shell, channel).hear
        self.cells.tell()
        channel.send(type="cell", tag="")  # cells have tags: an interrupt is not about all jobs
        self.link.on_relay = self._hear_relay
        install(self.link, self.cells)
        kernel.shell.set_custom_exc((KeyboardInterrupt,), interrupts.show)

    def _hear_relay(self, message: Dict[str, Any]) -> None:
        if message["state"] == "away":
            self.backlog.away(float(message["silent_s"]))
        elif message["state"] == "back":
            self.backlog.back()
        elif message["state"] == "replay":
            self.backlog.replay()

    def _session(self) -> Any:
        __tracebackhide__ = True
        if not self._may_wait() or not self.link.exists():
            raise KeyError("spark")
        return self.link.session()

    def _may_wait(self) -> bool:
        """Whether it is the notebook's code that asks, not somebody who looks at it."""
        if self.cells.current() is not None:
            return True
        thread = threading.current_thread()
        if thread is threading.main_thread():
            return self._kernel.get_parent().get("header", {}).get("msg_type") not in LOOKING
        return not type(thread).__module__.startswith("ipykernel.")


def main(argv: Optional[List[str]] = None) -> None:
    """Run the kernel; without a supervisor it is exactly an ipykernel.

    Parameters
    ----------
    argv : list of str, optional
        The command line's arguments, as ipykernel's.
    """
    descriptor = os.environ.pop("SPARKKERNELS_FD", "")
    app: Any = SparkKernelApp.instance(kernel_class=SparkKernel)
    app.has_backlog = bool(descriptor)
    app.initialize(argv)
    if descriptor:
        backlog = Backlog(app.session, app.iopub_thread)
        app.kernel.spark = NotebookSpark(app.kernel, Channel.inherit(int(descriptor)), backlog)
        app.kernel.spark.link.start()
    app.start()
