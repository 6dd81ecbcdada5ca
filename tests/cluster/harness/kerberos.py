"""A cluster's Kerberos realm as its clients meet it: principals, keytabs, tickets, and SPNEGO for HTTP."""

from __future__ import annotations

import base64
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.cluster.harness.errors import HarnessError

REALM = "SPARKKERNELS.TEST"

#: Service principals, all of them of this host: HDFS's, YARN's, every web server's, and the Jupyter server's.
SERVICES = ("hdfs", "yarn", "HTTP", "jupyter")

#: People with principals. Who of them has a home and may be proxied is a matter of `settings`.
PEOPLE = ("alice", "bob", "carol", "dave")

_HOST = "localhost"
_KINIT_TIMEOUT_S = 20
_SPNEGO = "1.3.6.1.5.5.2"

#: Guards KRB5_CONFIG of this process.
_environment_lock = threading.Lock()


class Realm:
    """The Kerberos realm of one cluster.

    The C libraries find a realm's configuration in the environment variable ``KRB5_CONFIG`` of their process
    alone. `kinit` gives it to the process it starts, and `negotiate` sets it for as long as it needs it, so
    bringing a cluster up and asking it anything needs nothing of its caller. Whoever speaks Kerberos by other
    means, like a test of the product in this process, must have set it itself, to `conf`.

    Parameters
    ----------
    directory : Path
        The cluster's directory.
    """

    name = REALM

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "kerberos"

    @property
    def conf(self) -> Path:
        """The krb5.conf(5)."""
        return self.directory / "krb5.conf"

    @property
    def caches(self) -> Path:
        """The directory of the credential caches that the harness itself uses, one for each name."""
        return self.directory / "caches"

    @property
    def http_secret(self) -> Path:
        """The file with what the web servers sign their cookies with."""
        return self.directory / "http-secret"

    @property
    def java_option(self) -> str:
        """The option that tells a JVM of the realm: Java knows nothing of ``KRB5_CONFIG``."""
        return f"-Djava.security.krb5.conf={self.conf}"

    def keytab(self, name: str) -> Path:
        """Give the keytab of one of `SERVICES` or `PEOPLE`.

        Raises
        ------
        HarnessError
            When nobody is called so.
        """
        self.principal(name)
        return self.directory / "keytabs" / f"{name}.keytab"

    def principal(self, name: str) -> str:
        """Give the principal of one of `SERVICES` or `PEOPLE`, like ``yarn/localhost@REALM``.

        Raises
        ------
        HarnessError
            When nobody is called so.
        """
        if name in SERVICES:
            return f"{name}/{_HOST}@{REALM}"
        if name in PEOPLE:
            return f"{name}@{REALM}"
        raise HarnessError(f"{name!r} has no principal: there are {', '.join((*SERVICES, *PEOPLE))}.")

    def kinit(self, name: str, cache: Path, lifetime: str | None = None) -> None:
        """Get a ticket with a keytab.

        Parameters
        ----------
        name : str
            Whose.
        cache : Path
            The credential cache to write it to.
        lifetime : str, optional
            How long it shall be good, like ``90s``; the realm's default is 24 hours.

        Raises
        ------
        HarnessError
            When the KDC gives none, or there is no KDC.
        """
        principal = self.principal(name)
        command = ["kinit", "-k", "-t", str(self.keytab(name)), "-c", f"FILE:{cache}"]
        if lifetime is not None:
            command += ["-l", lifetime]
        environment = {**os.environ, "KRB5_CONFIG": str(self.conf)}
        try:
            done = subprocess.run(
                [*command, principal],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_KINIT_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise HarnessError(f"kinit had no ticket for {principal} after {_KINIT_TIMEOUT_S} s.") from None
        if done.returncode != 0:
            raise HarnessError(f"kinit got no ticket for {principal}: {done.stderr.strip()}")

    def cache(self, name: str) -> Path:
        """Give the harness's own credential cache for a name, with a ticket that outlives the cluster.

        Raises
        ------
        HarnessError
            When the first ticket is not to be had.
        """
        cache = self.caches / name
        if not cache.exists():
            with tempfile.TemporaryDirectory(dir=self.caches) as temporary:
                fresh = Path(temporary) / name
                self.kinit(name, fresh)
                # Nobody sees half a cache, though several processes may need their first ticket at once.
                fresh.rename(cache)
        return cache

    def negotiate(self, url: str, user: str) -> tuple[str, dict[str, str]]:
        """Authenticate one request with SPNEGO, without waiting to be asked for it.

        Parameters
        ----------
        url : str
            What will be asked.
        user : str
            Who asks: a name with a keytab.

        Returns
        -------
        str, dict of str to str
            The URL, and the header to send.

        Raises
        ------
        HarnessError
            When there is no ticket.
        """
        # A cluster without Kerberos needs neither the package nor the C library below it.
        import gssapi

        cache = self.cache(user)
        host = urlsplit(url).hostname
        try:
            with _krb5_config(self.conf):
                credentials = gssapi.Credentials(usage="initiate", store={"ccache": f"FILE:{cache}"})
                context = gssapi.SecurityContext(
                    name=gssapi.Name(f"HTTP@{host}", gssapi.NameType.hostbased_service),
                    creds=credentials,
                    mech=gssapi.OID.from_int_seq(_SPNEGO),
                    usage="initiate",
                )
                token = context.step() or b""
        except gssapi.raw.GSSError as error:
            raise HarnessError(f"{self.principal(user)} got no ticket for HTTP/{host}: {error}") from None
        return url, {"Authorization": f"Negotiate {base64.b64encode(token).decode()}"}


@contextmanager
def _krb5_config(conf: Path) -> Iterator[None]:
    """Let this process's C libraries read a krb5.conf; nothing is touched where they do so already."""
    with _environment_lock:
        before = os.environ.get("KRB5_CONFIG")
        if before == str(conf):
            yield
            return
        os.environ["KRB5_CONFIG"] = str(conf)
        try:
            yield
        finally:
            if before is None:
                del os.environ["KRB5_CONFIG"]
            else:
                os.environ["KRB5_CONFIG"] = before
