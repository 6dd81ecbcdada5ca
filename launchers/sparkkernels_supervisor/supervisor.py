"""The supervisor: keeps one session with the relay, obeys it, and knows when to end the application."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional

from .container import Output, describe, log_directory
from .dial import Dialer, Refused, Registration
from .frames import WireError
from .kernel_host import KernelHost
from .session import SILENCE_S, Session
from .tokens import Tokens

if TYPE_CHECKING:
    from .context import SparkApplication

#: Seconds between two attempts to reach the relay: at first, and at most.
REDIAL_S, REDIAL_MAX_S = 0.2, 5.0
#: Seconds between two looks at what no event tells.
LOOK_EVERY_S = 1.0
#: Seconds before a connection was closed of which the other side may not have read everything.
CLOSED_S = 1.0
#: Exit codes: the relay could not be reached or refused us; a bug of ours (sysexits' EX_SOFTWARE).
EXIT_NO_RELAY, EXIT_BUG = 1, 70
#: Exit codes above it name the signal that ended the supervisor, as with shells.
SIGNALLED = 128


class Supervisor:
    """Runs until its work is done; :meth:`run` returns the exit code.

    Parameters
    ----------
    registration : Registration
    registration_path : str
        Deleted once registered.
    spark : SparkApplication or None
        The application's Spark, None without a JVM.
    environ : mapping of str to str
        The container's environment.
    directory : str
        The container's working directory.
    """

    def __init__(
        self,
        registration: Registration,
        registration_path: str,
        spark: Optional[SparkApplication],
        environ: Mapping[str, str],
        directory: str,
    ) -> None:
        self._registration = registration
        self._registration_path = registration_path
        self._parent = os.getppid()
        self._description = describe(environ)
        self._output = Output(log_directory(environ))
        self._session = Session(2, self._on_message, self._on_opened, lambda reason: self._cut.set())
        self._spark = spark
        self._host = KernelHost(self._session, spark, environ, directory, self._output.write_kernel)
        self._tokens = Tokens(spark, environ, self._session.send_message, self._host.tell)
        self._dialer = Dialer(registration, self._session)
        self._launches: asyncio.Queue[Dict[str, Any]] = asyncio.Queue()
        self._orphan_timeout_s = registration.registration_timeout_s
        self._childless_timeout_s = 60.0
        self._cut = asyncio.Event()
        self._end: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._why = ""
        self._unheard = False  # whether another server than before has come, and no client of it yet

    async def run(self) -> int:
        """Do it all; returns the exit code."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._host.check)
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(
                signum, self._finish, SIGNALLED + signum, "The supervisor was ended by signal %d." % signum
            )
        self._host.start()
        works = (self._stay_connected(), self._launch_loop(), self._watch(), self._watch_idle())
        tasks = [loop.create_task(work) for work in (*works, self._output.follow(), self._tokens.run())]
        for task in tasks:
            task.add_done_callback(self._task_done)
        code = await self._end
        for task in tasks:
            task.cancel()
        if code > SIGNALLED:  # it is not the kernel alone that ends, and little time may be left to say so
            self._hang_up()
        await self._host.end()
        self._hang_up()
        await asyncio.sleep(0.05)  # for what is written to leave the TLS transport
        # Who sent a signal knows better why. The last thing to do: the JVM ends us for it.
        if code in (EXIT_NO_RELAY, EXIT_BUG) and self._spark is not None:
            self._spark.fail(code, "sparkkernels: %s" % self._why)
        return code

    def _hang_up(self) -> None:
        self._output.look()
        self._session.shut()

    def _finish(self, code: int, why: str) -> None:
        if not self._end.done():
            self._why = why
            self._end.set_result(code)  # first of all: nothing may keep a supervisor from its end
            if why:
                self._output.last_words(why)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._finish(EXIT_BUG, "The supervisor has a bug: %r." % task.exception())

    # -- the relay -----------------------------------------------------------------------------------------

    async def _stay_connected(self) -> None:
        while True:
            self._cut.clear()  # before: a connection may be cut again before its handshake is told of here
            resumed = await self._connect()
            if resumed is None:
                return
            if not resumed:
                self._unheard = self._host.kernel is not None
                self._begin_session()
            elif not self._unheard:
                self._host.tell_relay("back")
            await self._cut.wait()
            silent_s = self._session.silent_s
            # whoever closed a connection has read what came before, or almost
            self._host.tell_relay("away", silent_s=silent_s if silent_s >= SILENCE_S else CLOSED_S)

    async def _connect(self) -> Optional[bool]:
        """Reach the relay within the timeout of the moment: whether streams go on, None when all is over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._orphan_timeout_s
        pause = REDIAL_S
        while loop.time() < deadline:
            try:
                return await asyncio.wait_for(self._dialer.connect(), deadline - loop.time())
            except Refused as refused:
                if refused.reason != "busy":
                    self._finish(
                        EXIT_NO_RELAY, "The Jupyter server's relay refused this supervisor: %s" % refused
                    )
                    return None
            except (ConnectionError, WireError, asyncio.TimeoutError):
                pass  # the dialer keeps the reasons
            await asyncio.sleep(min(pause, max(deadline - loop.time(), 0)))
            pause = min(pause * 2, REDIAL_MAX_S)
        self._give_up()
        return None

    def _give_up(self) -> None:
        if self._session.known:
            self._finish(0, "")  # the server is gone for good: an orphan's orderly end
            return
        tried = [
            "Tried %s:%d: %s" % (host, port, self._dialer.failures.get((host, port), "no answer"))
            for host, port in self._registration.addresses
        ]
        words = "The worker %s could not reach the Jupyter server's relay within %g s."
        first = words % (self._description["host"], self._orphan_timeout_s)
        self._finish(EXIT_NO_RELAY, "\n".join([first, *tried]))

    def _begin_session(self) -> None:
        if os.path.exists(self._registration_path):
            os.unlink(self._registration_path)
        status = dict(self._description, kernel=self._host.status() or None, context=self._host.context)
        self._session.send_message(dict(status, type="state"))
        self._output.start(self._session)

    def _on_opened(self, stream: int, channel: str) -> Any:
        return self._host.opened(stream, channel)

    def _on_message(self, message: Dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "launch":
            self._launches.put_nowait(message)
        elif kind == "interrupt":
            self._host.interrupt()
        elif kind == "signal":
            self._host.signal(int(message["signum"]))
        elif kind == "restart_answer":
            self._host.answer_restart(message)
        elif kind == "replay":
            self._unheard = False
            self._host.tell_relay("replay")
        elif kind == "tokens":
            self._tokens.take(message)
        elif kind == "shutdown":
            self._finish(0, "")

    # -- what goes on --------------------------------------------------------------------------------------

    async def _launch_loop(self) -> None:
        while True:
            message = await self._launches.get()
            self._orphan_timeout_s = float(message.get("orphan_timeout_s", 300))
            self._childless_timeout_s = float(message.get("childless_timeout_s", 60))
            self._host.idle.timeout_s = float(message.get("idle_timeout_s", 0))
            await self._host.launch(message)

    async def _watch_idle(self) -> None:
        idle = self._host.idle
        while True:
            await asyncio.sleep(idle.pause_s)
            if idle.timeout_s and self._host.check():
                await self._host.look_at_work()
                if idle.over:
                    why = (
                        "Nobody has talked to the kernel, and it has run nothing, for %g s." % idle.timeout_s
                    )
                    self._session.send_message({"type": "ending", "reason": "idle", "text": why})
                    self._finish(0, why)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if os.getppid() != self._parent:
                self._finish(EXIT_BUG, "The process that started this supervisor is gone.")
            childless = not self._host.check() and self._session.known
            if childless and loop.time() - self._host.childless_since > self._childless_timeout_s:
                self._finish(0, "")
