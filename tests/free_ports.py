"""Free TCP ports, from where the kernel (Linux's) gives none away by itself."""

from __future__ import annotations

import random
import socket
from pathlib import Path

LOWEST = 10_000
CANDIDATES = 500


_given: set[int] = set()


def free_port() -> int:
    """A port that nobody has and no outgoing connection gets, as one from ``bind(0)`` could at any moment.

    Nor does another test get it, before or after it is bound.
    """
    port = next(port for port in candidates() if port not in _given and not is_taken(port))
    _given.add(port)
    return port


def candidates() -> list[int]:
    """Some ports below the ephemeral range, in no order; they may be taken."""
    return random.sample(range(LOWEST, ephemeral_start()), CANDIDATES)


def is_taken(port: int) -> bool:
    """Tell whether the port is bound at all, be it with SO_REUSEADDR."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return True
    return False


def ephemeral_start() -> int:
    """Give the first port that the kernel hands out by itself; ip(7)."""
    try:
        start = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        start = 32_768
    # Where an administrator gave the whole range to the kernel there is nothing below it to choose from.
    return start if start >= LOWEST + 2 * CANDIDATES else 61_000
