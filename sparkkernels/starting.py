"""How a kernel comes up: in its running application where it can, in a new one where it must."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import Any

import zmq
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.connect import KernelConnectionInfo

from .application import Application
from .blocking import begin, in_thread
from .errors import LaunchTimeout, SparkKernelError
from .relay.hub import shared_hub
from .relay.link import Link
from .relay.tls import read_certificate
from .spec import LaunchSpec
from .succession import Succession
from .wishes import Wish

#: Seconds a supervisor that is cut off is waited for before a restart takes a new application.
RECONNECT_S = 10.0
#: Seconds after which an unanswered kernel_info request is sent again (Toree's first may get lost).
ASK_EVERY_S = 5.0
#: Seconds between two looks whether a kernel that is to answer still lives.
LOOK_EVERY_S = 0.2


class Starting(Succession):
    """A part of :class:`sparkkernels.provisioner.SparkProvisioner`, with the state of one kernel."""

    #: Of the latest start; None before the first.
    _spec: LaunchSpec | None = None
    #: What the user is told in the first cell of the next kernel process.
    _news = ""

    async def _launch(self) -> None:
        spec = self._spec
        assert spec is not None
        if await self._launch_warm(spec):
            return
        former = self._wishes.begin()
        try:
            await self._launch_cold(self._wishes.current.applied(spec))
        except SparkKernelError as error:
            if former == self._wishes.current:
                raise
            self.log.error(
                "Kernel %s could not start with %s. %s", self.kernel_id, self._wishes.current, error
            )
            self._news = (
                f"This kernel could not start with {self._wishes.current}, and has {former} again."
                f" {error.message}"
            )
            self._wishes.current = former
            if self._application is not None:
                await self._application.end()
            await self._launch_cold(former.applied(spec))

    async def _launch_warm(self, spec: LaunchSpec) -> bool:
        """Start the kernel process in the running application, or end that; whether the kernel runs."""
        application, link = self._application, self._link
        if application is None or link is None:
            return False
        why = await self._why_cold(application, link)
        if not why:
            died = application.deaths.unwanted()
            self._news = f"This kernel was restarted. {died}" if died else ""
            try:
                await self._launch_kernel(application, spec)
            except SparkKernelError:
                if not application.ended:
                    raise
            # Of a context that broke with the last kernel, word comes before that of the new kernel.
            why = why_cold(application, link)
            if not why:
                return True
        self.log.warning("Kernel %s starts in a new application. %s", self.kernel_id, why)
        self._news = f"This kernel starts anew, in another Spark application. {why}"
        await application.end()
        return False

    async def _why_cold(self, application: Application, link: Link) -> str:
        """Why a new application is needed, in a sentence; "" when it is not."""
        if self._wishes.next is not None:
            return f"%spark restart asked for it, with {self._wishes.next}."
        deadline = time.monotonic() + RECONNECT_S
        while not link.connected and not application.ended and time.monotonic() < deadline:
            await link.changed(0.5)
        return why_cold(application, link)

    async def _launch_cold(self, spec: LaunchSpec) -> None:
        """Start an application, and the kernel process in it."""
        link, record = self._link, self._record
        assert link is not None and record is not None
        backend = await in_thread(self._backend)
        application = self._application = Application(backend, shared_hub(), link, record, self.log)
        path = self.relay_certificate
        own = await in_thread(read_certificate, path) if path else None
        await application.start(
            spec,
            self.relay_port,
            list(self.relay_addresses),
            own,
            self.max_submits or os.cpu_count() or 1,
        )
        await self._launch_kernel(application, spec)

    async def _launch_kernel(self, application: Application, spec: LaunchSpec) -> None:
        self._number = self._newest() + 1
        deadline = time.monotonic() + spec.launch_timeout_s
        message = self._launch_message(spec)
        self._news = ""
        await application.launch_kernel(message, deadline)
        await self._first_answer(application, deadline)

    async def _first_answer(self, application: Application, deadline: float) -> None:
        """Return after a kernel_info reply through the relay."""
        over = threading.Event()
        answer = asyncio.wrap_future(begin(ask, self.connection_info, over))
        try:
            while not answer.done():
                if application.kernel_alive(self._number) is not None:
                    raise await application.kernel_failure()
                if time.monotonic() > deadline:
                    raise LaunchTimeout(
                        "The kernel process runs but did not answer in time.",
                        application_id=application.application_id,
                        diagnostics=application.last_lines(),
                    )
                await asyncio.wait([answer], timeout=LOOK_EVERY_S)
            answer.result()
        finally:
            over.set()

    def _launch_message(self, spec: LaunchSpec) -> dict[str, Any]:
        info = self.connection_info
        connection = {"kernel_name": self.kernel_spec.display_name}
        for name in ("key", "signature_scheme", "curve_publickey", "curve_secretkey"):
            value: Any = info.get(name)
            if value is not None:
                connection[name] = value.decode() if isinstance(value, bytes) else str(value)
        return {
            "type": "launch",
            "number": self._number,
            "argv": list(spec.argv),
            "env": {"PYSPARK_PYTHON": spec.python, "PYSPARK_DRIVER_PYTHON": spec.python, **spec.env},
            "connection": connection,
            "orphan_timeout_s": spec.orphan_timeout_s,
            "childless_timeout_s": self.childless_timeout_s,
            "idle_timeout_s": self.idle_timeout_s,
            "notice": self._news,
        }

    # -- %spark restart --------------------------------------------------------------------------------------

    def _hear_restart(self, message: dict[str, Any]) -> None:
        """Take the wish of the kernel's user; called on the hub's loop."""
        answer = threading.Thread(target=self._answer_restart, args=(message,), daemon=True)
        answer.start()

    def _answer_restart(self, message: dict[str, Any]) -> None:
        """Check a wish as far as that is possible while its kernel lives, and answer."""
        spec, link = self._spec, self._link
        if spec is None or link is None:
            return
        answer = {"type": "restart_answer", "number": message.get("number"), "accepted": False}
        try:
            wish = Wish.read(message)
            wish.check(self.limits, is_own=self.identity == "os")
            self._backend().prepare(wish.applied(spec))
        except SparkKernelError as error:
            self.log.info("Kernel %s was refused a restart with other settings. %s", self.kernel_id, error)
            link.send({**answer, "text": " ".join(filter(None, (error.message, error.hint)))})
            return
        self._wishes.next = wish
        restarts = has_restarter(self.parent)
        self.log.info("Kernel %s is to restart with %s, says its user.", self.kernel_id, wish)
        if restarts:
            self._expect_end()
        text = f"Restarting with {wish} …" if restarts else f"At its next restart this kernel has {wish}."
        link.send({**answer, "accepted": True, "restarts": restarts, "text": text})

    async def _open_link(self, generation: int = 0, secret: str = "") -> Link:
        link = self._link = await shared_hub().open_link(self.kernel_id, generation, secret)
        link.on_log = self._record.log if self._record is not None else None
        link.on_restart = self._hear_restart
        return link

    def _expect_end(self) -> None:
        if self._application is not None and self._lives():
            self._application.deaths.expect()


def ask(connection_info: KernelConnectionInfo, over: threading.Event) -> None:
    """Ask a kernel for its kernel_info until it answers, or ``over``; in a thread, as it costs the loop."""
    client = BlockingKernelClient(context=zmq.Context.instance())
    client.load_connection_info(connection_info)
    client.start_channels(shell=True, iopub=False, stdin=False, hb=False, control=False)
    try:
        while not over.is_set():
            client.kernel_info()
            asked = time.monotonic()
            while time.monotonic() - asked < ASK_EVERY_S and not over.is_set():
                if client.shell_channel.socket.poll(1000 * LOOK_EVERY_S):
                    return
    finally:
        client.stop_channels()


def why_cold(application: Application, link: Link) -> str:
    """Why a kernel can't restart in its application, in a sentence; "" when it can."""
    if application.ended:
        return f"{application.application_id} has ended. {application.deaths.why()}"
    if link.context.state in ("failed", "stopped"):
        return link.context.text.splitlines()[0] or f"Its SparkContext has {link.context.state}."
    return "" if link.connected else f"The worker {link.container.host} can't be reached."


def has_restarter(manager: Any) -> bool:
    """Whether somebody starts a kernel again whose process has ended (jupyter_client's ioloop managers)."""
    restarter = getattr(manager, "_restarter", None)
    return bool(manager.autorestart) and getattr(restarter, "_pcallback", None) is not None
