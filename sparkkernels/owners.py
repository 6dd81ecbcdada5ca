"""Who started which kernel of this process: what an authorizer goes by."""

from __future__ import annotations

import threading
import uuid
from weakref import WeakValueDictionary

from .errors import NotAllowed


class Starter:
    """Who started a kernel; lives as long as the kernel's provisioner, restarts included.

    Attributes
    ----------
    user : str or None
        The Jupyter server's name of the user, None for a kernel that no request asked for.
    """

    __slots__ = ("__weakref__", "user")

    def __init__(self, user: str | None) -> None:
        self.user = user


_lock = threading.Lock()
_starters: WeakValueDictionary[str, Starter] = WeakValueDictionary()


def canonical(kernel_id: str) -> str:
    """One spelling for every spelling of a kernel id; what is no UUID stays as it is."""
    try:
        return str(uuid.UUID(kernel_id))
    except ValueError:
        return kernel_id


def claim(kernel_id: str, user: str | None) -> Starter:
    """Note who starts a kernel; the record is kept for as long as the caller keeps the answer.

    Raises
    ------
    NotAllowed
        It is somebody else's: clients may choose the id of a kernel that they ask for.
    """
    with _lock:
        starter = _starters.get(canonical(kernel_id))
        if starter is None:
            starter = _starters[canonical(kernel_id)] = Starter(user)
        elif starter.user != user:
            raise NotAllowed(
                "A kernel of somebody else has this id.",
                hint="Let the Jupyter server choose the kernel's id.",
            )
        return starter


def starter_of(kernel_id: str) -> Starter | None:
    """Who started a kernel, None for one that is not ours or has never been."""
    with _lock:
        return _starters.get(canonical(kernel_id))
