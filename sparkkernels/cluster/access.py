"""How a server proves itself to a cluster: settings, which are known before anything of a cluster is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Access:
    """How this server proves itself to a cluster: settings of the administrator.

    Attributes
    ----------
    principal, keytab : str
        The service's; "" for the ticket of the server's own account.
    ca_file : str
        PEM file of the authorities behind the cluster's HTTPS; "" for the system's.
    """

    principal: str = ""
    keytab: str = ""
    ca_file: str = ""


OWN_ACCOUNT = Access()
