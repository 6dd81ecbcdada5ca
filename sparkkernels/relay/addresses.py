"""Every address under which the workers may reach this host."""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Iterable

SIOCGIFADDR = 0x8915


def interface_addresses() -> list[str]:
    """IPv4 addresses of this host's interfaces, loopback left out."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            try:
                answer = fcntl.ioctl(probe.fileno(), SIOCGIFADDR, request)
            except OSError:
                continue  # the interface has no IPv4 address
            found.append(socket.inet_ntoa(answer[20:24]))
    return [address for address in found if not address.startswith("127.")]


def address_facing(host: str) -> str | None:
    """The address this host would use towards another; no packet is sent.

    Parameters
    ----------
    host : str
        A name or address, usually the ResourceManager's.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def relay_addresses(port: int, configured: Iterable[str], facing: Iterable[str]) -> list[tuple[str, int]]:
    """Addresses for the registration file, the likeliest first.

    Parameters
    ----------
    port : int
        The relay's.
    configured : iterable of str
        What the administrator named; nothing else is used then.
    facing : iterable of str
        Hosts of the cluster.
    """
    hosts = list(configured)
    if not hosts:
        hosts = [address for address in map(address_facing, facing) if address] + interface_addresses()
    return [(host, port) for host in dict.fromkeys(hosts)]
