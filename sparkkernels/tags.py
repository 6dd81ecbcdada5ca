"""The tag that tells the applications of one account's servers on one host from all others."""

from __future__ import annotations

import functools
import hashlib
import os
import socket

from jupyter_core.paths import jupyter_runtime_dir


@functools.cache
def server_tag() -> str:
    """The tag of what this account starts here; YARN wants ASCII, lower-case, at most 100.

    It is the same in the next server process, which may take over what this one started.
    """
    place = f"{socket.gethostname()}\0{os.getuid()}\0{os.path.realpath(jupyter_runtime_dir())}"
    return f"sparkkernels-server-{hashlib.sha256(place.encode()).hexdigest()[:32]}"
