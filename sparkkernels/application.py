"""One application from submit to end: the order of its steps."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

from .blocking import begin, in_thread
from .cluster.base import ApplicationReport, Backend, Submission
from .cluster.watch import Watch
from .deaths import Deaths
from .errors import (
    ApplicationFailed,
    ConfigurationError,
    LaunchTimeout,
    ResourceManagerUnavailable,
    SparkKernelError,
    SubmitError,
)
from .failures import application_ended, kernel_failed, quotes_output, too_late
from .handover import is_left
from .progress import Progress
from .record import LaunchRecord, sweep
from .relay.addresses import relay_addresses
from .relay.hub import Address, Hub
from .relay.link import Link
from .relay.tls import Certificate
from .spec import LaunchSpec
from .states import POLL, Phase
from .tokens import TokenKeeper
from .turns import shared_turns
from .words import LINES, last_lines

#: Seconds an application has to finish by itself once it was asked to.
GRACE_S = 5.0
#: Seconds within which YARN says why an application ended that spark-submit saw fail.
REPORT_S = 5.0


class Application:
    """The application of one kernel.

    Parameters
    ----------
    backend : Backend
    hub : Hub
    link : Link
        The kernel's, kept over all its applications.
    record : LaunchRecord
    log : logging.Logger or LoggerAdapter
        Each change of state is told here once, in words.

    Attributes
    ----------
    application_id : str or None
        Known long before the cluster accepted it; from then on every way out ends the application.
    report : ApplicationReport or None
        What the cluster said last.
    deaths : Deaths
        Tells of the ends of kernel processes that nobody wanted.
    begun_at : float
        When it was submitted, in seconds since 1970.
    relay : Address or None
        Where its supervisor dials.
    """

    def __init__(
        self,
        backend: Backend,
        hub: Hub,
        link: Link,
        record: LaunchRecord,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._backend = backend
        self._hub = hub
        self._link = link
        self._record = record
        self._log = log
        self._submitting: concurrent.futures.Future[Submission] | None = None
        self._lock = threading.Lock()
        self._watch: Watch | None = None
        self._token_keeper: TokenKeeper | None = None
        self._progress = Progress(link.kernel_id, log)
        self.begun_at = 0.0
        self.relay: Address | None = None
        self.application_id: str | None = None
        self.report: ApplicationReport | None = None
        self.deaths = Deaths(link, backend.cause_of_death, log)

    @property
    def ended(self) -> bool:
        """Whether the cluster said that it has ended, or it never began."""
        if self.report is not None:
            return POLL[self.report.state] is not None
        return self._progress.phase is Phase.ENDED

    # -- the start -----------------------------------------------------------------------------------------

    async def start(
        self,
        spec: LaunchSpec,
        relay_port: int,
        configured_addresses: list[str],
        certificate: Certificate | None = None,
        max_submits: int = 1,
    ) -> None:
        """Submit when it is our turn, and return when the supervisor has registered.

        Raises
        ------
        SparkKernelError
            Any of its kinds; the caller ends what was begun with :meth:`end`.
        """
        begin(sweep, is_left, time.time())  # what killed servers left is in nobody's way
        await in_thread(self._backend.prepare, spec)
        await self._hub.next_generation(self._link)
        host, given = ("0.0.0.0", configured_addresses) if spec.is_yarn else ("127.0.0.1", ["127.0.0.1"])
        relay = self.relay = await self._listen(host, relay_port, certificate)
        facing = await in_thread(self._backend.hosts)
        addresses = await in_thread(relay_addresses, relay.port, given, facing)  # names are looked up
        content = self._link.registration(addresses, relay.fingerprint, spec.registration_timeout_s)
        registration = await in_thread(self._record.write_registration, content)
        turn = await shared_turns().take(spec.proxy_user or "", max_submits, self._progress.place)
        try:
            self._progress.move(Phase.SUBMITTING, f"Submitting to {spec.master}.")
            self.begun_at = time.time()
            self._submitting = begin(self._backend.submit, spec, registration, self._id_known)
            submission = await asyncio.wrap_future(self._submitting)
        except BaseException:
            shared_turns().end(turn)
            raise
        # The turn ends with the submitting process, even if nobody waits for that any more.
        submitted = begin(submission.wait)
        submitted.add_done_callback(lambda _: shared_turns().end(turn))
        submitted.add_done_callback(lambda _: self._link.notify())
        accepted = asyncio.wrap_future(submitted)
        try:
            await self._registered(spec, accepted)
        finally:
            accepted.cancel()
            self._record.remove_registration()
        if self._watch is not None:
            self._watch.settle()
        where = self._link.container
        self._progress.move(Phase.REGISTERED, f"The supervisor has registered from {where.host}.")
        if spec.is_yarn:
            self._keep_tokens()

    async def adopt(
        self, application_id: str, note: Mapping[str, str], begun_at: float, relay: Address
    ) -> None:
        """Go on with an application that another process started.

        Parameters
        ----------
        application_id : str
        note : mapping of str to str
            That process's :meth:`Backend.note`.
        begun_at : float
        relay : Address
            Where its supervisor dials; others may not have the port.

        Raises
        ------
        ConfigurationError
            The relay's port can't be had.
        ApplicationFailed
            The application has ended, or is not the one that is meant.
        """
        report = await in_thread(self._still_there, application_id, note)
        self.begun_at = begun_at
        self.relay = await self._listen(relay.host, relay.port, relay.certificate)
        if self.relay.fingerprint != relay.fingerprint:
            raise ConfigurationError(f"The relay's port {relay.port} shows another certificate here.")
        self._id_known(application_id)
        self.report = self.report or report
        self._progress.phase = Phase.RUNNING
        if self._watch is not None:
            self._watch.settle()
        self._keep_tokens()

    def _still_there(self, application_id: str, note: Mapping[str, str]) -> ApplicationReport | None:
        self._backend.adopt(application_id, note)
        try:
            report = self._backend.report([application_id]).get(application_id)
        except ResourceManagerUnavailable as error:
            self._log.warning("%s is taken over unseen. %s", application_id, error)
            return None
        if report is None or POLL[report.state] is not None:
            raise ApplicationFailed("Its application has ended.", application_id=application_id)
        if report.tags and self._link.kernel_id not in report.tags:
            raise ApplicationFailed("Its application is not this kernel's.", application_id=application_id)
        return report

    def _keep_tokens(self) -> None:
        if self.application_id is not None:
            self._token_keeper = TokenKeeper(
                self._backend, self.application_id, self._link, self._log, self.begun_at
            )

    async def _listen(self, host: str, port: int, certificate: Certificate | None) -> Address:
        try:
            return await self._hub.listen(host, port, certificate)
        except (OSError, OverflowError) as error:
            raise ConfigurationError(
                f"The relay's port {port} can't be opened: {getattr(error, 'strerror', None) or error}.",
                hint="Set relay_port to a free port, or to 0 for any.",
            ) from error

    async def _registered(self, spec: LaunchSpec, accepted: asyncio.Future[str]) -> None:
        deadline: float | None = None
        while not (self._link.registered and self._link.container.host):
            if deadline is None and accepted.done():
                try:
                    accepted.result()
                except SubmitError as error:
                    raise await self._why_not_accepted(error) from error
                deadline = time.monotonic() + spec.launch_timeout_s
                self._progress.move(Phase.QUEUED, f"{self.application_id} was accepted.")
            if self.report is not None:
                self._progress.reported(self.report)
            if self.ended:
                raise await self.failure("The Spark application ended before its kernel could start.")
            if deadline is not None and time.monotonic() > deadline:
                raise too_late(spec, self.application_id, self.report)
            await self._link.changed(0.5)

    async def _why_not_accepted(self, error: SubmitError) -> SparkKernelError:
        """What is wrong with the submit; or with the application, if YARN had it already and has ended it."""
        deadline = time.monotonic() + REPORT_S
        while not error.hint and self.application_id is not None and time.monotonic() < deadline:
            if self.ended:
                return await self.failure("The Spark application ended before its kernel could start.")
            await self._link.changed(0.5)
        return error

    async def launch_kernel(self, message: dict[str, Any], deadline: float) -> None:
        """Have the supervisor start a kernel process, and return when it has bound its ports.

        Parameters
        ----------
        message : dict
            ``launch`` of launchers/PROTOCOL.md, section 5.
        deadline : float
            On the monotonic clock, in seconds.

        Raises
        ------
        ApplicationFailed
            The process could not start or has ended, or the application has.
        LaunchTimeout
        """
        self._link.send(message)
        while self.kernel_alive(message["number"]) is None:
            if self._link.kernel.number == message["number"] and self._link.kernel.state == "running":
                self._progress.move(Phase.RUNNING, f"The kernel runs as process {self._link.kernel.pid}.")
                self.deaths.began(message["number"], message["orphan_timeout_s"])
                return
            if time.monotonic() > deadline:
                raise LaunchTimeout(
                    "The kernel process did not open its ports in time.",
                    application_id=self.application_id,
                    diagnostics=self.last_lines(),
                    hint="Check the kernelspec's argv and the load of the worker.",
                )
            await self._link.changed(0.5)
        raise await self.kernel_failure()

    def kernel_alive(self, number: int) -> int | None:
        """What ``poll()`` answers for kernel process ``number``: None alive, else its exit code."""
        kernel = self._link.kernel
        if kernel.number == number and kernel.state in ("exited", "failed"):
            return 1 if kernel.returncode is None else kernel.returncode
        if self.ended:
            return 1 if self.report is None else POLL[self.report.state]
        return None

    # -- the end -------------------------------------------------------------------------------------------

    async def end(self) -> None:
        """End the application, by its supervisor if it listens, else by the cluster, and wait for it.

        Raises
        ------
        ResourceManagerUnavailable, NotAllowed
            The cluster could not be asked or refused; the supervisor ends by itself after its timeouts.
        """
        self.deaths.expect()
        await in_thread(self._end_submit)
        if self._link.connected and not self.ended:
            self._link.send({"type": "shutdown"})
            deadline = time.monotonic() + GRACE_S
            while not self.ended and time.monotonic() < deadline:
                await self._link.changed(0.2)
                if self._watch is not None and not self._link.connected:
                    self._watch.kick()
        if self.application_id is not None and not self.ended:
            await in_thread(self._backend.kill, self.application_id)
        self._forget()

    def end_now(self) -> None:
        """As :meth:`end`, blocking and without a word to the supervisor: for the interpreter's exit."""
        self._end_submit()
        if self.application_id is not None and not self.ended:
            self._backend.kill(self.application_id)
        self._forget()

    def leave(self) -> None:
        """Look after it no more, and let it run."""
        self._forget()

    def _end_submit(self) -> None:
        """No submit is under way afterwards; one that was broken off half begun is waited for first."""
        if self._submitting is None:
            return
        concurrent.futures.wait([self._submitting])
        if not self._submitting.cancelled() and self._submitting.exception() is None:
            submission = self._submitting.result()
            submission.cancel()
            self._id_known(submission.application_id)

    def _forget(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        if self._token_keeper is not None:
            self._token_keeper.close()
            self._token_keeper = None
        self._progress.phase = Phase.ENDED
        self._record.remove_registration()

    # -- words ---------------------------------------------------------------------------------------------

    async def kernel_failure(self) -> SparkKernelError:
        """Why the kernel process is gone."""
        if self.ended:
            return await self.failure("The Spark application ended before its kernel was ready.")
        return kernel_failed(self._link.kernel, self.application_id)

    async def failure(self, message: str) -> SparkKernelError:
        """An error about an ended application, with what the cluster and the container said."""
        output = "" if quotes_output(self.report) else self.last_lines() or await self._container_log()
        return application_ended(message, self.application_id, self.report, self.cause_of_death(), output)

    async def _container_log(self) -> str:
        if self.application_id is None:
            return ""
        try:
            return last_lines(await in_thread(self._backend.logs, self.application_id), LINES)
        except SparkKernelError as error:
            self._log.debug("No log of %s: %s", self.application_id, error.message)
            return ""

    def cause_of_death(self) -> str:
        """One sentence on why the application ended, "" when it has not or nobody knows."""
        return self._backend.cause_of_death(self.report) if self.report is not None else ""

    def last_lines(self) -> str:
        """The last lines of the container's output that came over the wire."""
        return last_lines(self._link.log_tail(), LINES)

    # -- what others call ----------------------------------------------------------------------------------

    def _id_known(self, application_id: str | None) -> None:
        with self._lock:
            if application_id is None or self.application_id is not None:
                return
            self.application_id = application_id
        self._record.write({"kernel_id": self._link.kernel_id, "application_id": application_id})
        self._watch = Watch(self._backend, application_id, self._reported)
        self._link.on_cut = self._cut
        self._link.on_status = self.deaths.changed
        self._link.notify()

    def _reported(self, report: ApplicationReport | None) -> None:
        if report is not None:
            self.report = report
            self._link.notify()
            self.deaths.reported(report)

    def _cut(self) -> None:
        self.deaths.cut()
        if self._watch is not None:
            self._watch.kick()  # an application that has ended is the likeliest reason
