"""The service's Kerberos ticket: one cache for all helpers of the account, as each kinit takes time."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..cluster.kerberos import RENEW_AT, Keytab
from ..cluster.ticket_cache import read_ticket
from ..errors import ConfigurationError, NotAllowed

LOCK_S = 60.0


class SharedTicket(Keytab):
    """A keytab's ticket in a fixed directory; whoever finds it old gets a new one, and the others wait.

    Parameters
    ----------
    principal, keytab : str
    environ : mapping of str to str
    directory : Path
        Private to the account, from :func:`private_directory`.
    clock : callable
        Seconds on a monotonic clock.
    """

    def __init__(
        self,
        principal: str,
        keytab: str,
        environ: Mapping[str, str],
        directory: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(principal, keytab, environ, clock)
        self._directory = directory

    def _get_ticket(self) -> None:
        assert self._directory is not None
        cache = self._directory / "ticket"
        with locked(self._directory / "ticket.lock"):
            ticket = read_ticket(f"FILE:{cache}")
            if ticket is not None and ticket.principal.partition("@")[0] == self.principal.partition("@")[0]:
                life_s = ticket.left_s + max(0.0, time.time() - cache.stat().st_mtime)
                now = self._clock()
                self._expires_at = now + ticket.left_s
                if ticket.left_s > life_s * RENEW_AT:
                    self._renew_at = now + ticket.left_s - life_s * RENEW_AT
                    return
            super()._get_ticket()


def private_directory(configured: str, home: str) -> Path:
    """The account's own directory, made if need be, closed to everybody else.

    Parameters
    ----------
    configured : str
        The setting ``state_dir``, "" for the one in the home.
    home : str

    Raises
    ------
    ConfigurationError
    """
    path = Path(configured) if configured else Path(home) / ".cache" / "sparkkernels"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        status = path.lstat()
    except OSError as error:
        raise ConfigurationError(
            f"The helper's account can't make its directory {path}: {error.strerror}.",
            hint="Name one that it may write in the helper's settings: state_dir.",
        ) from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise ConfigurationError(
            f"The helper's directory {path} is not its account's alone.",
            hint=f"Correct it with: chmod 700 {path}, or name another one: state_dir.",
        )
    return path


def take_slot(directory: Path, user: str, most: int) -> int:
    """One of the places for helpers of one person; free again when this process ends.

    Returns
    -------
    int
        The descriptor that holds the place.

    Raises
    ------
    NotAllowed
        All are taken.
    """
    slots = directory / "slots" / user
    slots.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in range(most):
        descriptor = os.open(slots / str(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        return descriptor
    raise NotAllowed(
        f"{user} has {most} submit helpers running on this host already, and no more are allowed.",
        hint="End a Jupyter server that is not needed any more.",
    )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that all helpers of the account know."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + LOCK_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ConfigurationError(f"{path} was locked for {LOCK_S:g} s.") from None
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)
