"""The hub: the relay of one Jupyter server process, on a thread and an event loop of its own."""

from __future__ import annotations

import asyncio
import datetime
import logging
import socket
import ssl
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from .admission import Door
from .link import Link
from .tls import fingerprint, make_certificate, server_context

log = logging.getLogger("sparkkernels.relay")
T = TypeVar("T")


class Hub:
    """Owns the relay's thread, its TLS ports and all links of this process.

    It starts with the first link and stops with the last. All public methods may be called from any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._links: dict[str, Link] = {}
        self._doors: dict[tuple[str, int], Door] = {}
        self._tls: ssl.SSLContext | None = None
        self.fingerprint = ""

    async def open_link(self, kernel_id: str) -> Link:
        """Make the link of a new kernel; its local ports accept clients from now on."""
        with self._lock:
            loop = self._started()
            link = Link(kernel_id, loop)
            self._links[kernel_id] = link
        try:
            await self._on_loop(loop, link.start())
        except BaseException:
            await asyncio.shield(asyncio.ensure_future(self.close_link(link)))
            raise
        return link

    async def listen(self, host: str, port: int) -> int:
        """Make sure that supervisors can connect at this address.

        Parameters
        ----------
        host : str
            Local address to bind: ``127.0.0.1`` or ``0.0.0.0``.
        port : int
            0 for any.

        Returns
        -------
        int
            The port.

        Raises
        ------
        OSError
            The port can't be had.
        """
        with self._lock:
            loop = self._started()
        return await self._on_loop(loop, self._listen(host, port))

    async def next_generation(self, link: Link) -> None:
        """Begin a new launch on this link."""
        await self._call(link.next_generation)

    async def close_link(self, link: Link) -> None:
        """Close a link and all its connections; the last one stops the hub. Idempotent."""
        with self._lock:
            if self._links.get(link.kernel_id) is not link:
                return
            del self._links[link.kernel_id]
            loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        await self._on_loop(loop, self._close(link))
        with self._lock:
            idle = not self._links and self._loop is loop
            if idle:
                self._loop = self._thread = None
        if idle:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(timeout=5)

    # -- the thread ----------------------------------------------------------------------------------------

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            certificate, key = make_certificate(datetime.datetime.now(datetime.UTC))
            self.fingerprint = fingerprint(certificate)
            self._tls = server_context(certificate, key)
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._run, args=(self._loop,), name="sparkkernels-relay", daemon=True
            )
            self._thread.start()
        return self._loop

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            loop.close()

    @staticmethod
    async def _on_loop(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))

    async def _call(self, function: Any) -> None:
        async def call() -> None:
            function()

        with self._lock:
            loop = self._started()
        await self._on_loop(loop, call())

    # -- on the hub's loop ---------------------------------------------------------------------------------

    async def _listen(self, host: str, port: int) -> int:
        door = self._doors.get((host, port))
        if door is None:
            assert self._tls is not None
            listening = socket.create_server((host, port), backlog=256)
            door = self._doors[(host, port)] = Door(listening, self._tls, self._links)
            door.open()
        return door.port

    async def _close(self, link: Link) -> None:
        link.close()
        if not self._links:
            for door in self._doors.values():
                door.close()
            self._doors.clear()
        # transports that were closed or aborted report so on the loop's next rounds
        for _ in range(3):
            await asyncio.sleep(0)


_hub = Hub()


def shared_hub() -> Hub:
    """The hub of this process."""
    return _hub
