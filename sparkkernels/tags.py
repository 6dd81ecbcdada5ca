"""The tag that tells one server's applications from another's."""

from __future__ import annotations

import functools
import uuid


@functools.cache
def server_tag() -> str:
    """This server process's tag, the same for its whole life; YARN wants ASCII, lower-case, at most 100."""
    return f"sparkkernels-server-{uuid.uuid4().hex}"
