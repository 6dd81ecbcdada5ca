"""The registration file, and what the supervisor reads from Linux."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import zmq

from sparkkernels_supervisor.dial import Registration
from sparkkernels_supervisor.processes import (
    descendants,
    listening_ports,
    reap_orphans,
    reserve_ports,
    resident_kib,
)

GOOD: dict[str, Any] = {
    "protocol": 1,
    "kernel_id": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "generation": 3,
    "addresses": [["10.0.0.1", 7000], ["host.example", 7000]],
    "fingerprint": "ab" * 32,
    "token": "cd" * 32,
    "registration_timeout_s": 60,
}


def test_a_registration_file_is_read_and_unknown_keys_are_ignored() -> None:
    read = Registration.read({**GOOD, "later": True})
    assert read.addresses == [("10.0.0.1", 7000), ("host.example", 7000)]
    assert (read.generation, read.registration_timeout_s) == (3, 60.0)


@pytest.mark.parametrize("key", [key for key in GOOD if key != "protocol"])
def test_a_registration_file_without_one_of_its_keys_is_malformed(key: str) -> None:
    with pytest.raises(ValueError, match="malformed"):
        Registration.read({name: value for name, value in GOOD.items() if name != key})


@pytest.mark.parametrize("protocol", [2, None, "1"])
def test_a_registration_file_of_another_protocol_is_refused(protocol: object) -> None:
    with pytest.raises(ValueError, match="of protocol"):
        Registration.read({**GOOD, "protocol": protocol})


@pytest.mark.parametrize("addresses", [None, 1, ["10.0.0.1"], [["10.0.0.1"]], [["10.0.0.1", "x"]]])
def test_a_registration_file_with_odd_addresses_is_malformed(addresses: object) -> None:
    with pytest.raises(ValueError, match="malformed"):
        Registration.read({**GOOD, "addresses": addresses})


def test_the_listening_ports_are_read_from_the_kernels_table() -> None:
    table = (
        "  sl  local_address rem_address   st\n"
        "   0: 0100007F:1F90 00000000:0000 0A 0\n"
        "   1: 0100007F:1F91 0100007F:D431 01 0\n"
        "   2: 00000000:0016 00000000:0000 0A 0\n"
    )
    assert listening_ports(table) == {0x1F90, 0x16}


def test_a_reserved_port_goes_to_a_listener_that_asks_for_it_and_to_nobody_else() -> None:
    reserved = reserve_ports(5)
    ports = {held.getsockname()[1] for held in reserved}
    assert len(ports) == 5
    port = ports.pop()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    with zmq.Context() as context, context.socket(zmq.ROUTER) as kernel:
        kernel.bind(f"tcp://127.0.0.1:{port}")
        assert port in listening_ports(Path("/proc/net/tcp").read_text())
        socket.create_connection(("127.0.0.1", port)).close()
    for held in reserved:
        held.close()


def test_the_processes_below_one_are_found_and_those_that_ended_are_reaped_but_one() -> None:
    spared = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, spared.pid, os.WEXITED | os.WNOWAIT)
    assert spared.pid in descendants(os.getpid())
    reap_orphans(spared.pid)
    assert spared.wait() == 0
    assert spared.pid not in descendants(os.getpid())
    assert resident_kib(os.getpid()) > 1000
    assert resident_kib(2**22 + 1) == 0
