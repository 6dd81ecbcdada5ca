"""Keeps a running application's tokens fresh: when, and what its user is told when that is impossible."""

from __future__ import annotations

import base64
import logging
import queue
import random
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .blocking import begin
from .cluster.base import Backend, FreshTokens
from .errors import SparkKernelError
from .relay.link import Link, TokensAnswer

#: Hadoop's default (``DFS_NAMENODE_DELEGATION_TOKEN_MAX_LIFETIME_DEFAULT``), until somebody knows better.
ASSUMED_LIFE_S = 7 * 86400.0
#: New tokens are due when this part of the old ones' life is over, or a little earlier: many kernels that
#: were started together shall not ask together.
DUE_AT, JITTER = 0.5, 0.1
#: Seconds after a failure at most, as part of a life, and at least.
RETRY_MAX_S, RETRY_PART, RETRY_MIN_S = 600.0, 1 / 20, 1.0
#: After as many failures the pauses don't grow any more.
LONGEST = 16
#: The user is told when less than these seconds are left, or than this part of a short life.
TELL_S, TELL_PART = 4 * 3600.0, 0.25
#: Seconds between two looks at the clock: a host that was suspended wakes up late.
LOOK_S = 600.0
#: Seconds that the supervisor may take to answer; a SparkContext that is still starting takes long.
ANSWER_S = 120.0


@dataclass(frozen=True)
class Life:
    """From when to when an application's tokens are good, in seconds since 1970."""

    begins_at: float
    ends_at: float

    @property
    def length_s(self) -> float:
        """Seconds."""
        return self.ends_at - self.begins_at

    def due_at(self, chance: float) -> float:
        """When new ones are due; ``chance`` between 0 and 1 spreads it."""
        return self.begins_at + self.length_s * (DUE_AT - JITTER * chance)

    def retry_s(self, failures: int) -> float:
        """Seconds between failure number ``failures`` and the next attempt."""
        longest = max(min(RETRY_MAX_S, self.length_s * RETRY_PART), RETRY_MIN_S)
        return float(min(RETRY_MIN_S * 2 ** min(failures, LONGEST), longest))

    def tell_at(self) -> float:
        """When the user must know that nothing new has come."""
        return self.ends_at - min(TELL_S, self.length_s * TELL_PART)


def words(life: Life, error: SparkKernelError, now: float) -> str:
    """What the user is told.

    Parameters
    ----------
    life : Life
    error : SparkKernelError
        Why there is nothing new.
    now : float
        Seconds since 1970.
    """
    verb = "ends" if now < life.ends_at else "has ended"
    what = f"HDFS access of this kernel {verb} at {clock(life.ends_at, now)}."
    return f"{what} {error.message} {error.hint}".strip()


def clock(at: float, now: float) -> str:
    """A time of day as this host has it, with the date when it is not today."""
    local, today = datetime.fromtimestamp(at).astimezone(), datetime.fromtimestamp(now).astimezone()
    return local.strftime("%H:%M %Z" if local.date() == today.date() else "%Y-%m-%d %H:%M %Z")


class TokenKeeper:
    """A thread that has fresh tokens sent to one application for as long as it runs.

    Parameters
    ----------
    backend : Backend
    application_id : str
    link : Link
        To its supervisor.
    log : logging.Logger or LoggerAdapter
    begun_at : float
        When it was submitted, in seconds since 1970: the ResourceManager renews the tokens of the submit for
        as long as that is possible.
    """

    def __init__(
        self,
        backend: Backend,
        application_id: str,
        link: Link,
        log: logging.Logger | logging.LoggerAdapter[Any],
        begun_at: float,
    ) -> None:
        self._backend = backend
        self._application_id = application_id
        self._link = link
        self._log = log
        self._life = Life(begun_at, begun_at + ASSUMED_LIFE_S)
        self._answers: queue.Queue[TokensAnswer] = queue.Queue()
        self._closed = threading.Event()
        self._failures = 0
        self._error: SparkKernelError | None = None
        self._logged = self._told = ""
        link.on_tokens = self._answers.put
        thread = threading.Thread(target=self._run, name="sparkkernels-tokens", daemon=True)
        begin(thread.start)  # which waits until it runs, and this may be an event loop

    def close(self) -> None:
        """Send no more."""
        self._closed.set()
        self._answers.put(TokensAnswer())  # wakes who waits for one

    def _run(self) -> None:
        # The first ones are not sent: they tell how long those of the submit last, and whether all works.
        while not self._closed.is_set():
            fresh = self._attempt(send=False)
            if fresh is None and self._error is None:
                return
            if fresh is not None:
                self._life = Life(self._life.begins_at, self._life.begins_at + fresh.longest_s)
                break
            self._wait(time.time() + self._life.retry_s(self._failures))
        due_at = self._life.due_at(random.random())
        while not self._closed.is_set():
            self._wait(due_at)
            if self._closed.is_set():
                return
            if not self._link.connected:  # no reason to worry: half of the tokens' life is left
                due_at = time.time() + self._life.retry_s(LONGEST)
                continue
            begun_at = time.time()
            fresh = self._attempt(send=True)
            if fresh is not None:
                self._life = Life(begun_at, begun_at + fresh.life_s)
                due_at = self._life.due_at(random.random())
            else:
                due_at = time.time() + self._life.retry_s(self._failures)

    def _wait(self, until: float) -> None:
        """Wait, and tell the user on the way when it is time for that."""
        while not self._closed.is_set():
            now = time.time()
            if self._error is not None and now >= self._life.tell_at():
                self._tell(words(self._life, self._error, now))
            if now >= until:
                return
            tell_at = self._life.tell_at()
            wake_at = min(until, tell_at) if self._error and now < tell_at else until
            self._closed.wait(min(wake_at - now, LOOK_S))

    def _attempt(self, send: bool) -> FreshTokens | None:
        """Get tokens, and have them applied; None with :attr:`_error` set when that fails."""
        try:
            fresh = self._backend.fresh_tokens(self._application_id)
            if fresh is None:
                return None
            if send:
                self._apply(fresh)
        except SparkKernelError as error:
            self._failed(error)
            return None
        except Exception as error:  # noqa: BLE001 the thread must live on, and somebody must hear of it
            self._failed(SparkKernelError(f"New tokens could not be got ({type(error).__name__})."))
            self._log.debug("New tokens could not be got.", exc_info=True)
            return None
        if self._failures:
            self._log.info("%s has fresh HDFS tokens again.", self._application_id)
        self._failures, self._error, self._logged, self._told = 0, None, "", ""
        return fresh

    def _apply(self, fresh: FreshTokens) -> None:
        expires_at = int(time.time() + fresh.life_s)
        credentials = base64.b64encode(fresh.credentials).decode()
        self._link.send({"type": "tokens", "credentials": credentials, "expires_at": expires_at})
        deadline = time.monotonic() + ANSWER_S
        while not self._closed.is_set():
            try:
                answer = self._answers.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                raise SparkKernelError("The kernel's supervisor does not answer.") from None
            if answer.expires_at == expires_at:
                if answer.text:
                    raise SparkKernelError(
                        "The application did not take the new tokens.", diagnostics=answer.text
                    )
                self._log.debug("%s has tokens until %s.", self._application_id, expires_at)
                return

    def _failed(self, error: SparkKernelError) -> None:
        self._failures += 1
        self._error = error
        said = str(error)
        if said != self._logged:
            self._logged = said
            self._log.warning(
                "%s gets no fresh HDFS tokens; its HDFS access ends at %s. %s",
                self._application_id,
                clock(self._life.ends_at, time.time()),
                said,
            )

    def _tell(self, text: str) -> None:
        if text != self._told:
            self._told = text
            self._link.send({"type": "tokens", "text": text, "expires_at": int(self._life.ends_at)})
