"""The local backend: an application is a process tree of this host in a private directory.

With ``spark_context="eager"`` spark-submit runs in client mode with a local master and its JVM forks the
supervisor, exactly as Spark's ApplicationMaster does on YARN; with ``none`` the supervisor runs by itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from ..errors import ConfigurationError, SubmitError
from ..spec import LaunchSpec
from ..states import ApplicationState, FinalStatus
from .base import ApplicationReport, Backend, Submission
from .bundle import launchers_bundle
from .command import (
    REGISTRATION_NAME,
    Command,
    local_command,
    local_conf,
    parse_spark_defaults,
    plain_command,
    refuse_forced,
)
from .jars import read_jars
from .local_files import directory_prefix, read_tail, sweep, take_lock
from .processes import end_all, has_exited, members
from .spark_home import check_scala, find_java, inspect_spark_home, read_spark_defaults

log = logging.getLogger(__name__)

#: In the environment of everything that a local application starts: its directory.
MARKER = "SPARKKERNELS_DIRECTORY"
#: Seconds between TERM and KILL.
GRACE_S = 3.0
#: Ended applications whose report and last output are kept in memory.
REMEMBERED = 32
STDOUT, STDERR = "stdout", "stderr"
DIAGNOSTICS_BYTES = 2048
DEFAULT_TAIL_BYTES = 65536


class LocalApplication:
    """One application on this host: its process tree and its directory."""

    def __init__(self, application_id: str, command: Command, directory: Path, lock: int) -> None:
        self.id = application_id
        self.directory = directory
        self._lock = lock
        self._mutex = threading.Lock()
        self._killed = False
        self._last_output: str | None = None
        with (directory / STDOUT).open("wb") as stdout, (directory / STDERR).open("wb") as stderr:
            self._process = subprocess.Popen(
                command.argv,
                env={**command.env, MARKER: str(directory)},
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                pass_fds=(lock,),
                start_new_session=True,
            )

    def report(self) -> ApplicationReport:
        """Its state now; the first call that sees its end also removes what it left."""
        code = self.returncode()
        if code is None:
            return ApplicationReport(self.id, ApplicationState.RUNNING, host="localhost")
        final = FinalStatus.KILLED if self._killed else FinalStatus.FAILED if code else FinalStatus.SUCCEEDED
        return ApplicationReport(
            self.id,
            ApplicationState.FAILED if code else ApplicationState.FINISHED,
            final,
            diagnostics=self.logs(DIAGNOSTICS_BYTES) if code and not self._killed else "",
            host="localhost",
            exit_code=code,
        )

    def returncode(self) -> int | None:
        """Exit code, negative for a signal, None while it runs."""
        if not self._mutex.acquire(blocking=False):
            return None  # it is being ended right now
        try:
            if self._process.returncode is None and self._exited():
                self._end(0)
                self._clear()
            code: int | None = self._process.returncode
            return code
        finally:
            self._mutex.release()

    def kill(self) -> None:
        """End all of it, wait until it is gone and remove the directory; idempotent."""
        with self._mutex:
            if self._process.returncode is None:
                self._killed = not self._exited()
                self._end(GRACE_S if self._killed else 0)
            self._clear()

    def _clear(self) -> None:
        """Remove the directory; the last output is kept in memory."""
        if self._last_output is None:
            self._last_output = self._read(DEFAULT_TAIL_BYTES)
            shutil.rmtree(self.directory, ignore_errors=True)
            os.close(self._lock)

    def logs(self, tail_bytes: int) -> str:
        """The last of what it printed."""
        kept = self._last_output
        return self._read(tail_bytes) if kept is None else kept[-tail_bytes:]

    def _exited(self) -> bool:
        return has_exited(self._process.pid)

    def _end(self, grace_s: float) -> None:
        """End every process of it, then reap the first one, whose number names the session until then."""
        pid, marker = self._process.pid, f"{MARKER}={self.directory}"
        if not end_all(lambda: members(pid, marker), grace_s):
            log.error("Processes of %s do not end: %s", self.id, members(pid, marker))
        if self._exited():
            self._process.wait()

    def _read(self, tail_bytes: int) -> str:
        parts = []
        for name in (STDOUT, STDERR):
            text = read_tail(self.directory / name, tail_bytes // 2)
            if text.strip():
                parts.append(f"Last lines of {name}:\n{text.rstrip()}\n")
        return "\n".join(parts)


class LocalSubmission(Submission):
    """Done as soon as it exists: the process has been started."""

    def __init__(self, application_id: str) -> None:
        self._application_id = application_id

    @property
    def application_id(self) -> str:
        """The application's id."""
        return self._application_id

    def wait(self) -> str:
        """Return the id at once."""
        return self._application_id

    def cancel(self) -> None:
        """Nothing to end."""


class LocalBackend(Backend):
    """Applications on this host.

    Parameters
    ----------
    environ : mapping of str to str or None
        The server's environment, None for this process's at the time of each call.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = environ
        self._applications: OrderedDict[str, LocalApplication] = OrderedDict()
        self._mutex = threading.Lock()
        self._swept = False

    @property
    def environ(self) -> Mapping[str, str]:
        """The server's environment."""
        return os.environ if self._environ is None else self._environ

    def prepare(self, spec: LaunchSpec) -> None:
        """Check the interpreter and, unless the kernel goes without Spark, Spark and Java."""
        if not shutil.which(spec.python, path=self.environ.get("PATH")):
            raise ConfigurationError(
                f"The kernel's Python {spec.python} does not exist on this host or can't be executed.",
                hint="Install the kernelspec again with `jupyter sparkkernels install --python PATH`.",
            )
        refuse_forced(spec)
        launchers_bundle()
        if spec.spark_context != "none":
            check_scala(inspect_spark_home(spec.spark_home), spec.scala_version)
            read_jars(spec.jars)
            find_java(self.environ)

    def submit(
        self, spec: LaunchSpec, registration: Path, on_application_id: Callable[[str], None]
    ) -> LocalSubmission:
        """Start it; the callback comes from the calling thread, before this returns."""
        application_id = f"local-{spec.kernel_id}"
        with self._mutex:
            if not self._swept:
                self._swept = True
                sweep(Path(tempfile.gettempdir()), time.time())
            former = self._applications.get(application_id)
            if former and former.returncode() is None:
                raise SubmitError(
                    f"The application of kernel {spec.kernel_id} still runs on this host.",
                    application_id=application_id,
                    hint="Shut the kernel down before starting it again.",
                )
            if former:
                former.kill()
            self._applications[application_id] = self._start(spec, registration, application_id)
            self._applications.move_to_end(application_id)
            self._forget()
        on_application_id(application_id)
        return LocalSubmission(application_id)

    def report(self, application_ids: Collection[str]) -> dict[str, ApplicationReport]:
        """The state of those that this process started."""
        known = {name: self._applications.get(name) for name in application_ids}
        return {name: application.report() for name, application in known.items() if application}

    def kill(self, application_id: str) -> None:
        """End the whole process tree and remove its directory; its last output stays readable."""
        application = self._applications.get(application_id)
        if application:
            application.kill()

    def logs(self, application_id: str, tail_bytes: int = DEFAULT_TAIL_BYTES) -> str:
        """The last of its stdout and stderr."""
        application = self._applications.get(application_id)
        return application.logs(tail_bytes) if application else ""

    def cause_of_death(self, report: ApplicationReport) -> str:
        """What its exit code means."""
        return cause_of_death(report)

    def _start(self, spec: LaunchSpec, registration: Path, application_id: str) -> LocalApplication:
        directory = Path(tempfile.mkdtemp(prefix=directory_prefix()))
        lock = -1
        try:
            lock = take_lock(directory)
            (directory / "tmp").mkdir()
            copy = directory / REGISTRATION_NAME
            copy.touch(0o600)
            copy.write_bytes(registration.read_bytes())
            command = self._command(spec, directory)
            return LocalApplication(application_id, command, directory, lock)
        except BaseException as error:
            shutil.rmtree(directory, ignore_errors=True)
            if lock >= 0:
                os.close(lock)
            if isinstance(error, OSError):
                raise SubmitError(f"The kernel's process could not be started: {error}.") from error
            raise

    def _command(self, spec: LaunchSpec, directory: Path) -> Command:
        bundle = str(launchers_bundle().write_to(directory))
        if spec.spark_context == "none":
            return plain_command(spec, bundle=bundle, environ=self.environ)
        home = inspect_spark_home(spec.spark_home)
        defaults = parse_spark_defaults(read_spark_defaults(home, self.environ))
        return local_command(
            dataclasses.replace(spec, spark_home=str(home.path)),
            local_conf(spec, defaults, directory),
            bundle=bundle,
            directory=directory,
            java=find_java(self.environ),
            environ=self.environ,
        )

    def _forget(self) -> None:
        """Drop the oldest of many ended applications."""
        ended = [name for name, known in self._applications.items() if known.returncode() is not None]
        for name in ended[:-REMEMBERED]:
            self._applications.pop(name).kill()


def cause_of_death(report: ApplicationReport) -> str:
    """One sentence on why a local application ended, "" when it ended well or lives."""
    code = report.exit_code
    if not code or report.final_status is FinalStatus.KILLED:
        return ""
    # A JVM or a shell reports its child's signal, or its own, as 128 + signal.
    number = -code if code < 0 else code - 128 if code > 128 else 0
    if number == signal.SIGKILL:
        return "The kernel's process was killed (signal 9), perhaps because this host ran out of memory."
    with contextlib.suppress(ValueError):
        if number:
            return f"The kernel's process was ended by the signal {signal.Signals(number).name}."
    return f"The kernel's process ended with exit code {code}."
