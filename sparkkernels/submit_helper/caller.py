"""Who called: what ``sudo`` says, checked against the account database; nothing else counts."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..errors import NotAllowed
from ..spec import USER_NAME
from .configuration import Users

UID = re.compile(r"[0-9]{1,10}\Z")


@dataclass(frozen=True)
class Caller:
    """The person on whose behalf the cluster is asked.

    Attributes
    ----------
    name : str
    uid : int
    """

    name: str
    uid: int


def read_caller(
    environ: Mapping[str, str], by_uid: Callable[[int], pwd.struct_passwd] = pwd.getpwuid
) -> Caller:
    """The caller, from ``SUDO_USER`` and ``SUDO_UID``, which sudo sets whatever they were before.

    Raises
    ------
    NotAllowed
        They are missing, or not those of one person of this host.
    """
    name, uid = environ.get("SUDO_USER", ""), environ.get("SUDO_UID", "")
    if not name or not UID.match(uid):
        raise NotAllowed(
            "The submit helper was not called through sudo, so it does not know for whom.",
            hint="Call it as the setting submit_helper says: sudo -n -u SERVICE …",
        )
    number = int(uid)
    if number in (0, os.getuid()):
        raise NotAllowed("The submit helper works for people, not for root or its own account.")
    try:
        known = by_uid(number).pw_name
    except (KeyError, OverflowError):
        known = ""
    if known != name or not USER_NAME.match(name):
        raise NotAllowed(f"The account number {number} does not belong to the name that sudo gave.")
    return Caller(name, number)


def check_caller(caller: Caller, users: Users) -> None:
    """Refuse people for whom the administrator does not want kernels.

    Raises
    ------
    NotAllowed
    """
    denied = caller.name in users.deny or (users.allow is not None and caller.name not in users.allow)
    if denied or caller.uid < users.minimum_uid:
        raise NotAllowed(
            f"{caller.name} may not start Spark kernels on this host.",
            hint="An administrator allows it in the helper's settings: users.",
        )
