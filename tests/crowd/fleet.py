"""The containers of a YARN without containers: supervisors that speak the real wire, and kernels of no code.

``python -m tests.crowd.fleet DIRECTORY`` plays the cluster until it gets SIGTERM. Each application has one
TLS connection to the relay, with the dialler and the session of the real supervisor, and a kernel with real
ZeroMQ sockets that answers ``kernel_info_request``, echoes heartbeats and prints a line for each cell.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq
import zmq.asyncio
from jupyter_client.session import Session as Messages

from sparkkernels_supervisor.dial import Dialer, Registration
from sparkkernels_supervisor.ends import End, SocketEnd
from sparkkernels_supervisor.session import Session

from .fake_yarn import FakeYarn

LOOK_EVERY_S = 0.05
#: Seconds between two lines that a container logs.
LOG_EVERY_S = 10.0
LINE = "x" * 200
#: What a kernel says of itself.
INFO = {
    "status": "ok",
    "protocol_version": "5.3",
    "implementation": "fake",
    "implementation_version": "1",
    "language_info": {"name": "none", "mimetype": "text/plain", "file_extension": ".txt"},
    "banner": "",
    "help_links": [],
}
KINDS = {"shell": zmq.ROUTER, "iopub": zmq.PUB, "stdin": zmq.ROUTER, "control": zmq.ROUTER, "hb": zmq.REP}


class FakeKernel:
    """A kernel of no code.

    Parameters
    ----------
    context : zmq.asyncio.Context
    connection : dict
        Of the ``launch`` message.
    on_exit : callable
        Called when it was asked to shut down.
    """

    def __init__(
        self, context: zmq.asyncio.Context, connection: dict[str, Any], on_exit: Callable[[], None]
    ) -> None:
        self._on_exit = on_exit
        self._messages = Messages(key=connection["key"].encode())
        self._sockets: dict[str, zmq.asyncio.Socket] = {}
        self.ports: dict[str, int] = {}
        for channel, kind in KINDS.items():
            made = self._sockets[channel] = context.socket(kind)
            made.linger = 0
            if "curve_secretkey" in connection:
                made.curve_server = True
                made.curve_secretkey = connection["curve_secretkey"].encode()
            self.ports[channel] = made.bind_to_random_port("tcp://127.0.0.1")
        works = (self._answer("shell"), self._answer("control"), self._echo())
        self._tasks = [asyncio.create_task(work) for work in works]

    def close(self) -> None:
        """End it."""
        for task in self._tasks:
            task.cancel()
        for made in self._sockets.values():
            made.close()

    async def _answer(self, channel: str) -> None:
        made = self._sockets[channel]
        while True:
            identities, parts = self._messages.feed_identities(await made.recv_multipart())
            request = self._messages.deserialize(parts)
            if request["msg_type"] == "shutdown_request":
                self._on_exit()
                return
            await self._publish("status", {"execution_state": "busy"}, request)
            if request["msg_type"] == "execute_request":
                await self._publish("stream", {"name": "stdout", "text": LINE}, request)
                reply = self._messages.msg("execute_reply", {"status": "ok"}, request["header"])
            else:
                reply = self._messages.msg("kernel_info_reply", INFO, request["header"])
            await made.send_multipart([*identities, *self._messages.serialize(reply)])
            await self._publish("status", {"execution_state": "idle"}, request)

    async def _echo(self) -> None:
        while True:
            await self._sockets["hb"].send(await self._sockets["hb"].recv())

    async def _publish(self, kind: str, content: dict[str, Any], parent: dict[str, Any]) -> None:
        message = self._messages.msg(kind, content, parent["header"])
        parts = self._messages.serialize(message)
        await self._sockets["iopub"].send_multipart([f"kernel.{kind}".encode(), *parts])


class LogSource(End):
    """The stream of the container's output."""

    def deliver(self, data: bytes) -> bool:
        """The relay says nothing on it."""
        return True

    def finish(self) -> None:
        """The session ends with the process."""

    def drop(self) -> None:
        """Nothing is held here."""


class FakeSupervisor:
    """One application's container.

    Parameters
    ----------
    registration : Registration
    context : zmq.asyncio.Context
    """

    def __init__(self, registration: Registration, context: zmq.asyncio.Context) -> None:
        self._context = context
        self._kernel: FakeKernel | None = None
        self._number = 0
        self._over = asyncio.Event()
        self._session = Session(2, self._on_message, self._on_opened, lambda reason: self._over.set())
        self._dialer = Dialer(registration, self._session)
        self._connecting: set[asyncio.Task[None]] = set()

    def end(self) -> None:
        """As YARN does."""
        self._over.set()

    async def run(self) -> None:
        """Live until the server or YARN says that it is over."""
        await self._dialer.connect()
        context = {"state": "ready", "text": ""}
        self._session.send_message(
            {
                "type": "state",
                "host": "worker",
                "pid": 1,
                "container_id": "",
                "python": "3",
                "context": context,
            }
        )
        log = self._session.open("log", LogSource())
        while not self._over.is_set():
            self._session.send(log, b"INFO a line of the ApplicationMaster\n")
            await asyncio.wait([asyncio.ensure_future(self._over.wait())], timeout=LOG_EVERY_S)
        if self._kernel is not None:
            self._kernel.close()
        self._session.shut()

    def _on_message(self, message: dict[str, Any]) -> None:
        if message["type"] == "launch":
            self._number = int(message["number"])
            self._kernel = FakeKernel(self._context, message["connection"], self._exit)
            self._say("running")
        elif message["type"] == "shutdown":
            self._over.set()

    def _exit(self) -> None:
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None
        self._say("exited", returncode=0)

    def _say(self, state: str, **more: int) -> None:
        self._session.send_message(
            {"type": "kernel", "number": self._number, "state": state, "pid": 1, "text": "", **more}
        )

    def _on_opened(self, stream: int, channel: str) -> End:
        end = SocketEnd(self._session, stream)
        task = asyncio.create_task(self._connect(channel, end))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return end

    async def _connect(self, channel: str, end: SocketEnd) -> None:
        if self._kernel is None:
            end.fail()
            return
        port = self._kernel.ports[channel]
        await asyncio.get_running_loop().create_connection(lambda: end, "127.0.0.1", port)


class Fleet:
    """All of them, and the services that know them."""

    def __init__(self, directory: Path) -> None:
        loop = asyncio.get_running_loop()
        self._context = zmq.asyncio.Context()
        self._context.set(zmq.MAX_SOCKETS, 20000)
        self._supervisors: dict[str, FakeSupervisor] = {}
        self._tasks: set[asyncio.Task[None]] = set()

        def end(application_id: str) -> None:
            loop.call_soon_threadsafe(self._end, application_id)

        self._yarn = FakeYarn(directory, end)

    async def serve(self, ready: Path) -> None:
        """Take what is submitted, until SIGTERM."""
        over = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
        ready.write_text(self._yarn.address)
        while not over.is_set():
            for path in sorted(self._yarn.inbox.glob("application_*")):
                self._begin(path)
            for path in self._yarn.inbox.glob("direct-*"):
                if not path.suffix:
                    self._begin_direct(path)
            await asyncio.sleep(LOOK_EVERY_S)
        self._yarn.close()
        for task in self._tasks:
            task.cancel()
        self._context.destroy(linger=0)

    def _begin(self, path: Path) -> None:
        registration = Registration.read(json.loads((path / "registration.json").read_text()))
        self._yarn.accept(path.name, (path / "arguments").read_text().splitlines())
        shutil.rmtree(path)
        supervisor = self._supervisors[path.name] = FakeSupervisor(registration, self._context)
        task = asyncio.create_task(self._live(path.name, supervisor))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _begin_direct(self, path: Path) -> None:
        """A kernel for a server without this package (``direct.py``)."""
        kernel = FakeKernel(self._context, json.loads(path.read_text()), lambda: kernel.close())
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(kernel.ports))
        path.unlink()
        unfinished.rename(path.with_suffix(".ports"))

    async def _live(self, application_id: str, supervisor: FakeSupervisor) -> None:
        try:
            await supervisor.run()
        finally:
            self._yarn.finish(application_id)

    def _end(self, application_id: str) -> None:
        if application_id in self._supervisors:
            self._supervisors[application_id].end()


async def main(directory: Path) -> None:
    """Serve from a directory."""
    await Fleet(directory).serve(directory / "ready")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
