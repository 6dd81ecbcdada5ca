"""Web requests with SPNEGO: Kerberos over HTTP, with credentials that are handed in."""

from __future__ import annotations

from typing import Any

import requests

from ..errors import CredentialsError
from .kerberos import Credentials


def negotiated(session: requests.Session, credentials: Credentials) -> requests.Session:
    """Have a session answer ``401 Negotiate`` with these credentials.

    Parameters
    ----------
    session : requests.Session
        For one thread: the exchange has a state.
    credentials : Credentials
        Made sure of before each exchange; a cookie spares most requests one.

    Raises
    ------
    CredentialsError
        The libraries are missing.
    """
    try:
        import spnego
        from requests_kerberos import DISABLED, HTTPKerberosAuth
    except (ImportError, OSError) as error:
        raise CredentialsError(
            "The cluster wants Kerberos, and this Jupyter server has no library for it.",
            diagnostics=str(error),
            hint="Install it where the Jupyter server runs: pip install 'sparkkernels[kerberos]'",
        ) from error

    class Negotiate(HTTPKerberosAuth):  # type: ignore[misc]
        """Looks at the credentials at each exchange: they may have been renewed since the last one."""

        def generate_request_header(self, response: Any, host: str, is_preemptive: bool = False) -> str:
            credentials.ensure()
            self.principal = spnego.KerberosCCache(credentials.cache)
            return str(super().generate_request_header(response, host, is_preemptive))

    # Errors and answers to a cookie carry no proof of the server; HTTPS is what proves it.
    session.auth = Negotiate(mutual_authentication=DISABLED)
    return session
