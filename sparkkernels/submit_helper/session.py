"""One conversation with a server: requests in, answers out, and the end of what was begun.

The two pipes are all that a server has of the helper, as it may not signal a process of another account for
sure: when either closes, submits under way are ended, with the applications they have made, and so is this.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..cluster.base import Submission
from ..errors import ConfigurationError, SparkKernelError, SubmitError
from .messages import LONGEST_REQUEST, error_to_json
from .requests import Malformed, Request, parse_request
from .service import Service, unexpected

log = logging.getLogger(__name__)

#: Submits and short operations that run at the same time, and requests that may wait in all.
SUBMITS, SHORT_ONES, MOST_WAITING = 4, 8, 64
CHUNK = 65536
#: Milliseconds between two looks whether a signal came; seconds that the end may take.
LOOK_MS = 500
END_S = 90.0


class _Submit:
    """A submit from its request to its answer."""

    def __init__(self) -> None:
        self.application_id: str | None = None
        self.submission: Submission | None = None
        self.cancelled = False
        self.accepted = False
        self.finished = threading.Event()


class Session:
    """Reads requests until the end of the input.

    Parameters
    ----------
    service : Service
    source, target : int
        Descriptors of the pipes.
    """

    def __init__(self, service: Service, source: int, target: int) -> None:
        self._service = service
        self._source = source
        self._target = target
        self._over = False
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._waiting = 0
        self._submits: dict[int, _Submit] = {}
        self._short = ThreadPoolExecutor(SHORT_ONES, "short")
        self._long = ThreadPoolExecutor(SUBMITS, "submit")

    def run(self) -> int:
        """Serve until either pipe closes or a signal comes, and end what is left.

        Returns
        -------
        int
            The exit code.
        """
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop())
        try:
            self._read()
            return 0
        except Malformed as error:
            self.send({"error": error_to_json(error)})
            return 1
        finally:
            self._end()

    def send(self, message: Mapping[str, Any]) -> None:
        """Write one line; a reader that is gone ends the conversation."""
        data = json.dumps(message).encode() + b"\n"
        with self._writing:
            try:
                while data:
                    data = data[os.write(self._target, data) :]
            except OSError:
                self._stop()

    def _stop(self) -> None:
        self._over = True

    def _read(self) -> None:
        poll = select.poll()
        poll.register(self._source, select.POLLIN)
        poll.register(self._target, 0)  # tells of a closed pipe only
        buffer = b""
        while not self._over:
            events = dict(poll.poll(LOOK_MS))
            if self._target in events:
                return
            if self._source not in events:
                continue
            try:
                data = os.read(self._source, CHUNK)
            except OSError:
                return
            if not data:
                return
            *lines, buffer = (buffer + data).split(b"\n")
            if max(map(len, (*lines, buffer))) >= LONGEST_REQUEST:
                raise Malformed(None, f"A request is longer than {LONGEST_REQUEST} bytes.")
            for line in lines:
                self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            request = parse_request(line)
        except Malformed as error:
            if error.number is None:
                raise
            self.send({"id": error.number, "error": error_to_json(error)})
            return
        with self._lock:
            busy = self._waiting >= MOST_WAITING
            twice = request.operation == "submit" and request.number in self._submits
            if not busy and not twice:
                self._waiting += 1
                if request.operation == "submit":
                    self._submits[request.number] = _Submit()
        if busy or twice:
            why = "has too much to do" if busy else "was given the same id twice"
            refusal = ConfigurationError(f"The submit helper {why}.")
            self.send({"id": request.number, "error": error_to_json(refusal)})
            return
        pool = self._long if request.operation == "submit" else self._short
        pool.submit(self._answer, request)

    def _answer(self, request: Request) -> None:
        handlers: dict[str, Callable[[Request], Any]] = {"submit": self._submit, "cancel": self._cancel}
        try:
            answer = {"done": handlers.get(request.operation, self._call)(request)}
        except SparkKernelError as error:
            answer = {"error": error_to_json(error)}
        except Exception as error:  # the caller must get an answer, and the others theirs
            log.exception("%s failed.", request.operation)
            answer = {"error": error_to_json(unexpected(error))}
        with self._lock:
            self._waiting -= 1
        self.send({"id": request.number, **answer})

    def _call(self, request: Request) -> Any:
        return self._service.call(request.operation, request.arguments)

    def _submit(self, request: Request) -> str:
        submit = self._submits[request.number]

        def tell(application_id: str) -> None:
            submit.application_id = application_id
            self.send({"id": request.number, "application_id": application_id})

        try:
            if submit.cancelled:
                raise SubmitError("The submit was cancelled.")
            submission = self._service.submit(**request.arguments, tell=tell)
            with self._lock:
                submit.submission = submission
                cancelled = submit.cancelled
            if cancelled:
                submission.cancel()
            accepted = submission.wait()
            submit.accepted = True
            with self._lock:
                del self._submits[request.number]  # it is its server's from here on
            return accepted
        finally:
            submit.finished.set()

    def _cancel(self, request: Request) -> None:
        """End a submit and return when it is gone; one that is unknown has ended."""
        submit = self._submits.get(request.arguments["submit"])
        if submit is None:
            return
        self._end_submit(submit)
        submit.finished.wait(END_S)

    def _end_submit(self, submit: _Submit) -> None:
        with self._lock:
            submit.cancelled = True
            submission = submit.submission
        if submission is not None and not submit.finished.is_set():
            submission.cancel()

    def _end(self) -> None:
        """End submits that nobody waits for any more; whatever hangs does not keep this process alive."""
        watchdog = threading.Timer(END_S, os._exit, [1])
        watchdog.daemon = True
        watchdog.start()
        with self._lock:
            unfinished = [submit for submit in self._submits.values() if not submit.accepted]
        for submit in unfinished:
            self._end_submit(submit)
        self._long.shutdown(wait=True, cancel_futures=True)
        for submit in unfinished:
            if submit.application_id is not None:
                self._kill(submit.application_id)
        self._short.shutdown(wait=True)
        watchdog.cancel()

    def _kill(self, application_id: str) -> None:
        try:
            self._service.kill(application_id)
        except SparkKernelError as error:
            log.error("%s may be left: %s", application_id, error)
