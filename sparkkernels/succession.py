"""How a running kernel goes from one server process to the next: the second half of the provisioner."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from jupyter_client.connect import KernelConnectionInfo

from .application import Application
from .blocking import in_thread
from .errors import ApplicationFailed, ConfigurationError
from .handover import Handover, Left, save
from .identity import Identity
from .owners import Starter, claim
from .record import LaunchRecord
from .relay.hub import Address, shared_hub
from .relay.link import Link
from .restarts import Restarts
from .settings import Settings
from .wishes import Wish, Wishes


class Succession(Settings):
    """A part of :class:`sparkkernels.provisioner.SparkProvisioner`, with the state of one kernel."""

    kernel_id: str
    connection_info: KernelConnectionInfo
    log: logging.Logger | logging.LoggerAdapter[Any]
    parent: Any
    kernel_spec: Any
    _fault: ConfigurationError | None
    _wishes: Wishes
    _restarts: Restarts
    _link: Link | None = None
    _record: LaunchRecord | None = None
    _application: Application | None = None
    _identity: Identity | None = None
    _starter: Starter | None = None
    _number = 0
    _has_process = False
    #: Whether the kernel goes on when this process ends.
    _outlives = False

    async def get_provisioner_info(self) -> dict[str, Any]:
        """All that another process needs to take over the running kernel, as JSON has it; secret.

        Raises
        ------
        ConfigurationError
            There is no running kernel.
        """
        return (await in_thread(self._handover)).to_json()

    async def load_provisioner_info(self, provisioner_info: dict[str, Any]) -> None:
        """Take over a kernel from what :meth:`get_provisioner_info` said in a process that is gone.

        Its supervisor reconnects within seconds; until then the kernel counts as alive.

        Raises
        ------
        SparkKernelError
            It can't be taken over, and why.
        """
        handover = Handover.from_json(provisioner_info)
        record = LaunchRecord(handover.kernel_id)
        if not record.lock():
            raise ConfigurationError(
                f"Kernel {handover.kernel_id} is another process's, or was never on this host.",
                hint="End the Jupyter server that has it first.",
            )
        await in_thread(self.check_server)
        await self.take_over(Left(record, handover))

    async def take_over(self, left: Left) -> None:
        """As :meth:`load_provisioner_info`, of a kernel whose record is locked already; not on an error.

        The server is not checked: it may not be complete yet.
        """
        try:
            await self._take_over(left.record, left.handover)
        except BaseException as error:
            link, application = self._link, self._application
            if application is not None:
                application.leave()
            if link is not None:
                await asyncio.shield(asyncio.ensure_future(shared_hub().leave_link(link)))
            is_over = isinstance(error, ApplicationFailed)
            await in_thread(left.record.remove if is_over else left.record.leave)
            self._forget()
            raise

    async def _take_over(self, record: LaunchRecord, left: Handover) -> None:
        if self._fault is not None:
            raise self._fault
        self.kernel_id = left.kernel_id
        self._identity = Identity(left.requester, left.proxy_user)
        self._starter = claim(left.kernel_id, left.starter)
        self._wishes.current = Wish.read(left.wish)
        self._number = left.number
        self._record = record
        link = await self._open_link(left.generation, left.session)
        application = Application(await in_thread(self._backend), shared_hub(), link, record, self.log)
        self._application = application
        relay = Address(left.host, left.port, left.relay_certificate)
        await application.adopt(left.application_id, left.note, left.begun_at, relay)
        application.deaths.began(left.number, self.orphan_timeout_s)
        ports = {f"{channel}_port": port for channel, port in link.ports.items()}
        self.parent.load_connection_info({**left.connection_info, **ports})
        self.parent.write_connection_file()
        self.connection_info = self.parent.get_connection_info()
        self._resume()
        self._outlives = self._has_process = True
        self._restarts.started()

    async def detach(self) -> bool:
        """Leave the running kernel to the next process; whether it can be left."""
        application, link, record = self._application, self._link, self._record
        if application is None or link is None or record is None or not self._can_be_left():
            return False
        self._has_process = False
        application.leave()
        await shared_hub().leave_link(link)
        await in_thread(record.leave)
        self._forget()
        return True

    async def reconnected(self) -> bool:
        """Wait for the supervisor of a kernel that was taken over; whether a cell runs in it."""
        while self._link is not None and self._application is not None and not self._application.ended:
            if self._link.connected and self._link.container.host:
                return bool(self._link.kernel.busy)
            await self._link.changed(0.5)
        return False

    def replay(self) -> None:
        """Have the kernel say again what it said while there was no server: clients are here now."""
        if self._link is not None:
            self._link.send({"type": "replay"})

    def keep(self, name: str, content: Mapping[str, Any]) -> None:
        """Keep something beside what the next process needs to take over the kernel."""
        if self._outlives and self._record is not None:
            self._record.write_file(name, dict(content))

    # -- pieces --------------------------------------------------------------------------------------------

    def _is_kept(self) -> bool:
        """Whether kernels of this manager of kernels outlive it."""
        return bool(getattr(getattr(self.parent, "parent", None), "keeps_kernels", False))

    def _can_be_left(self) -> bool:
        return self._outlives and self._has_process and self._lives()

    def _lives(self) -> bool:
        """Whether no end of the kernel process is known."""
        return self._application is not None and self._application.kernel_alive(self._newest()) is None

    def _newest(self) -> int:
        """The number of the kernel process: its supervisor's, when a server went away in a restart."""
        return max(self._number, self._link.kernel.number if self._link is not None else 0)

    async def _hand_over(self) -> None:
        """Have all ready for the next process, after each start."""
        if self._outlives and self._record is not None:
            try:
                await in_thread(lambda record: save(record, self._handover()), self._record)
            except OSError as error:
                self._outlives = False
                self.log.warning(
                    "Kernel %s ends with this server: what the next one needs can't be written: %s.",
                    self.kernel_id,
                    error.strerror,
                )

    def _handover(self) -> Handover:
        application, link, identity = self._application, self._link, self._identity
        if not self._has_process or application is None or link is None or identity is None:
            raise ConfigurationError(f"Kernel {self.kernel_id} does not run, so nobody can take it over.")
        relay, application_id = application.relay, application.application_id
        assert relay is not None and application_id is not None and self._starter is not None
        texts = {
            name: value.decode() if isinstance(value, bytes) else value
            for name, value in self.connection_info.items()
        }
        wish = self._wishes.current
        return Handover(
            kernel_id=self.kernel_id,
            kernel_name=self.parent.kernel_name,
            application_id=application_id,
            number=self._newest(),
            generation=link.generation,
            session=link.session_secret,
            begun_at=application.begun_at,
            host=relay.host,
            port=relay.port,
            certificate=relay.certificate.certificate.decode(),
            key=relay.certificate.key.decode(),
            certificate_path=relay.certificate.path,
            connection_info=texts,
            requester=identity.requester,
            starter=self._starter.user,
            proxy_user=identity.proxy_user,
            wish={"spark_conf": dict(wish.spark_conf), "queue": wish.queue},
            note=self._backend().note(application_id),
        )

    # what the provisioner has
    _backend: Callable[[], Any]
    _forget: Callable[[], None]
    _open_link: Callable[..., Any]
    check_server: Callable[[], None]
    _resume: Callable[[], None]
