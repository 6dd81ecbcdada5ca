"""Web requests with SPNEGO: Kerberos over HTTP, with credentials that are handed in."""

from __future__ import annotations

import logging
from typing import Any

import requests

from ..errors import CredentialsError
from .kerberos import Credentials
from .kinit import SKEW_HINT, SKEW_MESSAGE
from .ticket_cache import no_library

# It logs each failure with its stack, and each answer without proof; both are told in our own words.
logging.getLogger("requests_kerberos").setLevel(logging.CRITICAL)

#: What MIT's library says, and what it means.
EXCHANGE_ERRORS: list[tuple[str, str, str]] = [
    ("Clock skew", SKEW_MESSAGE, SKEW_HINT),
    ("Ticket not yet valid", SKEW_MESSAGE, SKEW_HINT),
    (
        "Server not found",
        "Kerberos knows no service HTTP/{host}.",
        "The addresses in yarn-site.xml and hdfs-site.xml must be names for which HTTP/ principals exist.",
    ),
    (
        "Cannot contact any KDC",
        "The Kerberos server (KDC) can't be reached.",
        "Check KRB5_CONFIG or /etc/krb5.conf, and the network to the KDC.",
    ),
    ("expired", "The Kerberos ticket has run out.", "Get a new one with kinit, and see `klist`."),
]


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
        from requests_kerberos.exceptions import KerberosExchangeError
    except (ImportError, OSError) as error:
        raise no_library(error) from error

    class Negotiate(HTTPKerberosAuth):  # type: ignore[misc]
        """Looks at the credentials at each exchange: they may have been renewed since the last one."""

        def generate_request_header(self, response: Any, host: str, is_preemptive: bool = False) -> str:
            credentials.ensure()
            self.principal = spnego.KerberosCCache(credentials.cache)
            try:
                return str(super().generate_request_header(response, host, is_preemptive))
            except KerberosExchangeError as error:
                raise exchange_error(str(error), host) from error

    # Errors and answers to a cookie carry no proof of the server; HTTPS is what proves it.
    session.auth = Negotiate(mutual_authentication=DISABLED)
    return session


def exchange_error(said: str, host: str) -> CredentialsError:
    """Why no proof could be made for a host, from what the Kerberos library says."""
    for sign, message, hint in EXCHANGE_ERRORS:
        if sign in said:
            return CredentialsError(message.format(host=host), diagnostics=said, hint=hint.format(host=host))
    return CredentialsError(
        f"Kerberos gave no ticket for the web service on {host}.", diagnostics=said, hint="See `klist`."
    )
