"""Reading credential caches, with MIT's own library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import CredentialsError


@dataclass(frozen=True)
class Ticket:
    """The ticket-granting ticket of a credential cache.

    Attributes
    ----------
    principal : str
    left_s : float
        Seconds until it runs out, 0 when it has.
    """

    principal: str
    left_s: float


def read_ticket(cache: str) -> Ticket | None:
    """The ticket of a credential cache, None when there is none.

    Raises
    ------
    CredentialsError
        The libraries are missing.
    """
    krb5 = _krb5()
    context = krb5.init_context()
    try:
        found = krb5.cc_resolve(context, cache.encode())
        principal = krb5.cc_get_principal(context, found).name.decode()
        tickets = [entry.times.endtime for entry in found if entry.server.name.startswith(b"krbtgt/")]
    except krb5.Krb5Error:
        return None
    if not tickets:
        return None
    return Ticket(principal, max(0.0, max(tickets) - krb5.timeofday(context)))


def default_cache() -> str:
    """The default cache's name as krb5.conf has it; "" when it can't be asked."""
    try:
        krb5 = _krb5()
        return str(krb5.cc_default_name(krb5.init_context()).decode())
    except (CredentialsError, RuntimeError):  # krb5.Krb5Error: there is no usable krb5.conf
        return ""


def _krb5() -> Any:
    try:
        import krb5
    except (ImportError, OSError) as error:
        raise no_library(error) from error
    return krb5


def no_library(error: Exception) -> CredentialsError:
    """The error where the extra with the Kerberos libraries is not installed."""
    return CredentialsError(
        "The cluster wants Kerberos, and this Jupyter server has no library for it.",
        diagnostics=str(error),
        hint="Install it where the Jupyter server runs: pip install 'sparkkernels[kerberos]'",
    )
