"""What Hadoop's services say when one account may not act for another; ``ProxyUsers.authorize`` in Hadoop."""

from __future__ import annotations

import re

from ..errors import NotAllowed

NOT_THIS_USER = r"User: (\S+) is not allowed to impersonate (\S+)"
NOT_FROM_HERE = r"Unauthorized connection for super-user: (\S+) from IP:? ?(\S+)"

USER_MESSAGE = "The cluster does not allow {0} to act for {1}."
HOST_MESSAGE = "The cluster does not allow {0} to act for others from {1}."
HINT = (
    "An administrator of the cluster can allow it with hadoop.proxyuser.SERVICE.users (or .groups) and .hosts"
    " in core-site.xml; never for hdfs, yarn or everybody."
)


def impersonation_refused(text: str) -> NotAllowed | None:
    """The error when that is what a service says, else None."""
    for pattern, message in ((NOT_THIS_USER, USER_MESSAGE), (NOT_FROM_HERE, HOST_MESSAGE)):
        found = re.search(pattern, text)
        if found:
            return NotAllowed(message.format(*found.groups()), hint=HINT)
    return None
