"""The hub: the relay of one Jupyter server process, on a thread and an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import logging
import socket
import threading
from collections.abc import Container, Coroutine, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from .admission import Door
from .link import Link
from .tls import Certificate, make_certificate, server_context

log = logging.getLogger("sparkkernels.relay")
T = TypeVar("T")


class Address(NamedTuple):
    """Where supervisors find us, and how they know that it is us."""

    host: str
    port: int
    certificate: Certificate

    @property
    def fingerprint(self) -> str:
        """What the registration file pins."""
        return self.certificate.fingerprint


class Hub:
    """Owns all links of this process, and the thread that serves them.

    The thread starts with the first link and stops with the last. All public methods may be called from any
    thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._links: dict[str, Link] = {}
        self._thread: HubThread | None = None
        self._expected: set[str] = set()
        self._users = 0  # links and calls under way: the last to leave stops the thread

    @property
    def running(self) -> bool:
        """Whether there is a link or a call under way."""
        return self._thread is not None

    @contextlib.contextmanager
    def expecting(self, kernel_ids: Iterable[str]) -> Iterator[None]:
        """Tell supervisors of these kernels to try again meanwhile, since their links will be there."""
        expected = set(kernel_ids)
        self._expected |= expected
        try:
            yield
        finally:
            self._expected -= expected

    async def open_link(self, kernel_id: str, generation: int = 0, secret: str = "") -> Link:
        """Make the link of a kernel; its local ports accept clients from now on.

        Parameters
        ----------
        kernel_id : str
        generation : int
        secret : str
            Session secret, and generation, of a supervisor that another process has started; "" for none.
        """
        thread = self._enter()
        try:
            link = Link(kernel_id, thread.loop)
            if secret:
                link.take_over(generation, secret)
        except BaseException:
            self._leave()
            raise
        with self._lock:
            self._links[kernel_id] = link
        try:
            await thread.run(link.start())
        except BaseException:
            await asyncio.shield(asyncio.ensure_future(self.close_link(link)))
            raise
        return link

    async def listen(self, host: str, port: int, own: Certificate | None = None) -> Address:
        """Make sure that supervisors can connect at this address.

        Parameters
        ----------
        host : str
            Local address to bind: ``127.0.0.1`` or ``0.0.0.0``.
        port : int
            0 for any.
        own : Certificate, optional
            The administrator's, or that of a process before this one. A port that is open already keeps the
            certificate that it has, which running supervisors have pinned, even if the file holds another one
            by now.

        Raises
        ------
        OSError
            The port can't be had.
        ConfigurationError
            OpenSSL does not take the certificate.
        """
        with self._using() as thread:
            return await thread.run(thread.listen(host, port, own))

    async def next_generation(self, link: Link) -> None:
        """Begin a new launch on this link."""

        async def begin() -> None:
            link.next_generation()

        with self._using() as thread:
            await thread.run(begin())

    async def leave_link(self, link: Link) -> None:
        """Close a link whose supervisor shall look for the next process, and try again until it is there."""
        self._expected.add(link.kernel_id)
        await self.close_link(link)

    async def close_link(self, link: Link) -> None:
        """Close a link and all its connections; the last one stops the hub. Idempotent."""
        with self._lock:
            if self._links.get(link.kernel_id) is not link:
                return
            del self._links[link.kernel_id]
            thread = self._thread
        assert thread is not None  # the link was its user
        thread.loop.call_soon_threadsafe(link.close)
        try:
            await thread.run(settle())
        finally:
            self._leave()

    @contextlib.contextmanager
    def _using(self) -> Iterator[HubThread]:
        thread = self._enter()
        try:
            yield thread
        finally:
            self._leave()

    def _enter(self) -> HubThread:
        with self._lock:
            if self._thread is None:
                self._thread = HubThread(self._links, self._expected)
            self._users += 1
            return self._thread

    def _leave(self) -> None:
        with self._lock:
            self._users -= 1
            last = self._thread if self._users == 0 else None
            if last:
                self._thread = None
        if last:
            last.stop()


class HubThread:
    """A thread with an event loop, a certificate of its own, and the TLS ports that supervisors dial.

    Parameters
    ----------
    links : mapping of str to Link
        Live view of the links by kernel id.
    expected : container of str
        Live view of the ids of kernels whose links will be there in a moment.
    """

    def __init__(self, links: Mapping[str, Link], expected: Container[str]) -> None:
        self.loop = asyncio.new_event_loop()
        self._links = links
        self._expected = expected
        self._doors: dict[Address, Door] = {}
        self._thread = threading.Thread(target=self._run, name="sparkkernels-relay", daemon=True)
        self._thread.start()

    @functools.cached_property
    def _certificate(self) -> Certificate:
        """Made when it is needed first: not on the loop of whoever starts this thread."""
        return make_certificate(datetime.datetime.now(datetime.UTC))

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the hub's loop and wait for it."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.loop))

    def stop(self) -> None:
        """Close the ports and end the thread; whatever still runs on its loop is cancelled."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=5)

    async def listen(self, host: str, port: int, own: Certificate | None) -> Address:
        """See :meth:`Hub.listen`; on the hub's loop."""
        certificate = own or self._certificate
        for address in self._doors:
            fits = address.port == port or (port == 0 and address.certificate.path == certificate.path)
            if address.host == host and fits:
                return address
        tls = server_context(certificate)
        door = Door(socket.create_server((host, port), backlog=256), tls, self._links, self._expected)
        door.open()
        address = Address(host, door.port, certificate)
        self._doors[address] = door
        return address

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            self.loop.run_until_complete(self._end())
        finally:
            self.loop.close()

    async def _end(self) -> None:
        for door in self._doors.values():
            door.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await settle()


async def settle() -> None:
    """Let transports that were closed or aborted report so: they do on the loop's next rounds."""
    for _ in range(3):
        await asyncio.sleep(0)


_hub = Hub()


def shared_hub() -> Hub:
    """The hub of this process."""
    return _hub
