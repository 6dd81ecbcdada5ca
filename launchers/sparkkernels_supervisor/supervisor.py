"""The supervisor itself: one application, one session with the relay, one kernel process after another."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional

from .container import Output, application_id, describe, log_directory
from .dial import Dialer, Refused, Registration
from .kernel import CHANNELS, KernelProcess
from .session import MAX_LINE, End, Session, SocketEnd

if TYPE_CHECKING:
    from .context import SparkApplication as Spark

#: Seconds within which a second interrupt counts as impatience.
IMPATIENCE_S = 3.0
#: Seconds between two attempts to reach the relay: at first, and at most.
REDIAL_S, REDIAL_MAX_S = 0.2, 5.0


class Supervisor:
    """Runs until its work is done; :meth:`run` returns the exit code.

    Parameters
    ----------
    registration : Registration
    registration_path : str
        Deleted once registered.
    spark : Spark or None
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
        spark: Optional[Spark],
        environ: Mapping[str, str],
        directory: str,
    ) -> None:
        self._registration = registration
        self._registration_path = registration_path
        self._spark = spark
        self._environ = environ
        self._directory = directory
        self._description = describe(environ)
        self._output = Output(log_directory(environ))
        self._session = Session(2, self._on_message, self._on_opened, self._on_cut)
        self._dialer = Dialer(registration, self._session)
        self._kernel: Optional[KernelProcess] = None
        self._ends: Dict[int, SocketEnd] = {}
        self._waiting: List["tuple[int, str, SocketEnd]"] = []
        self._launches: "asyncio.Queue[Dict[str, Any]]" = asyncio.Queue()
        self._launcher: Optional[asyncio.StreamWriter] = None
        self._cell = ""
        self._interrupted_at = float("-inf")
        self._orphan_timeout_s = registration.registration_timeout_s
        self._childless_timeout_s = 60.0
        self._childless_since = 0.0
        self._cut = asyncio.Event()
        self._end: "asyncio.Future[int]" = asyncio.get_running_loop().create_future()
        self._spark_calls = ThreadPoolExecutor(1, "spark")
        self._context: Dict[str, Any] = {"state": "starting" if spark else "none", "text": ""}

    async def run(self) -> int:
        """Do it all; returns the exit code."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._child_ended)
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(signum, self._finish, 128 + signum, "ended by signal %d" % signum)
        if self._spark is not None:
            self._spark.start(lambda state: loop.call_soon_threadsafe(self._context_changed, state))
        self._childless_since = loop.time()
        tasks = [
            loop.create_task(work)
            for work in (self._stay_connected(), self._launch_loop(), self._watch(), self._output.follow())
        ]
        for task in tasks:
            task.add_done_callback(self._task_done)
        code = await self._end
        for task in tasks:
            task.cancel()
        if self._kernel is not None:
            await self._kernel.kill()
        self._output.look()
        self._session.shut()
        await asyncio.sleep(0.05)  # for what is written to leave the TLS transport
        return code

    def _finish(self, code: int, why: str) -> None:
        if not self._end.done():
            if code:
                self._output.last_words(why)
            self._end.set_result(code)

    def _task_done(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception() is not None:
            self._finish(70, "internal error: %r" % task.exception())

    # -- the relay -----------------------------------------------------------------------------------------

    async def _stay_connected(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            deadline = loop.time() + self._orphan_timeout_s
            pause = REDIAL_S
            while True:
                try:
                    resumed = await asyncio.wait_for(self._dialer.connect(), max(deadline - loop.time(), 0.1))
                    break
                except Refused as refused:
                    if refused.reason != "busy":
                        self._finish(1, "the relay refused this supervisor: %s" % refused)
                        return
                except (ConnectionError, asyncio.TimeoutError):
                    pass
                if loop.time() + pause >= deadline:
                    self._give_up()
                    return
                await asyncio.sleep(pause)
                pause = min(pause * 2, REDIAL_MAX_S)
            self._cut.clear()
            if not resumed:
                self._begin_session()
            await self._cut.wait()

    def _give_up(self) -> None:
        failures = "; ".join("%s:%d: %s" % (*address, why) for address, why in self._dialer.failures.items())
        tried = failures or ", ".join("%s:%d" % address for address in self._registration.addresses)
        if self._session.known:
            self._finish(0, "")
            return
        self._finish(
            1,
            "could not reach the Jupyter server's relay from %s within %g s. Tried %s."
            % (self._description["host"], self._orphan_timeout_s, tried),
        )

    def _begin_session(self) -> None:
        if os.path.exists(self._registration_path):
            os.unlink(self._registration_path)
        kernel = self._kernel_status() if self._kernel else None
        self._session.send_message(
            dict(self._description, type="state", kernel=kernel, context=self._context)
        )
        self._output.start(self._session)

    def _on_cut(self, reason: str) -> None:
        self._cut.set()

    def _on_opened(self, stream: int, channel: str) -> Optional[End]:
        if channel not in CHANNELS:
            return None
        end = SocketEnd(self._session, stream)
        self._waiting.append((stream, channel, end))
        self._connect_waiting()
        return end

    def _connect_waiting(self) -> None:
        kernel = self._kernel
        if kernel is None or kernel.state != "running":
            return
        waiting, self._waiting = self._waiting, []
        for stream, channel, end in waiting:
            self._ends[stream] = end
            asyncio.get_running_loop().create_task(self._connect(kernel.ports[channel], end))

    async def _connect(self, port: int, end: SocketEnd) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: end, "127.0.0.1", port)
        except OSError:
            end.fail()

    def _drop_clients(self) -> None:
        ends, self._ends = self._ends, {}
        for end in ends.values():
            end.fail()

    def _on_message(self, message: Dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "launch":
            self._launches.put_nowait(message)
        elif kind == "interrupt":
            self._interrupt()
        elif kind == "signal" and self._kernel is not None:
            self._kernel.signal(int(message["signum"]))
        elif kind == "shutdown":
            self._finish(0, "")

    # -- the kernel ----------------------------------------------------------------------------------------

    async def _launch_loop(self) -> None:
        while True:
            message = await self._launches.get()
            self._orphan_timeout_s = float(message.get("orphan_timeout_s", 300))
            self._childless_timeout_s = float(message.get("childless_timeout_s", 60))
            if self._kernel is not None:
                await self._kernel.kill()
                await self._in_spark(lambda spark: spark.reset())
            kernel = KernelProcess(
                int(message["number"]), self._directory, self._kernel_changed, self._output.write_kernel
            )
            self._kernel = kernel
            kernel.start(list(message["argv"]), self._kernel_environment(message), dict(message["connection"]))
            if kernel.launcher is not None:
                asyncio.get_running_loop().create_task(self._talk_to_launcher(kernel))

    def _kernel_environment(self, message: Dict[str, Any]) -> Dict[str, str]:
        env = dict(self._environ)
        for private in ("PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET"):
            env.pop(private, None)
        env["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        env["IPYTHONDIR"] = os.path.join(self._directory, ".ipython")
        env["JUPYTER_RUNTIME_DIR"] = os.path.join(self._directory, ".jupyter")
        env.update({str(name): str(value) for name, value in message.get("env", {}).items()})
        return env

    def _kernel_changed(self, kernel: KernelProcess) -> None:
        if kernel is not self._kernel:
            return
        if kernel.state == "running":
            self._connect_waiting()
        elif kernel.state in ("exited", "failed"):
            self._childless_since = asyncio.get_running_loop().time()
            self._cell = ""
            self._drop_clients()
            if self._launcher is not None:
                self._launcher.close()
                self._launcher = None
        self._session.send_message(dict(self._kernel_status(), type="kernel"))

    def _kernel_status(self) -> Dict[str, Any]:
        kernel = self._kernel
        assert kernel is not None
        return {
            "number": kernel.number,
            "state": kernel.state,
            "pid": kernel.pid,
            "returncode": kernel.returncode,
            "text": kernel.text,
        }

    def _child_ended(self) -> None:
        if self._kernel is not None:
            self._kernel.check()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1)
            if os.getppid() == 1:
                self._finish(1, "the process that started this supervisor is gone")
            if self._kernel is not None and self._kernel.check():
                self._childless_since = loop.time()
            elif self._session.known and loop.time() - self._childless_since > self._childless_timeout_s:
                self._finish(0, "")

    def _interrupt(self) -> None:
        if self._kernel is None:
            return
        now = asyncio.get_running_loop().time()
        impatient, self._interrupted_at = now - self._interrupted_at < IMPATIENCE_S, now
        tag = self._cell
        self._kernel.signal(signal.SIGINT)
        asyncio.get_running_loop().create_task(
            self._in_spark(lambda spark: spark.interrupt(tag, all_jobs=impatient))
        )

    # -- Spark ---------------------------------------------------------------------------------------------

    async def _in_spark(self, call: Callable[[Spark], Any]) -> Any:
        spark = self._spark
        if spark is None or self._context["state"] != "ready":
            return None
        return await asyncio.get_running_loop().run_in_executor(self._spark_calls, call, spark)

    def _context_changed(self, state: Dict[str, Any]) -> None:
        self._context = state
        if self._session.known:
            self._session.send_message(dict(state, type="context"))
        if self._launcher is not None:
            asyncio.get_running_loop().create_task(self._tell_launcher())

    async def _tell_launcher(self) -> None:
        writer = self._launcher
        if writer is None:
            return
        _write(writer, type="context", state=self._context["state"], text=self._context.get("text", ""))
        if self._context["state"] == "ready":
            gateway = await self._in_spark(lambda spark: spark.gateway_for_kernel())
            if gateway is not None and writer is self._launcher:
                _write(writer, type="gateway", port=gateway[0], secret=gateway[1])

    async def _talk_to_launcher(self, kernel: KernelProcess) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=kernel.launcher, limit=MAX_LINE)
        self._launcher = writer
        await self._tell_launcher()
        try:
            while True:
                line = await reader.readline()
                if not line:
                    return
                message = json.loads(line)
                if message["type"] == "cell":
                    self._cell = str(message["tag"])
                elif message["type"] == "release":
                    await self._in_spark(lambda spark: spark.release())
                    _write(writer, type="released")
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._output.write_kernel(("sparkkernels: the launcher's socket broke: %r\n" % error).encode())
        finally:
            writer.close()


def _write(writer: asyncio.StreamWriter, **message: Any) -> None:
    if not writer.is_closing():
        writer.write(json.dumps(message).encode() + b"\n")


def application_of(environ: Mapping[str, str]) -> str:
    """The application this container belongs to, "" outside YARN."""
    return application_id(environ.get("CONTAINER_ID", ""))
