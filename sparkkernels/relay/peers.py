"""Whose the other end of a connection within this host is: the kernel knows the uid of every socket.

It is asked through netlink for one socket (``sock_diag(7)``), which takes microseconds however many there
are; where that is closed, its tables in ``/proc/net`` are read, which takes milliseconds.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import socket
import struct
from collections.abc import Collection
from pathlib import Path

#: Where Linux lists the sockets of this network namespace, and how it calls a connection that is up.
TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
ESTABLISHED = "01"

NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLMSG_ERROR, NLM_F_REQUEST, TCP_ESTABLISHED = 4, 20, 2, 1, 1
#: ``struct nlmsghdr``; ``inet_diag_req_v2`` and ``inet_diag_msg`` around the ``inet_diag_sockid`` of both.
HEADER, ASKED, CONNECTION = struct.Struct("=IHHII"), struct.Struct("=BBBBI"), struct.Struct("!HH16s16s")
STATE, REST = struct.Struct("=BBBB"), struct.Struct("=IIIII")
#: Any interface and any cookie; what an IPv6 socket shows before an IPv4 address.
ANY, MAPPED = bytes(4) + b"\xff" * 8, bytes(10) + b"\xff\xff"

log = logging.getLogger("sparkkernels.relay")
Address = tuple[str, int]


def uid_of_peer(own: Address, peer: Address) -> int | None:
    """The uid that owns the other end of an established IPv4 connection within this host.

    Parameters
    ----------
    own, peer : tuple of (str, int)
        Address and port of our end and of theirs.

    Returns
    -------
    int or None
        None when there is none (the peer has gone already).
    """
    try:
        return ask(own, peer)
    except OSError as error:
        log.debug("Netlink does not tell of sockets (%s); reading the tables in /proc/net.", error)
    return peer_uid("\n".join(table.read_text() for table in TABLES if table.exists()), own, peer)


def ask(own: Address, peer: Address) -> int | None:
    """The same, through netlink.

    Raises
    ------
    OSError
        This kernel, or what confines this process, does not answer there.
    """
    theirs, ours = socket.inet_aton(peer[0]), socket.inet_aton(own[0])
    connections = [
        CONNECTION.pack(peer[1], own[1], before + theirs + after, before + ours + after)
        for before, after in ((b"", bytes(12)), (MAPPED, b""))
    ]
    request = ASKED.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF) + connections[0] + ANY
    header = HEADER.pack(HEADER.size + len(request), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as netlink:
        netlink.settimeout(1)  # the answer is there when the call has returned
        netlink.sendto(header + request, (0, 0))
        answer = netlink.recv(4096)
    return read_answer(answer, connections)


def read_answer(answer: bytes, connections: Collection[bytes]) -> int | None:
    """The uid in netlink's answer, None when it is about none of these connections.

    Raises
    ------
    OSError
        It tells of an error.
    """
    _, kind, _, _, _ = HEADER.unpack_from(answer)
    if kind == NLMSG_ERROR:
        number = -struct.unpack_from("=i", answer, HEADER.size)[0]
        if number == errno.ENOENT:
            return None
        raise OSError(number, os.strerror(number))
    begins = HEADER.size + STATE.size
    ends = begins + CONNECTION.size
    # Where no connection fits, the kernel tells of a socket that listens there, or of one that was closed.
    if STATE.unpack_from(answer, HEADER.size)[1] != TCP_ESTABLISHED or answer[begins:ends] not in connections:
        return None
    return int(REST.unpack_from(answer, ends + len(ANY))[3])


def peer_uid(table: str, own: Address, peer: Address) -> int | None:
    """The same, from the text of ``/proc/net/tcp`` and, as a peer may use an IPv6 socket, of ``tcp6``."""
    # An IPv6 socket shows the same addresses mapped, which end alike; its row is the peer's, ours is IPv4.
    theirs, ours = table_address(*peer), table_address(*own)
    row = re.search(rf"{theirs} [0-9A-F]*{ours} {ESTABLISHED} +\S+ +\S+ +\S+ +(\d+) ", table)
    return int(row[1]) if row else None


def table_address(host: str, port: int) -> str:
    """An IPv4 address and port as ``/proc/net/tcp`` writes them: in the machine's byte order."""
    return f"{struct.unpack('=I', socket.inet_aton(host))[0]:08X}:{port:04X}"
