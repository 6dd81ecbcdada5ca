"""One kernel process after another in one application: its clients, its launcher and its Spark."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Tuple

from .ends import End, SocketEnd
from .idle import Idle, used_s
from .kernel import CHANNELS, KernelProcess
from .python_path import PythonPath
from .session import MAX_LINE, Session

if TYPE_CHECKING:
    from .context import SparkApplication

#: Seconds within which a second interrupt counts as impatience.
IMPATIENCE_S = 3.0
#: Seconds after which a SparkContext has its first executors, and leaves the processors to others.
STARTED_S = 5.0
#: What only the supervisor may know of its environment.
PRIVATE = ("PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET")


class ClientEnd(SocketEnd):
    """A client's connection on which it says something only when somebody wants something."""

    def __init__(self, session: Session, stream: int, idle: Idle) -> None:
        super().__init__(session, stream)
        self._idle = idle

    def deliver(self, data: bytes) -> bool:
        """Hand bytes on."""
        self._idle.touch()
        return super().deliver(data)


class KernelHost:
    """Holds at most one kernel process at a time.

    Parameters
    ----------
    session : Session
        Where statuses go and clients come from.
    spark : SparkApplication or None
        The application's Spark, None without a JVM.
    environ : mapping of str to str
        The container's environment.
    directory : str
        The container's working directory.
    on_output : callable
        Called with what the kernel process writes.

    Attributes
    ----------
    kernel : KernelProcess or None
        The latest process, dead or alive.
    context : dict
        The SparkContext's status (PROTOCOL.md, section 5).
    childless_since : float
        Time of the loop since when there is no kernel; meaningless while there is one.
    idle : Idle
        For how long nobody has talked to it, and it has run nothing.
    """

    def __init__(
        self,
        session: Session,
        spark: Optional[SparkApplication],
        environ: Mapping[str, str],
        directory: str,
        on_output: Callable[[bytes], None],
    ) -> None:
        self._session = session
        self._spark = spark
        self._environ = environ
        self._directory = directory
        self._python_path = PythonPath(environ.get("PYTHONPATH", ""), directory)
        self._on_output = on_output
        self._connected: List[SocketEnd] = []
        self._waiting: List[Tuple[str, SocketEnd]] = []
        self._launcher: Optional[asyncio.StreamWriter] = None
        self._cell: Optional[str] = None  # unknown as well: its jobs can't be told from others
        self._busy: Optional[bool] = None  # unknown for a kernel whose launcher does not say
        self._notice = ""
        self._news = ""
        self._interrupted_at = float("-inf")
        self._spark_calls = ThreadPoolExecutor(4, "spark")
        self._reset: Optional[asyncio.Task[None]] = None
        self.kernel: Optional[KernelProcess] = None
        self.context: Dict[str, Any] = {"state": "starting" if spark else "none", "text": ""}
        self.childless_since = asyncio.get_running_loop().time()
        self.idle = Idle(asyncio.get_running_loop().time)

    def start(self) -> None:
        """Start the SparkContext in the background."""
        loop = asyncio.get_running_loop()
        if self._spark is not None:
            self._spark.start(lambda status: loop.call_soon_threadsafe(self._context_changed, status))

    # -- the process ---------------------------------------------------------------------------------------

    async def launch(self, message: Dict[str, Any]) -> None:
        """Start the process that a ``launch`` message describes, after the end of the one before."""
        if self.kernel is not None:
            await self.kernel.kill()
        self.idle.touch()
        self._news = str(message.get("notice", ""))
        kernel = KernelProcess(int(message["number"]), self._directory, self._kernel_changed, self._on_output)
        self.kernel = kernel
        kernel.start(list(message["argv"]), self._environment(message), dict(message["connection"]))
        if kernel.launcher is not None:
            asyncio.get_running_loop().create_task(self._talk_to_launcher(kernel))

    def status(self) -> Dict[str, Any]:
        """The process's status (PROTOCOL.md, section 5)."""
        kernel = self.kernel
        if kernel is None:
            return {}
        return {
            "number": kernel.number,
            "state": "starting" if kernel.state == "running" and self._is_resetting else kernel.state,
            "pid": kernel.pid,
            "returncode": kernel.returncode,
            "text": kernel.text,
            "cause": kernel.cause,
            "busy": self._busy,
        }

    def check(self) -> bool:
        """Whether there is a live process; notices its end."""
        return self.kernel is not None and self.kernel.check()

    def signal(self, signum: int) -> None:
        """Signal the process."""
        if self.kernel is not None:
            self.kernel.signal(signum)

    def interrupt(self) -> None:
        """Interrupt the running cell and its Spark jobs; all jobs when it has none of its own, or twice."""
        if self.kernel is None:
            return
        now = asyncio.get_running_loop().time()
        impatient, self._interrupted_at = now - self._interrupted_at < IMPATIENCE_S, now
        tag, impatient = self._cell or "", impatient or self._cell is None
        self.kernel.signal(signal.SIGINT)
        asyncio.get_running_loop().create_task(
            self._in_spark(lambda spark: spark.interrupt(tag, all_jobs=impatient))
        )

    async def look_at_work(self) -> None:
        """See whether the process or its Spark do anything."""
        work = await self._in_spark(lambda spark: spark.work())
        is_starting = self.kernel is not None and self.kernel.state == "starting"
        if is_starting or (work is None and self.context["state"] == "ready"):
            self.idle.touch()  # a Spark that does not say: nothing is ended on a guess
        self.idle.looked(self._busy, work, used_s(self.kernel.pid if self.kernel else None))

    async def end(self) -> None:
        """Kill the process, and let go of what it held in the JVM, which would keep a local one alive."""
        if self.kernel is not None:
            await self.kernel.kill()
        await self._in_spark(lambda spark: spark.close_kernel(), ("ready", "stopped"))

    def _environment(self, message: Dict[str, Any]) -> Dict[str, str]:
        env = {name: value for name, value in self._environ.items() if name not in PRIVATE}
        env["PYTHONPATH"] = str(self._python_path)  # also for a kernel of another Python than this process
        env["IPYTHONDIR"] = os.path.join(self._directory, ".ipython")
        env["JUPYTER_RUNTIME_DIR"] = os.path.join(self._directory, ".jupyter")
        env.update({str(name): str(value) for name, value in message.get("env", {}).items()})
        return env

    def _kernel_changed(self, kernel: KernelProcess) -> None:
        if kernel is not self.kernel:
            return
        if kernel.state == "running":
            if self._reset is not None and not self._reset.done():
                self._reset.add_done_callback(lambda _: self._up_after_reset(kernel))
                return
            self._connect_waiting()
        elif kernel.state in ("exited", "failed"):
            self.childless_since = asyncio.get_running_loop().time()
            self._cell, self._busy = None, None
            self._reset = asyncio.get_running_loop().create_task(self._reset_spark(self._reset))
            connected, self._connected = self._connected, []
            for end in connected:
                end.fail()
            if self._launcher is not None:
                self._launcher.close()
                self._launcher = None
        self._session.send_message(dict(self.status(), type="kernel"))

    async def _reset_spark(self, former: Optional[asyncio.Task[None]]) -> None:
        """Take away what a process left, while the next one starts already; that one hears of Spark later."""
        if former is not None:
            await former
        await self._in_spark(lambda spark: spark.reset())

    @property
    def _is_resetting(self) -> bool:
        return self._reset is not None and not self._reset.done()

    def _up_after_reset(self, kernel: KernelProcess) -> None:
        if kernel.state == "running":  # else its end has been told
            self._kernel_changed(kernel)

    # -- its clients ---------------------------------------------------------------------------------------

    def opened(self, stream: int, channel: str) -> Optional[End]:
        """The local end of a client's stream; it waits while no kernel is up."""
        if channel not in CHANNELS:
            return None
        end = (
            SocketEnd(self._session, stream)
            if channel == "hb"
            else ClientEnd(self._session, stream, self.idle)
        )
        self._waiting.append((channel, end))
        self._connect_waiting()
        return end

    def _connect_waiting(self) -> None:
        kernel = self.kernel
        if kernel is None or kernel.state != "running" or self._is_resetting:
            return
        waiting, self._waiting = self._waiting, []
        self._connected = [end for end in self._connected if not end.gone]
        for channel, end in waiting:
            if not end.gone:
                self._connected.append(end)
                asyncio.get_running_loop().create_task(self._connect(kernel.ports[channel], end))

    async def _connect(self, port: int, end: SocketEnd) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: end, "127.0.0.1", port)
        except OSError:
            end.fail()

    # -- Spark and the launcher (PROTOCOL.md, section 6) -----------------------------------------------------

    async def _in_spark(
        self, call: Callable[[SparkApplication], Any], states: Tuple[str, ...] = ("ready",)
    ) -> Any:
        if self._spark is None or self.context["state"] not in states:
            return None
        try:
            return await asyncio.get_running_loop().run_in_executor(self._spark_calls, call, self._spark)
        except Exception as error:  # noqa: BLE001 py4j raises what the JVM did; the kernel must outlive it
            self._on_output(("sparkkernels: Spark could not do what it was asked: %r\n" % error).encode())
            return None

    def _context_changed(self, status: Dict[str, Any]) -> None:
        self.context = status
        if status["state"] == "ready":
            unpack = self._python_path.unpack_spark
            asyncio.get_running_loop().call_later(STARTED_S, self._spark_calls.submit, unpack)
        if self._session.known:
            self._session.send_message(dict(status, type="context"))
        asyncio.get_running_loop().create_task(self._tell_launcher())

    async def _tell_launcher(self) -> None:
        writer = self._launcher
        if writer is None:
            return
        write_line(writer, type="context", state=self.context["state"], text=self.context.get("text", ""))
        if self._reset is not None:
            await self._reset  # or the next process's gateway would be taken for the last one's
        gateway = await self._in_spark(lambda spark: spark.gateway_for_kernel())
        if gateway is not None and writer is self._launcher:
            write_line(writer, type="gateway", port=gateway[0], secret=gateway[1])

    def tell(self, text: str) -> None:
        """Have the kernel's user told something, in this process or the next; "" when it holds no more."""
        if text != self._notice:
            self._notice = text
            if self._launcher is not None:
                write_line(self._launcher, type="notice", text=text)

    def tell_relay(self, state: str, **more: Any) -> None:
        """Tell the launcher whether somebody listens to the kernel (PROTOCOL.md, section 6)."""
        if self._launcher is not None:
            write_line(self._launcher, type="relay", state=state, **more)

    async def _talk_to_launcher(self, kernel: KernelProcess) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=kernel.launcher, limit=MAX_LINE)
        self._launcher = writer
        if self._news:
            write_line(writer, type="notice", text=self._news, about="restart")
        if self._notice:
            write_line(writer, type="notice", text=self._notice)
        await self._tell_launcher()
        try:
            while True:
                line = await reader.readline()
                if not line:
                    return
                await self._hear_launcher(json.loads(line), writer)
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._on_output(("sparkkernels: the launcher's socket broke: %r\n" % error).encode())
        finally:
            writer.close()

    async def _hear_launcher(self, message: Dict[str, Any], writer: asyncio.StreamWriter) -> None:
        if message["type"] == "cell":
            self._cell = str(message["tag"])
        elif message["type"] == "busy":
            self._busy = bool(message["busy"])
            self.idle.touch()
        elif message["type"] == "backend":
            backend = await self._in_spark(lambda spark: spark.backend_for_kernel())
            if backend is None:
                write_line(writer, type="backend", text="Spark could not start the backend that R talks to.")
            else:
                write_line(writer, type="backend", port=backend[0], secret=backend[1])
        elif message["type"] == "release":
            await self._in_spark(lambda spark: spark.release())
            write_line(writer, type="released")
        elif message["type"] == "restart" and self.kernel is not None:
            wish = {name: message.get(name) for name in ("spark_conf", "queue")}
            self._session.send_message(dict(wish, type="restart", number=self.kernel.number))
        elif message["type"] == "end" and self.kernel is not None:
            self.kernel.signal(signal.SIGKILL)

    def answer_restart(self, message: Dict[str, Any]) -> None:
        """Hand the server's answer to a wish for a restart on to the process that asked."""
        kernel, launcher = self.kernel, self._launcher
        if launcher is not None and kernel is not None and message.get("number") == kernel.number:
            write_line(launcher, **message)


def write_line(writer: asyncio.StreamWriter, **message: Any) -> None:
    """Send one JSON line, unless the other side is gone."""
    if not writer.is_closing():
        writer.write(json.dumps(message).encode() + b"\n")
