"""The provisioner: jupyter_client's contract for one kernel, as an order of steps."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import difflib
import os
import signal
import sys
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any, ClassVar

import zmq
from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from traitlets import TraitError

from .application import Application
from .blocking import begin, in_thread
from .cluster import create_backend
from .cluster.access import Access
from .encryption import needs_curve
from .errors import ConfigurationError, SparkKernelError
from .garbage import leave_out_what_is_there
from .identity import identify, refuse_administrators, requester
from .owners import claim
from .record import LaunchRecord
from .relay.hub import shared_hub
from .relay.link import Link
from .restarts import Restarts
from .shared_server import refuse_unsafe_server
from .spec import LaunchSpec, check_kernel_id
from .starting import Starting
from .tags import server_tag
from .turns import first_steps
from .wishes import Wishes

#: What jupyter_client itself gives a provisioner.
BASE = ("kernel_id", "kernel_spec", "parent")
#: Seconds within which a kernel mostly ends when it is asked to; jupyter_client looks for that every 0.1 s.
PROMPT_END_S = 0.5


def refuse_unknown(given: Iterable[str], known: Collection[str]) -> None:
    """Refuse settings that do not exist, and name the likeliest that does.

    Raises
    ------
    ConfigurationError
    """
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            raise ConfigurationError(
                f"The kernelspec sets {name}, which is no setting of Spark kernels.",
                hint=f"Perhaps {close[0]} is meant."
                if close
                else "See docs/configuration.md for all settings.",
            )


class SparkProvisioner(Starting, KernelProvisionerBase):  # type: ignore[metaclass]
    """Runs a kernel inside a Spark application.

    Its ip, ports and key never change over the kernel's life; a restart keeps the application and its
    SparkContext where it can.
    """

    #: Those that hold something that must not outlive this process.
    _holding: ClassVar[set[SparkProvisioner]] = set()

    def __init__(self, **kwargs: Any) -> None:
        self._fault: ConfigurationError | None = None
        try:
            identity = kwargs.pop("identity", None)  # what counts is what the administrator has
            refuse_unknown(kwargs, [*self.trait_names(config=True), *BASE])
            super().__init__(**kwargs)
            if self.identity != "os" or identity not in (None, "os"):
                refuse_administrators([*kwargs, *(["identity"] if identity else [])], self.spark_conf)
        except (TraitError, ConfigurationError) as error:
            # raised by the start, which can leave the manager in order; a constructor can't
            self._fault = error if isinstance(error, ConfigurationError) else ConfigurationError(str(error))
            KernelProvisionerBase.__init__(self, **{name: kwargs[name] for name in BASE if name in kwargs})
        self._spec: LaunchSpec | None = None
        self._settling: concurrent.futures.Future[None] | None = None
        self._restarts = Restarts(self.parent, self.log)
        self._ending: asyncio.Future[None] | None = None
        self._wishes = Wishes()
        self._news = ""

    @property
    def application_id(self) -> str | None:
        """The kernel's application on the cluster, None while there is none."""
        return self._application.application_id if self._application else None

    # -- what jupyter_client calls to start ----------------------------------------------------------------

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Check the request completely and settle ip, ports and key; called before each start and restart."""
        try:
            return await self._pre_launch(**kwargs)
        except GeneratorExit:
            raise  # the loop has stopped under us: what is held is ended at exit
        except BaseException as error:
            await self._give_up(error)
            raise

    async def _pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        if self._fault is not None:
            raise self._fault
        check_kernel_id(self.kernel_id)
        kwargs = await super().pre_launch(**kwargs)
        own = {name: kwargs["env"][name] for name in self.kernel_spec.env if name in kwargs["env"]}
        argv = [*self.kernel_spec.argv, *kwargs.pop("extra_arguments", [])]
        async with first_steps():
            await self._identify(kwargs["env"])
            self._spec = self._make_spec(tuple(argv), own)
            self._outlives = self._spec.is_yarn and self._is_kept()
            self._holding.add(self)
            if self._link is None:
                leave_out_what_is_there()
                self._record = LaunchRecord(self.kernel_id)
                self._link = await self._open_link()
                await in_thread(self._backend)  # the first time it is imported, which takes its time
            self._settling = begin(self._settle_connection, self._link)
            await asyncio.wrap_future(self._settling)
        kwargs["cmd"] = argv
        return kwargs

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start the kernel, in the running application if there is one; returns after its first answer."""
        try:
            await self._launch()
        except GeneratorExit:
            raise
        except BaseException as error:
            await self._give_up(error)
            raise
        self._has_process = True
        self._restarts.started()
        await self._hand_over()
        return self.connection_info

    async def _give_up(self, error: BaseException) -> None:
        """End whatever a failed start has begun; nobody else will."""
        if isinstance(error, SparkKernelError):
            self.log.error("Kernel %s could not be started. %s", self.kernel_id, error)
        else:
            self.log.error("The start of kernel %s was broken off: %r", self.kernel_id, error)
        self._restarts.look(self._restarter_gave_up)
        again = self._restarts.failed(error)
        await asyncio.shield(asyncio.ensure_future(self._leave_nothing(keep_ports=again)))
        self._restarts.resume()
        # the manager above forgets a failed start only when it awaits it, and waits for it at its own end
        getattr(getattr(self.parent, "parent", None), "_pending_kernels", {}).pop(self.kernel_id, None)

    # -- what jupyter_client calls while it runs -----------------------------------------------------------

    @property
    def has_process(self) -> bool:
        """Whether there is a kernel; False during a start until all is final."""
        return self._has_process

    async def poll(self) -> int | None:
        """None while the kernel lives or can't be known dead, else its exit code; from what was pushed."""
        if not self._has_process or self._application is None:
            return 0
        self._restarts.look(self._restarter_gave_up)
        returncode = self._application.kernel_alive(self._newest())
        if returncode is not None and not self._application.deaths.certain:
            return None
        if returncode is not None:
            is_final = bool(self._link and self._link.ending)
            self._restarts.died(self._application.ended, self._application.deaths.why(), is_final)
        return returncode

    async def wait(self) -> int | None:
        """Wait for the end of the kernel process."""
        while self._has_process and self._application is not None and self._link is not None:
            returncode = self._application.kernel_alive(self._newest())
            if returncode is not None:
                self._has_process = False
                return returncode
            await self._link.changed(0.5)
        return 0

    async def send_signal(self, signum: int) -> None:
        """Interrupt or signal the kernel process; called by the manager's interrupt and signal."""
        if self._link is None or not self._has_process or signum == 0:
            return
        if signum == signal.SIGINT:
            self._link.send({"type": "interrupt"})
        else:
            self._link.send({"type": "signal", "signum": int(signum)})

    async def kill(self, restart: bool = False) -> None:
        """SIGKILL the kernel process; when its supervisor is out of reach, the application."""
        self._expect_end()
        await self.send_signal(signal.SIGKILL)
        if self._link is not None and self._application is not None and not self._link.connected:
            try:
                await self._application.end()
            except SparkKernelError as error:
                # Tried again by what follows: cleanup or a start. A server that stops must not stop at this.
                self.log.warning("Kernel %s could not be killed. %s", self.kernel_id, error)

    async def terminate(self, restart: bool = False) -> None:
        """SIGTERM the kernel process."""
        self._expect_end()
        await self.send_signal(signal.SIGTERM)

    async def cleanup(self, restart: bool = False) -> None:
        """End the application and leave nothing, unless a restart follows; idempotent."""
        self._has_process = False
        if not restart:
            await self._leave_nothing()

    async def shutdown_requested(self, restart: bool = False) -> None:
        """The kernel was asked to end; return when it has, or after a moment."""
        self._expect_end()
        until = time.monotonic() + PROMPT_END_S
        while self._link is not None and self._lives() and (left := until - time.monotonic()) > 0:
            await self._link.changed(left)

    def _restarter_gave_up(self) -> None:
        self._ending = asyncio.ensure_future(self._leave_nothing())

    async def _leave_nothing(self, keep_ports: bool = False) -> None:
        """End the application; unless another start follows by itself, the clients' ports are closed too."""
        self._has_process = False
        application, link, record = self._application, self._link, self._record
        try:
            if application is not None:
                await self._end(application)
        finally:
            if link is not None and not keep_ports:
                await shared_hub().close_link(link)
            if record is not None and not keep_ports:
                await in_thread(record.remove)
        self._application = None
        if not keep_ports:
            self._forget()

    async def _end(self, application: Application) -> None:
        """End the application; one whose cluster can't be asked is looked after no more."""
        try:
            await application.end()
        except SparkKernelError as error:
            self.log.error("Kernel %s could not be ended cleanly. %s", self.kernel_id, error)
            application.leave()

    def end_now(self) -> None:
        """Blocking end at the interpreter's exit of what nobody else has ended or is left to."""
        left = self._can_be_left()
        if self._application is not None:
            self._application.leave() if left else self._application.end_now()
        if self._record is not None:
            self._record.leave() if left else self._record.remove()
        self._forget()

    def _forget(self) -> None:
        self._application = self._link = self._record = None
        self._holding.discard(self)
        if self._settling is not None:
            concurrent.futures.wait([self._settling])  # or it would write the file after this
        manager: Any = self.parent
        manager.cleanup_connection_file()

    # -- pieces --------------------------------------------------------------------------------------------

    def _resume(self) -> None:
        """As after a start, of a kernel that was taken over."""
        self._spec = self._make_spec(tuple(self.kernel_spec.argv), dict(self.kernel_spec.env))
        self._holding.add(self)

    async def _identify(self, env: Mapping[str, str]) -> None:
        """Settle for the kernel's whole life whom it belongs to: a restart has no request, or another's."""
        if self._identity is None:
            await in_thread(self.check_server)
            self._starter = claim(self.kernel_id, requester())
            self._identity = await in_thread(identify, self, requester(), os.environ, env)

    def check_server(self) -> None:
        """Refuse a server that may not start kernels as its users.

        Raises
        ------
        NotAllowed
        """
        if self.identity != "os":
            private = (self.keytab, self.hadoop_conf_dir, self.spark_home)
            refuse_unsafe_server(self.parent, self.identity, private, self.allow_shared_server)

    def _backend(self) -> Any:
        return create_backend(
            self.master,
            spark_home=self.spark_home,
            hadoop_conf_dir=self.hadoop_conf_dir,
            staging_dir=self.staging_dir,
            staging_admins=tuple(self.staging_admins),
            server_tag=server_tag(),
            access=Access(self.principal, self.keytab, self.ca_file),
            submit_helper=self.submit_helper,
        )

    def _make_spec(self, argv: tuple[str, ...], env: dict[str, str]) -> LaunchSpec:
        return LaunchSpec(
            kernel_id=self.kernel_id,
            generation=(self._link.generation if self._link else 0) + 1,
            master=self.master,
            argv=argv,
            env=env,
            python=self.python,
            spark_home=self.spark_home,
            spark_context=self.spark_context,
            spark_conf=dict(self.spark_conf),
            jars=tuple(self.jars),
            scala_version=self.scala_version,
            queue=self.queue,
            proxy_user=self._identity.proxy_user if self._identity else None,
            name=f"{self.kernel_spec.display_name} {self.kernel_id[:8]}",
            tags=("sparkkernels", self.kernel_id, server_tag()),
            launch_timeout_s=self.launch_timeout_s,
            registration_timeout_s=self.registration_timeout_s,
            orphan_timeout_s=self.orphan_timeout_s,
        )

    def _settle_connection(self, link: Link) -> None:
        """Blocks: a file is written."""
        manager: Any = self.parent
        if manager.transport != "tcp":
            raise ConfigurationError(
                f"Spark kernels need the transport tcp, and this server asks for {manager.transport}.",
                hint="Set c.KernelManager.transport = 'tcp'.",
            )
        manager.ip = "127.0.0.1"
        for channel, port in link.ports.items():
            setattr(manager, f"{channel}_port", port)
        policy = manager._transport_encryption_policy()
        supported = manager._kernel_supports_curve_encryption()
        if not needs_curve(self.curve, policy, supported, zmq.has("curve")):
            manager.curve_publickey = manager.curve_secretkey = None
        elif manager.curve_publickey is None:
            manager.curve_publickey, manager.curve_secretkey = zmq.curve_keypair()
        manager.write_connection_file()
        self.connection_info = manager.get_connection_info()


def _end_all() -> None:
    if SparkProvisioner._holding and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave kernels to nobody
    for provisioner in list(SparkProvisioner._holding):
        try:
            provisioner.end_now()
        except SparkKernelError as error:
            sys.stderr.write(f"sparkkernels: {error}\n")


atexit.register(_end_all)
os.register_at_fork(after_in_child=SparkProvisioner._holding.clear)
