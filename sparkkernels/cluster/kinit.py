"""``kinit``: a ticket from a keytab, and what it says when there is none to be had."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping

from ..errors import CredentialsError

TIMEOUT_S = 30.0
SKEW_MESSAGE = "Kerberos refuses, because the clocks of this host and of the KDC differ too much."
SKEW_HINT = "Set this host's clock (chrony or ntpd), and try again."

#: What kinit says, and what it means to whoever configured the keytab.
KINIT_ERRORS: list[tuple[str, str, str]] = [
    ("Clock skew too great", SKEW_MESSAGE, SKEW_HINT),
    (
        "not found in Kerberos database",
        "Kerberos does not know the principal {principal}.",
        "Correct the setting `principal`, or create it on the KDC: addprinc -randkey {principal}",
    ),
    (
        "Preauthentication failed|Password incorrect|Decrypt integrity check failed",
        "The keytab {keytab} holds an outdated key of {principal}.",
        "Export a new keytab on the KDC: ktadd -k {keytab} {principal}",
    ),
    (
        "no suitable keys|Key table entry not found|not found in keytab",
        "The keytab {keytab} has no key of {principal}.",
        "See what it holds with: klist -kt {keytab}",
    ),
    (
        "Cannot contact any KDC|Cannot resolve|Cannot find KDC",
        "The Kerberos server (KDC) of {principal} can't be reached.",
        "Check KRB5_CONFIG or /etc/krb5.conf, and the network to the KDC.",
    ),
    (
        "Permission denied",
        "The keytab {keytab} can't be read by this account.",
        "It must belong to the account that the server runs as, with mode 0600.",
    ),
    (
        "No such file|does not exist",
        "There is no keytab {keytab}.",
        "Correct the setting `keytab`.",
    ),
]


def kinit(principal: str, keytab: str, cache: str, environ: Mapping[str, str]) -> None:
    """Get a ticket.

    Parameters
    ----------
    principal, keytab : str
    cache : str
        Credential cache to write, like ``FILE:/tmp/ticket``.
    environ : mapping of str to str
        The server's environment, for ``KRB5_CONFIG``.

    Raises
    ------
    CredentialsError
    """
    try:
        done = subprocess.run(
            ["kinit", "-k", "-t", keytab, "-c", cache, principal],
            env={**environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise CredentialsError(
            "There is no kinit on this host.", hint="Install it (Debian: krb5-user)."
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise kinit_error(f"Cannot contact any KDC ({error})", principal, keytab) from error
    if done.returncode:
        raise kinit_error(done.stderr.strip(), principal, keytab)


def kinit_error(said: str, principal: str, keytab: str) -> CredentialsError:
    """What kinit said, as one of ours."""
    names = {"principal": principal, "keytab": keytab}
    for pattern, message, hint in KINIT_ERRORS:
        if re.search(pattern, said):
            return CredentialsError(message.format(**names), diagnostics=said, hint=hint.format(**names))
    command = shlex.join(["kinit", "-k", "-t", keytab, principal])
    return CredentialsError(
        f"There is no Kerberos ticket for {principal}.", diagnostics=said, hint=f"Try by hand: {command}"
    )
