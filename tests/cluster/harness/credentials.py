"""A cluster's Kerberos, for tests: who is who, and their keytabs and tickets."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.harness.errors import HarnessError
from tests.cluster.harness.kerberos import Realm
from tests.cluster.harness.layout import Layout


class WithCredentials:
    """What a cluster says of its Kerberos; without Kerberos, everything but `is_secure` is a HarnessError.

    Parameters
    ----------
    layout : Layout
        What the cluster consists of.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    @property
    def is_secure(self) -> bool:
        """Whether it has Kerberos."""
        return self._layout.kerberos

    @property
    def realm(self) -> str:
        """The name of the Kerberos realm."""
        return self._realm().name

    @property
    def krb5_conf(self) -> Path:
        """The realm's krb5.conf."""
        return self._realm().conf

    @property
    def credentials_directory(self) -> Path:
        """The directory of the tickets that the harness itself uses."""
        return self._realm().caches

    def keytab(self, name: str) -> Path:
        """Give the keytab of hdfs, yarn, HTTP, jupyter, alice, bob, carol or dave."""
        return self._realm().keytab(name)

    def principal(self, name: str) -> str:
        """Give a principal, like ``jupyter/localhost@REALM`` or ``alice@REALM``."""
        return self._realm().principal(name)

    def kinit(self, name: str, ccache: Path, lifetime: str | None = None) -> None:
        """Get a ticket with a keytab.

        Parameters
        ----------
        name : str
            Whose.
        ccache : Path
            The file to write it to, for ``KRB5CCNAME``.
        lifetime : str, optional
            How long it shall be good, like ``90s``; else a day.
        """
        self._realm().kinit(name, ccache, lifetime)

    def _realm(self) -> Realm:
        """Give the Kerberos realm."""
        if self._layout.realm is None:
            raise HarnessError(f"The cluster {self._layout.name!r} has no Kerberos: `up --kerberos`.")
        return self._layout.realm
