"""Spark kernels that outlive their Jupyter server: the next one takes them over, with their sessions.

``c.ServerApp.kernel_manager_class = "sparkkernels.surviving.SurvivingKernels"``, and where everybody shall
see only kernels of their own, ``OwnSurvivingKernels`` with ``c.ServerApp.session_manager_class =
"sparkkernels.surviving.OwnSurvivingSessions"``.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import os
import threading
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar

from jupyter_server._tz import utcnow
from jupyter_server.prometheus.metrics import KERNEL_CURRENTLY_RUNNING_TOTAL
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from jupyter_server.services.sessions.sessionmanager import SessionManager
from tornado.ioloop import IOLoop

from .adoption import adopt
from .errors import SparkKernelError
from .handover import Left, take_all
from .own_kernels import OwnKernels, OwnSessions
from .provisioner import SparkProvisioner
from .record import record_directory
from .relay.hub import shared_hub

T = TypeVar("T")
SESSIONS = "sessions.json"
COLUMNS = ("session_id", "path", "name", "type", "kernel_id")


class SurvivingKernels(AsyncMappingKernelManager):
    """Leaves running Spark kernels when its server stops, and takes over what the one before has left."""

    #: What :class:`SparkProvisioner` asks for.
    keeps_kernels = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self._unheard: set[str] = set()
        self._keep_sessions()
        self._take_over_all()

    # -- the server that comes -----------------------------------------------------------------------------

    def _keep_sessions(self) -> None:
        """Sessions go with their kernels: unless the administrator has a class of their own for them."""
        server: Any = self.parent
        if getattr(server, "session_manager_class", None) is SessionManager:
            server.session_manager_class = SurvivingSessions

    def _take_over_all(self) -> None:
        """Before the server answers its first request: clients that ask for a kernel in vain forget it."""
        left = take_all(self.log.warning)
        with shared_hub().expecting(one.handover.kernel_id for one in left):
            managers = {one.handover.kernel_id: self._manager(one) for one in left}
            results = run(self._connect(left, managers))
        for one, error in zip(left, results, strict=True):
            kernel_id = one.handover.kernel_id
            if error is None:
                self._enter(kernel_id, managers[kernel_id])
            elif isinstance(error, SparkKernelError):
                self.log.warning("Kernel %s is not taken over. %s", kernel_id, error)
            else:
                self.log.error("Kernel %s is not taken over.", kernel_id, exc_info=error)

    def _manager(self, left: Left) -> Any:
        kwargs = {"kernel_id": left.handover.kernel_id}
        return self.pre_start_kernel(left.handover.kernel_name, kwargs)[0]

    async def _connect(self, left: list[Left], managers: dict[str, Any]) -> list[BaseException | None]:
        works = [adopt(managers[one.handover.kernel_id], one) for one in left]
        results = await asyncio.gather(*works, return_exceptions=True)
        return [result if isinstance(result, BaseException) else None for result in results]

    def _enter(self, kernel_id: str, manager: Any) -> None:
        """What a start does after the kernel's own start."""
        root = self.root_dir
        manager._launch_args = self._kernel_start_kwargs(env=dict(os.environ), cwd=root, kernel_id=kernel_id)
        manager._attempted_start = True
        manager.ready.set_result(None)
        manager.execution_state, manager.reason, manager.last_activity = "starting", "", utcnow()
        self._kernels[kernel_id] = manager
        self._kernel_connections[kernel_id] = 0
        self._kernel_ports[kernel_id] = manager.ports
        self._unheard.add(kernel_id)
        manager.start_restarter()
        self.start_watching_activity(kernel_id)  # type: ignore[no-untyped-call]
        died = partial(self._handle_kernel_died, kernel_id)
        self.add_restart_callback(kernel_id, died, "dead")
        KERNEL_CURRENTLY_RUNNING_TOTAL.labels(type=manager.kernel_name).inc()
        if not self._initialized_culler:
            self.initialize_culler()  # type: ignore[no-untyped-call]
        IOLoop.current().add_callback(self._welcome, kernel_id, manager)
        self.log.info(
            "Kernel %s was taken over with its application %s.", kernel_id, manager.provisioner.application_id
        )

    async def _welcome(self, kernel_id: str, manager: Any) -> None:
        """The server is complete: check it, and know what the kernel does; nobody can ask a busy one."""
        try:
            manager.provisioner.check_server()
        except SparkKernelError as error:
            self.log.error("Kernel %s is left again. %s", kernel_id, error)
            await self._leave(kernel_id, manager)
            return
        busy = await manager.provisioner.reconnected()
        manager.execution_state = "busy" if busy else "idle"
        if busy:
            # a websocket would wait for the cell's end or a minute before it opens
            asked = getattr(manager, "_kernel_info_future", None)
            if asked is None:
                asked = manager._kernel_info_future = asyncio.get_running_loop().create_future()
            if not asked.done():
                asked.set_result({})

    def notify_connect(self, kernel_id: str) -> None:
        """A client has come; the first of a kernel that was taken over hears what nobody has heard."""
        super().notify_connect(kernel_id)  # type: ignore[no-untyped-call]
        if kernel_id in self._unheard:
            self._unheard.discard(kernel_id)
            manager: Any = self._kernels[kernel_id]
            manager.provisioner.replay()

    # -- the server that goes ------------------------------------------------------------------------------

    async def _async_shutdown_all(self, now: bool = False) -> None:
        """Leave running Spark kernels, and end all others."""
        for kernel_id, manager in list(self._kernels.items()):
            if isinstance(manager.provisioner, SparkProvisioner):
                await self._leave(kernel_id, manager)
        await super()._async_shutdown_all(now=now)

    async def _leave(self, kernel_id: str, manager: Any) -> None:
        manager.stop_restarter()  # which would start it again
        if await manager.provisioner.detach():
            self.stop_watching_activity(kernel_id)  # type: ignore[no-untyped-call]
            self.stop_buffering(kernel_id)  # type: ignore[no-untyped-call]
            self.remove_kernel(kernel_id)
            self.log.info("Kernel %s is left running for the next server.", kernel_id)

    shutdown_all = _async_shutdown_all  # type: ignore[assignment]


class SurvivingSessions(SessionManager):
    """Keeps the sessions of Spark kernels in their records."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        for kernel_id in self.kernel_manager.list_kernel_ids():
            for row in read_sessions(kernel_id):
                self.cursor.execute("INSERT INTO session VALUES (?,?,?,?,?)", row)

    async def save_session(self, *args: Any, **kwargs: Any) -> Any:
        """As in the base class."""
        return self._kept(await super().save_session(*args, **kwargs))  # type: ignore[no-untyped-call]

    async def update_session(self, *args: Any, **kwargs: Any) -> Any:
        """As in the base class."""
        return self._kept(await super().update_session(*args, **kwargs))  # type: ignore[no-untyped-call]

    async def delete_session(self, *args: Any, **kwargs: Any) -> Any:
        """As in the base class."""
        return self._kept(await super().delete_session(*args, **kwargs))  # type: ignore[no-untyped-call]

    def _kept(self, result: T) -> T:
        rows = [tuple(row) for row in self.cursor.execute("SELECT * FROM session").fetchall()]
        for kernel_id in self.kernel_manager.list_kernel_ids():
            provisioner = getattr(self.kernel_manager.get_kernel(kernel_id), "provisioner", None)
            if isinstance(provisioner, SparkProvisioner):
                provisioner.keep(SESSIONS, {"rows": [row for row in rows if row[-1] == kernel_id]})
        return result


class OwnSurvivingKernels(OwnKernels, SurvivingKernels):
    """Both: everybody sees their own, and they outlive the server."""


class OwnSurvivingSessions(OwnSessions, SurvivingSessions):
    """Both: everybody sees their own, and they outlive the server."""


def read_sessions(kernel_id: str) -> list[tuple[str | None, ...]]:
    """The rows of the sessions that a kernel's record holds."""
    try:
        content = json.loads((record_directory(kernel_id) / SESSIONS).read_text())
        rows = [tuple(row) for row in content["rows"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [row for row in rows if len(row) == len(COLUMNS) and row[-1] == kernel_id]


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, from a thread whose own loop may not run yet or must not be used."""
    result: concurrent.futures.Future[T] = concurrent.futures.Future()

    def work_it() -> None:
        try:
            result.set_result(asyncio.run(work))
        except BaseException as error:  # noqa: BLE001 the caller gets it
            result.set_exception(error)

    threading.Thread(target=work_it, name="sparkkernels-take-over").start()
    return result.result()
