"""Who a kernel runs as: from a source that the administrator named, never from what a client sent.

Three sources: ``os`` (the server's own account; nobody is proxied), ``jupyter`` (the authenticated user of
the request that starts the kernel) and ``hub`` (``JUPYTERHUB_USER`` of the server's environment). What stops
one person from being another is the cluster: Kerberos and its proxy-user rules. The checks here are early and
clear, and no name gets past them that could mean something to a command, a path or a URL.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import pwd
import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import ConfigurationError, NotAllowed
from .settings import Settings
from .spec import USER_NAME

#: Accounts of the cluster's own services: whoever is one of them is everybody. Compared without case.
ALWAYS_DENIED = frozenset({"hdfs", "yarn", "mapred", "root", "http"})
#: Characters of a name as it comes from authentication.
LONGEST_NAME = 256
#: Names that may be repeated in an error.
SHOWABLE = re.compile(r"[A-Za-z0-9_.@/\-]{1,64}", re.ASCII)
#: jupyter_server makes such a name for everybody who comes with a token or a shared password
#: (``IdentityProvider.generate_anonymous_user``).
ANONYMOUS = re.compile(r"[0-9a-f]{32}")
#: What Jupyter Enterprise Gateway's clients send to say who they are.
KERNEL_USERNAME = "KERNEL_USERNAME"

#: Settings that would let a kernelspec choose whom kernels run as, with whose credentials, what runs on the
#: server with them (Hadoop's configuration names programs, Spark's directory holds them), or where the
#: workers connect to.
ADMINISTRATORS = frozenset(
    {
        "identity", "principal", "keytab", "ca_file", "submit_helper", "user_name_realms", "user_name_case",
        "user_name_map", "allowed_users", "denied_users", "kernel_username", "allow_shared_server",
        "staging_admins", "max_submits", "relay_port", "relay_addresses", "relay_certificate", "curve",
        "hadoop_conf_dir", "spark_home", "limits",
    }
)  # fmt: skip
#: Spark's own way of logging in; it excludes acting on behalf of somebody.
OWN_LOGIN = re.compile(r"spark\.(yarn|kerberos)\.(principal|keytab)")


@dataclass(frozen=True)
class NameRules:
    """How the name of an authenticated person becomes one that the cluster knows.

    Attributes
    ----------
    realms : collection of str
        Kerberos realms or mail domains that are cut off after an ``@``; names of others are refused.
    case : str
        ``keep`` or ``lower``.
    mapping : mapping of str to str
        Regular expressions, each for a whole name, and what such a name becomes; the first that fits.
    allowed : collection of str
        Who may start kernels; empty for everybody who is not denied.
    denied : collection of str
        Who may not, whatever else is said.
    """

    realms: Collection[str] = ()
    case: str = "keep"
    mapping: Mapping[str, str] = field(default_factory=dict)
    allowed: Collection[str] = ()
    denied: Collection[str] = ()


def cluster_user(name: str, rules: NameRules, own_names: Collection[str] = ()) -> str:
    """The cluster's name for somebody who was authenticated.

    Parameters
    ----------
    name : str
        As authentication has it.
    rules : NameRules
    own_names : collection of str
        Names of the service itself, which nobody may be.

    Raises
    ------
    NotAllowed
        The name is not one that the cluster could know, or is denied.
    ConfigurationError
        A rule is malformed.
    """
    # Before any rule, so that no rule can make an allowed name of a look-alike.
    if not 0 < len(name) <= LONGEST_NAME or not name.isascii() or not name.isprintable():
        raise _unusable(name)
    for realm in rules.realms:
        name = name.removesuffix(f"@{realm}")
    if rules.case == "lower":
        name = name.lower()
    name = _mapped(name, rules.mapping)
    if not USER_NAME.match(name) or ANONYMOUS.fullmatch(name):
        raise _unusable(name)
    refused = ALWAYS_DENIED | {own.casefold() for own in own_names}
    if name.casefold() in refused or name.casefold() in {denied.casefold() for denied in rules.denied}:
        raise NotAllowed(
            f"Kernels do not run as {name} here: that account is denied.",
            hint="Log in as somebody else. Accounts of services are always denied, others by denied_users.",
        )
    if rules.allowed and name not in rules.allowed:
        raise NotAllowed(
            f"The user {name} may not start kernels here.",
            hint="An administrator of the Jupyter server allows it with the setting allowed_users.",
        )
    return name


def _mapped(name: str, mapping: Mapping[str, str]) -> str:
    for pattern, replacement in mapping.items():
        try:
            found = re.compile(pattern, re.ASCII).fullmatch(name)
            if found:
                return found.expand(replacement)
        except (re.error, IndexError) as error:
            raise ConfigurationError(
                f"The setting user_name_map has an entry that is malformed: {error}.",
                hint=f"Correct {pattern[:60]!r} in the server's configuration.",
            ) from error
    return name


def _unusable(name: str) -> NotAllowed:
    if ANONYMOUS.fullmatch(name):
        return NotAllowed(
            "Nobody knows who asks for this kernel: a login with a token or a shared password is anonymous.",
            hint="Have the Jupyter server's identity_provider_class tell users apart.",
        )
    shown = f" {name}" if SHOWABLE.fullmatch(name) else ""
    return NotAllowed(
        f"The user's name{shown} is not one that a cluster knows: up to 64 letters, digits, dots and dashes.",
        hint="An administrator can map it with user_name_realms, user_name_case and user_name_map.",
    )


@dataclass(frozen=True)
class Identity:
    """Who starts a kernel and who it runs as, fixed at its first start.

    Attributes
    ----------
    requester : str or None
        The authenticated user of the Jupyter server, as authentication has the name; None outside a request.
    proxy_user : str or None
        Whom the kernel runs as, None for the server's own account or principal.
    """

    requester: str | None = None
    proxy_user: str | None = None


def identify(
    settings: Settings, requester: str | None, environ: Mapping[str, str], kernel_env: Mapping[str, str]
) -> Identity:
    """Decide whom a kernel runs as.

    Parameters
    ----------
    settings : Settings
        The kernel's; those that matter here are the administrator's.
    requester : str or None
        From :func:`requester`.
    environ : mapping of str to str
        The server's environment.
    kernel_env : mapping of str to str
        The environment that the request and the kernelspec ask for.

    Raises
    ------
    NotAllowed, ConfigurationError
    """
    own_names = accounts() | {short for short in [short_name(settings.principal)] if short}
    if settings.identity == "os":
        _check_own_identity(settings)
        return Identity(requester)
    if settings.master != "yarn":
        raise NotAllowed(
            "A kernel with a local master would run as the server's account instead of its user.",
            hint="Set master=yarn in the kernelspec; with identity=os local masters can be used.",
        )
    name = requester if settings.identity == "jupyter" else environ.get("JUPYTERHUB_USER")
    if not name and settings.identity == "jupyter":
        raise NotAllowed(
            "There is no authenticated user for whom this kernel could be started.",
            hint="With identity=jupyter a request to a Jupyter server starts kernels; elsewhere use os.",
        )
    if not name:
        raise ConfigurationError(
            "The Jupyter server does not know its user: JUPYTERHUB_USER is not in its environment.",
            hint="identity=hub is for servers that JupyterHub has started; elsewhere use os or jupyter.",
        )
    rules = NameRules(
        settings.user_name_realms,
        settings.user_name_case,
        settings.user_name_map,
        settings.allowed_users,
        settings.denied_users,
    )
    claimed = kernel_env.get(KERNEL_USERNAME)
    if claimed is not None and settings.kernel_username == "use":
        return Identity(requester, cluster_user(claimed, rules, own_names))
    user = cluster_user(name, rules, own_names)
    if claimed not in (None, user, name) and settings.kernel_username != "ignore":
        raise NotAllowed(
            f"The kernel's environment asks with {KERNEL_USERNAME} for another user than {user}.",
            hint=f"Remove {KERNEL_USERNAME} there, or have an administrator set kernel_username.",
        )
    return Identity(requester, user)


def _check_own_identity(settings: Settings) -> None:
    """Refuse kernels that would all run as a service: with its keytab a personal server needs one's own."""
    service = short_name(settings.principal)
    if service and settings.master == "yarn" and service not in accounts():
        if "service_account" in settings.allow_shared_server:
            return
        raise NotAllowed(
            f"With identity=os all kernels of this server would run as {service}, whose keytab it holds.",
            hint="Set identity to jupyter or hub, for kernels that run as their users. What an administrator"
            " wants all the same: c.SparkProvisioner.allow_shared_server = ['service_account']",
        )


def short_name(principal: str) -> str:
    """A principal without host and realm."""
    return re.split("[/@]", principal)[0]


def accounts() -> set[str]:
    """The names of this process's account."""
    names = set()
    for ask in (getpass.getuser, lambda: pwd.getpwuid(os.geteuid()).pw_name):
        with contextlib.suppress(KeyError, OSError):  # a container's account may have no name
            names.add(ask())
    return names


def requester() -> str | None:
    """The authenticated user of the request that is being handled, None where there is no request.

    jupyter_server keeps the handler in a context variable from ``JupyterHandler.prepare`` on.
    """
    # Who has not imported it handles no request of it; nbclient and papermill need not load it for this.
    module: Any = sys.modules.get("jupyter_server.base.call_context")
    if module is None:
        return None
    handler = module.CallContext.get(module.CallContext.JUPYTER_HANDLER)
    name = getattr(getattr(handler, "current_user", None), "username", None)
    return name if isinstance(name, str) and name else None


def refuse_administrators(stanza: Collection[str], spark_conf: Collection[str]) -> None:
    """Refuse what a kernelspec may not set where kernels run on behalf of others.

    Raises
    ------
    ConfigurationError
    """
    for name in sorted(ADMINISTRATORS.intersection(stanza)):
        raise ConfigurationError(
            f"The kernelspec sets {name}, which is the administrator's where kernels run as their users.",
            hint=f"Remove it there, and set c.SparkProvisioner.{name} in the server's configuration.",
        )
    for name in spark_conf:
        if OWN_LOGIN.fullmatch(name):
            raise ConfigurationError(
                f"The Spark setting {name} can't be set where kernels run as their users.",
                hint="Remove it; the service's own keytab is set with principal and keytab.",
            )
