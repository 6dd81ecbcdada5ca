"""The privileged helper as a process: started through ``sudo``, spoken to over pipes, read by a thread."""

from __future__ import annotations

import json
import logging
import os
import re
import select
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import IO, Any

from ..errors import ConfigurationError, NotAllowed, SparkKernelError
from ..submit_helper.messages import error_from_json

log = logging.getLogger(__name__)

#: Seconds without a request after which an idle helper is let go.
IDLE_S = 60.0
#: Seconds between two looks whether it is idle.
LOOK_S = 1.0
#: Seconds that a helper has to end once its input is closed.
END_S = 5.0
LONGEST_ANSWER = 16 * 1048576
KEPT_LINES = 20

#: sudo, in English.
SUDO_REFUSES = re.compile(
    r"sudo: (a password is required|.*(not allowed|may not run|not in the sudoers))|Sorry, "
)
#: sudo, where a spawner has taken away what it lives on.
NO_NEW_PRIVILEGES = '"no new privileges" flag is set'


class Call:
    """One request and what came of it.

    Parameters
    ----------
    number : int
    on_application_id : callable or None
        Called from the reading thread.
    """

    def __init__(self, number: int, on_application_id: Callable[[str], None] | None = None) -> None:
        self.number = number
        self.application_id: str | None = None
        self._on_application_id = on_application_id
        self._done = threading.Event()
        self._value: Any = None
        self._error: SparkKernelError | None = None

    @property
    def is_done(self) -> bool:
        """Whether the answer is there."""
        return self._done.is_set()

    def wait(self, timeout_s: float) -> Any:
        """The answer.

        Raises
        ------
        SparkKernelError
            Of the kind that the helper named.
        """
        if not self._done.wait(timeout_s):
            raise SparkKernelError(f"The submit helper did not answer within {timeout_s:g} s.")
        if self._error is not None:
            raise self._error
        return self._value

    def take(self, message: dict[str, Any]) -> bool:
        """Take one message; whether it was the last."""
        if "application_id" in message:
            self.application_id = str(message["application_id"])
            if self._on_application_id is not None:
                try:
                    self._on_application_id(self.application_id)
                except Exception:  # what the helper says next must be read all the same
                    log.exception("%s could not be told.", self.application_id)
            return False
        if "error" in message:
            self.fail(error_from_json(message["error"]))
        else:
            self._value = message.get("done")
            self._done.set()
        return True

    def fail(self, error: SparkKernelError) -> None:
        """There will be no answer."""
        self._error = error
        self._done.set()


class HelperProcess:
    """One process, and the thread that reads what it says.

    Parameters
    ----------
    command : list of str
    lock : threading.RLock
        Held by whoever sends; the decision that it has been idle for long is taken under it.
    refused : callable
        Told why it ended before it was ready.
    """

    def __init__(
        self, command: list[str], lock: threading.RLock, refused: Callable[[SparkKernelError], None]
    ) -> None:
        self.open = True
        self._command = command
        self._lock = lock
        self._refused = refused
        self._calls: dict[int, Call] = {}
        self._ready = False
        self._error: SparkKernelError | None = None
        self._said: deque[str] = deque(maxlen=KEPT_LINES)
        self._used_at = time.monotonic()
        try:
            self._process = subprocess.Popen(
                command,
                # sudo drops it anyway; its messages are looked at below, so they must be in English
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C in the server's terminal is not for it
            )
        except OSError as error:
            raise ConfigurationError(
                f"The submit helper can't be started: {command[0]}: {error.strerror}.",
                hint="Correct the setting submit_helper, or install sudo.",
            ) from error
        self._source = _unwrapped(self._process.stdin)
        self._answers = _unwrapped(self._process.stdout)
        self._errors = _unwrapped(self._process.stderr)
        self._reader: threading.Thread | None = threading.Thread(
            target=self._run, name="sparkkernels-helper", daemon=True
        )
        try:
            self._reader.start()
        except RuntimeError:  # "can't create new thread at interpreter shutdown"
            self._reader = None

    def send(self, call: Call, line: bytes) -> None:
        """Send a request; without a thread to read the answer it is read right here."""
        self._calls[call.number] = call
        self._used_at = time.monotonic()
        try:
            self._source.write(line)
            self._source.flush()
        except OSError:
            self.open = False  # the reader finds out why
        if self._reader is None:
            self._read(until=call)
            if not call.is_done:
                self._fail_all()

    def close(self) -> None:
        """End it, by the end of its input."""
        self.open = False
        try:
            self._source.close()
        except OSError as error:
            log.debug("The submit helper's input: %s", error)

    def _run(self) -> None:
        try:
            self._read()
        finally:
            with self._lock:
                self.close()
            self._fail_all()

    def _read(self, until: Call | None = None) -> None:
        """Read both outputs to their end, or to an answer."""
        buffers = {self._answers.fileno(): b"", self._errors.fileno(): b""}
        while buffers and not (until is not None and until.is_done):
            readable, _, _ = select.select(list(buffers), [], [], LOOK_S)
            for descriptor in readable:
                data = os.read(descriptor, 65536)
                if not data:
                    del buffers[descriptor]
                    continue
                *lines, rest = (buffers[descriptor] + data).split(b"\n")
                buffers[descriptor] = rest[:LONGEST_ANSWER]
                for line in lines:
                    (self._take if descriptor == self._answers.fileno() else self._hear)(line)
            if not readable:
                self._let_go_if_idle()

    def _let_go_if_idle(self) -> None:
        with self._lock:
            if self.open and not self._calls and time.monotonic() - self._used_at > IDLE_S:
                self.close()

    def _hear(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()
        self._said.append(text)
        log.debug("The submit helper: %s", text)

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
            number = message.get("id")
        except (ValueError, AttributeError):
            self._hear(line)  # sudo's lecture, a login script's greeting
            return
        if number is None:
            if "ready" in message:
                self._ready = True
            elif "error" in message:
                self._error = error_from_json(message["error"])
            return
        call = self._calls.get(number)
        if call is not None and call.take(message):
            self._used_at = time.monotonic()
            self._calls.pop(number, None)

    def _fail_all(self) -> None:
        """The end of the process is the answer to all that was asked of it."""
        error = self._why()
        with self._lock:
            if not self._ready:
                self._refused(error)
            for call in self._calls.values():
                call.fail(error)
            self._calls.clear()
            self._answers.close()
            self._errors.close()

    def _why(self) -> SparkKernelError:
        """Why it has ended."""
        try:
            code: int | None = self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            code = None  # it is another account's; the end of its input ends it
        if self._error is not None:
            return self._error
        return helper_error(self._command, "\n".join(self._said), code, self._ready)


def helper_error(command: Sequence[str], said: str, code: int | None, was_ready: bool) -> SparkKernelError:
    """Our error for a helper that ended without giving a reason in its own words.

    Parameters
    ----------
    command : sequence of str
    said : str
        The last lines that it, or sudo, wrote as errors.
    code : int or None
    was_ready : bool
    """
    if not was_ready and SUDO_REFUSES.search(said):
        return NotAllowed(
            "This account may not run the submit helper: sudo refuses.",
            diagnostics=said,
            hint="An administrator adds the rule of spark-conf/sudoers.snippet, for exactly the command that"
            " submit_helper sets, with: visudo -f /etc/sudoers.d/sparkkernels",
        )
    if not was_ready and NO_NEW_PRIVILEGES in said:
        return ConfigurationError(
            "This server was started so that it can't use sudo, which the submit helper needs.",
            diagnostics=said,
            hint="Set NoNewPrivileges=no where it is started (c.SystemdSpawner.disable_user_sudo = False).",
        )
    if not was_ready:
        return ConfigurationError(
            f"The submit helper does not start (exit code {code}).",
            diagnostics=said,
            hint=f"Try by hand: {' '.join(command)}",
        )
    return SparkKernelError(f"The submit helper ended unexpectedly (exit code {code}).", diagnostics=said)


def _unwrapped(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream
