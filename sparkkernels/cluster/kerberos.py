"""Kerberos: who asks the cluster, with a ticket of one's own or with a keytab.

Both kinds of credentials are a credential cache in the end. Hadoop's Java clients find it by ``KRB5CCNAME``
in their environment, our web requests are given it by name; this process's own environment is never changed,
since local kernels inherit that. Source: MIT's ``kinit(1)`` and its library.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path

from ..errors import ConfigurationError, CredentialsError
from .kinit import kinit, kinit_error
from .local_files import directory_prefix, sweep, take_lock
from .ticket_cache import Ticket, default_cache, read_ticket

#: A principal as it may stand in a command: ``name[/host]@REALM``.
PRINCIPAL = re.compile(r"[A-Za-z0-9_][\w.\-]*(/[\w.\-]+)?(@[\w.\-]+)?\Z", re.ASCII)
#: Seconds that a ticket must still be good for when something is begun with it: a submit takes this long.
LEAST_S = 60.0
#: A keytab's ticket is replaced when less than this part of its life is left.
RENEW_AT = 0.5


class Credentials(ABC):
    """A principal's credential cache that is kept good; all methods may be called from any thread."""

    @property
    @abstractmethod
    def cache(self) -> str:
        """The credential cache, like ``FILE:/tmp/krb5cc_1000``."""

    @property
    @abstractmethod
    def principal(self) -> str:
        """The principal.

        Raises
        ------
        CredentialsError
        """

    @abstractmethod
    def ensure(self) -> None:
        """Make sure that the ticket is good for a minute at least.

        Raises
        ------
        CredentialsError
            With the command that helps.
        """

    @property
    def short_name(self) -> str:
        """The principal without host and realm: what Hadoop's default rules make of it."""
        return re.split("[/@]", self.principal)[0]

    def environment(self) -> dict[str, str]:
        """The variables that hand the cache to a process."""
        return {"KRB5CCNAME": self.cache}


class OwnTicket(Credentials):
    """The ticket that the server's own user got with ``kinit``; it is looked at, never renewed.

    Parameters
    ----------
    environ : mapping of str to str
        The server's environment.
    user : str
        The account's name, for the command to run.
    """

    def __init__(self, environ: Mapping[str, str], user: str) -> None:
        self._environ = environ
        self._user = user

    @property
    def cache(self) -> str:
        """The cache that KRB5CCNAME names, else the usual one of this account."""
        return self._environ.get("KRB5CCNAME") or default_cache() or f"FILE:/tmp/krb5cc_{os.getuid()}"

    @property
    def principal(self) -> str:
        """The principal in the cache."""
        return self._ticket().principal

    def ensure(self) -> None:
        """See the base class."""
        ticket = self._ticket()
        if ticket.left_s < LEAST_S:
            state = "has run out" if ticket.left_s <= 0 else f"runs out in {ticket.left_s:.0f} s"
            raise CredentialsError(
                f"The Kerberos ticket of {ticket.principal} {state}.",
                diagnostics=f"Credential cache: {self.cache}",
                hint=f"Get a new one where the Jupyter server runs: kinit {ticket.principal}",
            )

    def _ticket(self) -> Ticket:
        ticket = read_ticket(self.cache)
        if ticket is None:
            raise CredentialsError(
                "The Jupyter server's account has no Kerberos ticket, and the cluster wants one.",
                diagnostics=f"Credential cache: {self.cache}",
                hint=f"Get one where the Jupyter server runs: kinit {self._user}",
            )
        return ticket


class Keytab(Credentials):
    """A service principal's ticket, obtained from its keytab into a cache of our own, and again in time.

    Parameters
    ----------
    principal, keytab : str
    environ : mapping of str to str
        The server's environment, for ``KRB5_CONFIG``.
    clock : callable
        Seconds on a monotonic clock.
    """

    def __init__(
        self,
        principal: str,
        keytab: str,
        environ: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not PRINCIPAL.match(principal):
            raise ConfigurationError(
                f"The setting principal is no Kerberos principal: {principal[:80]!r}.",
                hint="Set `principal` to something like jupyter/host.example.org@EXAMPLE.ORG.",
            )
        if not os.path.isabs(keytab):
            raise ConfigurationError(
                f"The setting keytab is no absolute path: {keytab[:80]!r}.",
                hint="Name the file from the root on, like /etc/security/keytabs/jupyter.keytab.",
            )
        self._principal = principal
        self._keytab = keytab
        self._environ = environ
        self._clock = clock
        self._mutex = threading.Lock()
        self._directory: Path | None = None
        self._renew_at = float("-inf")
        self._expires_at = float("-inf")

    @property
    def cache(self) -> str:
        """The private cache."""
        with self._mutex:
            return f"FILE:{self._private_directory() / 'ticket'}"

    @property
    def principal(self) -> str:
        """The configured principal."""
        return self._principal

    def ensure(self) -> None:
        """Get a new ticket when half of the old one's life is over; an old one that is good will do."""
        with self._mutex:
            now = self._clock()
            if now < self._renew_at:
                return
            try:
                self._get_ticket()
            except CredentialsError:
                if now + LEAST_S > self._expires_at:
                    raise
                self._renew_at = now + LEAST_S  # the KDC may be back by then

    def _private_directory(self) -> Path:
        if self._directory is None:
            parent = Path(tempfile.gettempdir())
            sweep(parent, time.time())
            self._directory = Path(tempfile.mkdtemp(prefix=directory_prefix(), dir=parent))
            lock = take_lock(self._directory)
            weakref.finalize(self, _remove, self._directory, lock)
        return self._directory

    def _get_ticket(self) -> None:
        if not os.access(self._keytab, os.R_OK):
            said = "Permission denied" if os.path.exists(self._keytab) else "No such file"
            raise kinit_error(said, self._principal, self._keytab)
        directory = self._private_directory()
        fresh = directory / "new"
        kinit(self._principal, self._keytab, f"FILE:{fresh}", self._environ)
        ticket = read_ticket(f"FILE:{fresh}")
        os.replace(fresh, directory / "ticket")  # readers see the old one or the new one, never half of one
        left_s = ticket.left_s if ticket else 0.0
        now = self._clock()
        self._expires_at = now + left_s
        self._renew_at = now + left_s * RENEW_AT


def _remove(directory: Path, lock: int) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    os.close(lock)
