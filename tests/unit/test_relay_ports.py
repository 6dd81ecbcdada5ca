"""Whose connection it is, read from the kernel's own table of sockets."""

from __future__ import annotations

import os
import socket

import pytest

from sparkkernels.relay.local_ports import CHANNELS, bind_ports
from sparkkernels.relay.peers import TABLES, ask, peer_uid, table_address, uid_of_peer

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
OURS, THEIRS = ("127.0.0.1", 5000), ("127.0.0.1", 6000)


def row(
    local: tuple[str, int], remote: tuple[str, int], uid: int, state: str = "01", mapped: bool = False
) -> str:
    prefix = "0000000000000000FFFF0000" if mapped else ""
    return (
        f"   0: {prefix}{table_address(*local)} {prefix}{table_address(*remote)} {state}"
        f" 00000000:00000000 00:00000000 00000000 {uid:5d} 0 4711 1 0000000000000000 20 4 30 10 -1\n"
    )


def test_the_peers_row_is_told_from_ours_and_from_other_connections() -> None:
    table = (
        HEADER
        + row(OURS, THEIRS, 1)
        + row(("127.0.0.1", 6000), ("127.0.0.1", 5001), 2)
        + row(THEIRS, OURS, 3)
    )
    assert peer_uid(table, OURS, THEIRS) == 3
    assert peer_uid(HEADER + row(THEIRS, OURS, 4, mapped=True), OURS, THEIRS) == 4


@pytest.mark.parametrize(
    "table",
    [
        "",
        HEADER,
        HEADER + "   0: torn",
        HEADER + row(OURS, THEIRS, 1),
        HEADER + row(("127.0.0.2", 6000), OURS, 1),
        HEADER + row(THEIRS, ("127.0.0.2", 5000), 1),
        HEADER + row(THEIRS, OURS, 0, state="06"),  # TIME_WAIT belongs to nobody and shows uid 0
    ],
    ids=["nothing", "header", "torn", "ours", "another address", "to another address", "gone"],
)
def test_a_connection_that_is_not_in_the_table_is_nobodys(table: str) -> None:
    assert peer_uid(table, OURS, THEIRS) is None


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def test_a_real_connection_of_our_own_is_ours(family: socket.AddressFamily) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(family) as client:
        host = "127.0.0.1" if family == socket.AF_INET else "::ffff:127.0.0.1"
        client.connect((host, server.getsockname()[1]))
        accepted, address = server.accept()
        with accepted:
            own = accepted.getsockname()
            text = "".join(table.read_text() for table in TABLES if table.exists())
            assert peer_uid(text, own, address) == ask(own, address) == os.getuid()
            assert uid_of_peer(own, address) == os.getuid()


def test_what_netlink_says_of_listeners_closed_connections_and_strangers_is_not_taken_for_a_peer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = server.getsockname()
        with socket.create_connection(ours) as client:
            theirs = client.getsockname()
            accepted, _ = server.accept()
        for closed in range(2):  # half of it first, then all
            assert ask(ours, theirs) is None, closed
            accepted.close()
        assert ask(theirs, ours) is None, "who listens there is no peer"

        def confined(*family: object) -> socket.socket:
            raise PermissionError(1, "Operation not permitted")

        with socket.create_connection(ours) as client, monkeypatch.context() as patch:
            accepted, address = server.accept()
            own = accepted.getsockname()
            patch.setattr("sparkkernels.relay.peers.socket.socket", confined)
            assert uid_of_peer(own, address) == os.getuid(), "from the tables"
            accepted.close()


def test_every_channel_has_a_port_of_its_own_on_loopback() -> None:
    sockets = bind_ports()
    try:
        addresses = [bound.getsockname() for bound in sockets.values()]
        assert tuple(sockets) == CHANNELS and len(set(addresses)) == len(CHANNELS)
        assert {host for host, _ in addresses} == {"127.0.0.1"}
    finally:
        for bound in sockets.values():
            bound.close()
