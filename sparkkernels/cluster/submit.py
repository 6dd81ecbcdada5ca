"""Runs spark-submit and reads what it says: the application's id, and why it failed."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO

from ..errors import SparkKernelError, SubmitError
from .base import Submission
from .command import Command
from .processes import end_all
from .submit_errors import is_retry, submit_error

log = logging.getLogger(__name__)

#: ``org.apache.spark.deploy.yarn.Client`` and ``YarnClientImpl`` name the id; Spark's line comes first.
APPLICATION_ID = re.compile(r"\b(?:Submitting|Submitted) application (application_\d+_\d+)")
#: A line of Spark's own client, which means that it goes on.
PROGRESS = " yarn.Client: "
#: Lines kept of the output, and bytes of one line.
KEPT_LINES = 400
LINE_BYTES = 16384
#: Seconds that Hadoop's client may go on trying to connect; by itself it would for ten to thirty minutes.
RETRYING_S = 20.0
#: Seconds that a whole submit may take; Spark's jars are uploaded in it when they were not staged.
SUBMIT_S = 900.0
GRACE_S = 1.0
#: Seconds between two looks whether it gets anywhere.
LOOK_S = 1.0

#: What the submitting JVM logs, whatever the site's own log4j2.properties say: it is read here.
LOG4J = """\
status = error
rootLogger.level = warn
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %p %c{2}: %m%n%ex
logger.client.name = org.apache.spark.deploy.yarn.Client
logger.client.level = info
logger.ipc.name = org.apache.hadoop.ipc.Client
logger.ipc.level = info
logger.retry.name = org.apache.hadoop.io.retry.RetryInvocationHandler
logger.retry.level = info
"""


class YarnSubmission(Submission):
    """One spark-submit under way.

    Parameters
    ----------
    command : Command
    directory : Path
        Private files of this submit, removed at its end.
    on_application_id : callable
        Called once, from the reading thread, as soon as the id is known.
    find_application : callable
        Looks in YARN for an application whose id spark-submit did not tell; None when there is none.
    lock : int or None
        Descriptor that keeps the directory from being swept; closed with it, spark-submit inherits it.
    """

    def __init__(
        self,
        command: Command,
        directory: Path,
        on_application_id: Callable[[str], None],
        find_application: Callable[[], str | None],
        lock: int | None = None,
    ) -> None:
        self._directory = directory
        self._lock = lock
        self._on_application_id = on_application_id
        self._find_application = find_application
        self._application_id: str | None = None
        self._error: BaseException | None = None
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._retrying_since: float | None = None
        self._started = time.monotonic()
        self._cancelled = False
        self._done = threading.Event()
        try:
            self._process = subprocess.Popen(
                command.argv,
                env=dict(command.env),
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=() if lock is None else (lock,),
                start_new_session=True,
            )
        except OSError as error:
            self._remove_directory()
            raise SubmitError(f"spark-submit could not be started: {error}.") from error
        threading.Thread(target=self._run, name="sparkkernels-submit", daemon=True).start()

    @property
    def application_id(self) -> str | None:
        """The application's id once spark-submit told it."""
        return self._application_id

    @property
    def output(self) -> list[str]:
        """The last lines of what spark-submit printed."""
        return list(self._lines)

    def wait(self) -> str:
        """Block until spark-submit has ended; see the base class."""
        while not self._done.wait(LOOK_S):
            self._give_up_if_stuck(time.monotonic())
        if self._error is not None:
            raise self._error
        assert self._application_id is not None
        return self._application_id

    def cancel(self) -> None:
        """End spark-submit and all it started, and return when it is gone; idempotent."""
        self._cancelled = True
        self._end_process()
        self._done.wait(GRACE_S)

    def _run(self) -> None:
        """Read to the end of the output, then judge; the body of the thread."""
        try:
            if self._process.stdout is not None:
                self._read(self._process.stdout)
            returncode = self._process.wait()
            self._error = self._judge(returncode)
        except SparkKernelError as error:
            self._error = error
        except BaseException as error:
            self._error = error
            raise
        finally:
            self._remove_directory()
            self._done.set()

    def _remove_directory(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)

    def _read(self, stream: IO[bytes]) -> None:
        while raw := stream.readline(LINE_BYTES):
            line = raw.decode(errors="replace").rstrip()
            self._lines.append(line)
            log.debug("spark-submit: %s", line)
            if is_retry(line):
                self._retrying_since = self._retrying_since or time.monotonic()
            elif PROGRESS in line:
                self._retrying_since = None
            found = APPLICATION_ID.search(line)
            if found and self._application_id is None:
                self._tell(found[1])

    def _tell(self, application_id: str) -> None:
        self._application_id = application_id
        try:
            self._on_application_id(application_id)
        except Exception:  # what spark-submit says next must be read all the same
            log.exception("%s could not be told.", application_id)

    def _judge(self, returncode: int) -> SparkKernelError | None:
        """The error of this submit, None when YARN accepted the application."""
        if self._cancelled:
            return SubmitError("The submit was cancelled.", application_id=self._application_id)
        if self._error is not None:
            return self._error if isinstance(self._error, SparkKernelError) else None
        if returncode != 0:
            return submit_error(self.output, returncode, self._application_id)
        if self._application_id is None:
            found = self._find_application()
            if found is None:
                return SubmitError(
                    "spark-submit ended well but YARN has no application of this kernel.",
                    diagnostics="\n".join(self.output[-10:]),
                )
            self._tell(found)
        return None

    def _give_up_if_stuck(self, now: float) -> None:
        """End a submit that will not succeed: Hadoop's client retries for much longer than anybody waits."""
        if self._error is not None:
            return
        retrying = self._retrying_since is not None and now - self._retrying_since > RETRYING_S
        if retrying or now - self._started > SUBMIT_S:
            self._error = submit_error(self.output, None, self._application_id)
            self._end_process()

    def _end_process(self) -> None:
        """TERM, then KILL the process group; its id stays taken while one process of it lives."""
        group = self._process.pid

        def living() -> list[int]:
            if self._process.poll() is not None:
                return []
            return [-group]

        end_all(living, GRACE_S)
        if self._process.returncode is not None:
            return
        log.error("spark-submit (process %d) does not end.", group)
