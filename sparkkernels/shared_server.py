"""What a Jupyter server must not do when its process can act as everybody.

A server that starts kernels on behalf of its users holds credentials with which it can be any of them. So can
whoever runs code as its account, or uses a kernel of somebody else. Each check has a name, by which an
administrator can waive it (``allow_shared_server``).
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import NotAllowed
from .identity import requester
from .kernelspecs import local_kernels

#: Where an identity provider says who somebody is; jupyter_server's own can't.
TELLS_USERS_APART = ("get_user", "_get_user", "get_user_token", "get_user_cookie", "user_from_cookie")
STOCK = "jupyter_server.auth."
OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True)
class Fault:
    """Why a server must not start kernels on behalf of others.

    Attributes
    ----------
    name : str
        By which it is waived.
    message, hint : str
        What is wrong, and what to change.
    """

    name: str
    message: str
    hint: str


def server_of(manager: Any) -> Any:
    """The ServerApp that a kernel manager belongs to, None outside jupyter_server."""
    module: Any = sys.modules.get("jupyter_server.serverapp")
    while module is not None and manager is not None:
        if isinstance(manager, module.ServerApp):
            return manager
        manager = getattr(manager, "parent", None)
    return None


def refuse_unsafe_server(
    manager: Any, identity: str, private: Iterable[str], waived: Collection[str]
) -> None:
    """Refuse to start a kernel on behalf of a user of a server that any user could take over.

    Parameters
    ----------
    manager : KernelManager
        The kernel's.
    identity : str
        ``jupyter`` or ``hub``.
    private : iterable of str
        Paths of ours that users must not write, like the keytab's; "" is passed over.
    waived : collection of str
        Names of checks that the administrator does without.

    Raises
    ------
    NotAllowed
        With all that is wrong, and what to change.
    """
    server = server_of(manager)
    if server is None and requester() is None:
        return  # nbclient, papermill: there are no users but who runs this process
    if server is None:
        raise NotAllowed(
            "The Jupyter server that was asked for this kernel can't be found, so it can't be checked.",
            hint="Use the kernel manager of jupyter_server, or a class derived from it.",
        )
    found = [fault for fault in faults(server, identity, private) if fault.name not in waived]
    if found:
        raise NotAllowed(
            f"This Jupyter server may not start kernels as its users: {found[0].message}.",
            diagnostics="\n".join(f"Also: {fault.message}." for fault in found[1:]),
            hint="\n".join(
                [
                    *(fault.hint for fault in found),
                    "What an administrator wants all the same: c.SparkProvisioner.allow_shared_server ="
                    f" {sorted({fault.name for fault in found})}",
                ]
            ),
        )


def faults(server: Any, identity: str, private: Iterable[str]) -> Iterator[Fault]:
    """All that is wrong with a server."""
    if server.terminals_enabled:
        yield Fault(
            "terminals",
            "it offers terminals, which run as the server's account",
            "Set c.ServerApp.terminals_enabled = False.",
        )
    yield from anonymity(server)
    # JupyterHub's lets everybody in whom the Hub gave this server to: right where all kernels are one user's.
    hubs = type(server.authorizer).is_authorized.__module__.startswith("jupyterhub.")
    if is_stock(server.authorizer, "is_authorized") or (hubs and identity == "jupyter"):
        yield Fault(
            "open_authorizer",
            "its authorizer lets everybody use every kernel",
            "Set c.ServerApp.authorizer_class = 'sparkkernels.authorizer.KernelOwnerAuthorizer'.",
        )
    names = list(local_kernels(server.kernel_spec_manager))
    if names:
        yield Fault(
            "local_kernels",
            f"it starts kernels that run as the server's account ({', '.join(names[:5])})",
            "Set c.ServerApp.kernel_spec_manager_class = 'sparkkernels.kernelspecs.SparkKernelSpecManager'.",
        )
    yield from writable_files(server, private)


def anonymity(server: Any) -> Iterator[Fault]:
    """Whether the users of a server are known by name."""
    provider = server.identity_provider
    stock = all(is_stock(provider, method) for method in TELLS_USERS_APART)
    if stock or not provider.auth_enabled:
        yield Fault(
            "anonymous_users",
            "its users are anonymous: a token or a shared password does not say who somebody is",
            "Set c.ServerApp.identity_provider_class to one that tells users apart.",
        )
    elif server.allow_unauthenticated_access:
        yield Fault(
            "anonymous_users",
            "it answers requests of nobody in particular where an extension forgot to ask",
            "Set c.ServerApp.allow_unauthenticated_access = False.",
        )


def is_stock(thing: Any, method: str) -> bool:
    """Whether a method is jupyter_server's own; one that is missing decides nothing."""
    return str(getattr(getattr(thing, method, None), "__module__", STOCK)).startswith(STOCK)


def writable_files(server: Any, private: Iterable[str]) -> Iterator[Fault]:
    """Whether users could write what the server runs, reads as its configuration or keeps secret.

    Through the server they write everything below its root directory; what the working directory holds is
    imported by ``python -m jupyter_server``, and taken for templates by nbconvert
    (``TemplateExporter.extra_template_basedirs``).
    """
    kernel_dirs = list(server.kernel_spec_manager.kernel_dirs)
    root = getattr(server.contents_manager, "root_dir", "")
    paths = {os.getcwd(), *sys.path, *server.config_file_paths, server.runtime_dir, *kernel_dirs, *private}
    inside = sorted(path for path in paths if path and root and is_inside(path, root))
    if inside:
        yield Fault(
            "users_files",
            f"its users can write to {inside[0]}, which the server needs for itself",
            f"Set c.ServerApp.root_dir to a directory that holds nothing but notebooks, not {root}, and start"
            " the server in another one.",
        )
    others = sorted({str(found) for path in kernel_dirs for found in writable_by_others(Path(path))})
    if others:
        yield Fault(
            "users_files",
            f"other accounts of this host can write to {others[0]}, which kernelspecs are read from",
            f"Correct the owner and mode of {others[0]}: kernelspecs belong to root or the server's account.",
        )


def is_inside(path: str, root: str) -> bool:
    """Whether a path, existing or not, is a directory or lies below it."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


def writable_by_others(directory: Path) -> Iterator[Path]:
    """What others may write of a kernel directory: it, its kernelspecs, and all directories above it."""
    real = Path(os.path.realpath(directory))
    specs = [*real.glob("*"), *real.glob("*/kernel.json")]
    for path in [*specs, real, *real.parents]:
        try:
            status = path.stat()
        except OSError:
            continue  # what does not exist is as safe as the directory that it would be in
        sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX and path not in (*specs, real)
        strange = status.st_uid not in (0, os.geteuid())
        if strange or (status.st_mode & OTHERS_MAY_WRITE and not sticky):
            yield path
