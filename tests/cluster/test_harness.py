"""The cluster harness itself: what the other tests of this directory rely on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.harness import Cluster, HarnessError, Worker, network, processes
from tests.cluster.harness.fleet import make_workers
from tests.cluster.harness.layout import Layout, host_ports
from tests.cluster.harness.membership import belongs, is_in_container
from tests.cluster.harness.ports import Reservation
from tests.cluster.harness.web import WebError

ROOT = Path(__file__).parents[2]


def test_hdfs_keeps_what_is_written_for_whom_it_is_written(cluster: Cluster) -> None:
    cluster.hdfs_put("/user/alice/a file", b"\0content\xff", user="alice")
    try:
        assert cluster.hdfs_get("/user/alice/a file") == b"\0content\xff"
        assert "a file" in cluster.hdfs_list("/user/alice")
        assert (cluster.hdfs_status("/user/alice/a file") or {})["owner"] == "alice"
    finally:
        assert cluster.hdfs_delete("/user/alice/a file")
    assert cluster.hdfs_status("/user/alice/a file") is None
    assert (cluster.hdfs_status("/user/alice") or {})["permission"] == "700"
    assert cluster.hdfs_list("/no/such/directory") == []


def test_homes_are_closed_to_others(cluster: Cluster) -> None:
    with pytest.raises(WebError, match="Permission denied") as caught:
        cluster.hdfs_put("/user/alice/intrusion", b"", user="bob")
    assert caught.value.status == 403


def test_a_killed_resourcemanager_comes_back_with_its_nodes(cluster: Cluster) -> None:
    daemon = Cluster.attach(cluster.name).daemon("resourcemanager")
    before = daemon.pid
    daemon.kill()
    assert daemon.pid is None and not daemon.alive
    with pytest.raises(WebError, match="got no answer"):
        cluster.applications()
    daemon.start()
    assert daemon.pid not in (None, before)
    assert len(cluster.nodes()) == 1
    cluster.applications()


def test_an_unknown_daemon_is_named_with_the_known_ones(cluster: Cluster) -> None:
    with pytest.raises(HarnessError, match="namenode, datanode, resourcemanager, nodemanager"):
        cluster.daemon("jobtracker")


def test_reserved_ports_are_free_for_daemons_and_for_nobody_else(cluster: Cluster) -> None:
    used = {port for daemon in cluster.daemons for port in daemon.ports.values()}
    names = host_ports()
    with Reservation(names) as one, Reservation(names) as other:
        ours, theirs = set(one.ports.values()), set(other.ports.values())
        assert len(ours) == len(theirs) == len(names)
        assert not ours & theirs and not (ours | theirs) & used
        # SO_REUSEADDR, which this sets as Java does, is what a daemon gets past the reservation with.
        for port in ours:
            socket.create_server(("127.0.0.1", port)).close()


def test_two_clusters_share_nothing_and_down_leaves_nothing(cluster: Cluster, tmp_path: Path) -> None:
    directory = tmp_path / "second"
    second = Cluster.up(f"{cluster.name[:20]}-second", directory=directory)
    try:
        used = [port for c in (cluster, second) for daemon in c.daemons for port in daemon.ports.values()]
        assert len(used) == len(set(used))
        with pytest.raises(HarnessError, match="exists already"):
            Cluster.up(second.name)
        # A process that a container left behind, known by where it works alone.
        container = directory / "workers" / "localhost" / "local" / "left"
        container.mkdir()
        with subprocess.Popen(["sleep", "600"], cwd=container, env={}) as left:
            assert second.processes() == [left.pid]
            assert left.pid not in cluster.processes()
            done = subprocess.run(
                [sys.executable, "-m", "tests.cluster", "down", "--name", second.name],
                cwd=ROOT,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0
            assert left.wait(timeout=1) == -9
    finally:
        second.down()
    assert not directory.exists()
    assert processes.find(lambda process: belongs(process, directory)) == []
    assert not Cluster.remove(second.name)


def test_a_failed_up_leaves_nothing_and_quotes_the_log(tmp_path: Path) -> None:
    directory = tmp_path / "failing"
    queues = {"yarn.scheduler.capacity.root.default.capacity": "50"}
    with pytest.raises(HarnessError, match=r"(?s)resourcemanager ended while.*Illegal capacity"):
        Cluster.up(
            f"failing-{os.getpid()}", extra_site={"capacity-scheduler.xml": queues}, directory=directory
        )
    assert not directory.exists()
    assert processes.find(lambda process: belongs(process, directory)) == []


def test_a_directory_that_holds_something_is_refused(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.touch()
    with pytest.raises(HarnessError, match="not an empty directory"):
        Cluster.up("refused", directory=tmp_path)
    assert precious.exists()


def test_a_signal_never_reaches_the_successor_of_a_process(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "600"], cwd=tmp_path) as child:
        (found,) = processes.find(lambda process: process.pid == child.pid)
        stale = processes.Process(found.pid, found.start_time - 1, found.argv, found.environ, found.cwd)
        stale.send(signal.SIGKILL)
        assert child.poll() is None and found.is_running() and not stale.is_running()
        assert not is_in_container(found, tmp_path)
        found.send(signal.SIGKILL)
        assert processes.wait_gone([found], timeout_s=5)


# The network of `--hosts`, without the daemons, which would only add seconds.


@pytest.fixture
def workers(cluster: Cluster, tmp_path: Path) -> Iterator[list[Worker]]:
    """Two workers on a network of their own."""
    network.check_requirements()
    (tmp_path / "logs").mkdir()
    plain = Layout.load(cluster.directory)
    assert plain is not None
    try:
        layout = network.create(Layout(**{**vars(plain), "directory": tmp_path}), 2)
        made = make_workers(layout)
        for worker in made:
            worker.start()
        yield made
    finally:
        processes.end(lambda process: belongs(process, tmp_path))
        network.destroy(tmp_path)
    left = subprocess.run(["ip", "link"], capture_output=True, text=True, check=True).stdout
    left += subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    assert made[0].namespace.partition("-")[0] not in left


def test_a_worker_reaches_the_host_and_not_the_other_way_round(workers: list[Worker]) -> None:
    one, two = workers
    with socket.create_server((one.host_address, 0)) as server:
        port = server.getsockname()[1]
        assert connect_from(one, one.host_address, port) == "connected"
        one.block_host_ports()
        assert connect_from(one, one.host_address, port) == "TimeoutError"
        assert connect_from(two, one.host_address, port) == "connected"
        one.block_host_ports(reject=True)
        assert connect_from(one, one.host_address, port) == "ConnectionRefusedError"
        one.unblock()
        one.cut()
        assert connect_from(one, one.host_address, port) == "TimeoutError"
        one.heal()
        assert connect_from(one, one.host_address, port) == "connected"
    with listening(one, 7777), listening(one, 8042):
        assert connect_from(two, one.address, 7777) == "connected"
        with pytest.raises(TimeoutError):
            socket.create_connection((one.address, 7777), 1)
        socket.create_connection((one.address, 8042), 1).close()


def test_established_connections_can_be_cut_without_the_link(workers: list[Worker]) -> None:
    worker = workers[0]
    with socket.create_server((worker.host_address, 0)) as server:
        script = (
            f"import socket; s = socket.create_connection({server.getsockname()!r}); s.recv(1); s.send(b'x')"
        )
        with subprocess.Popen([*worker.enter(), sys.executable, "-c", script]):
            peer, _ = server.accept()
            with peer:
                worker.block_host_ports(established=True)
                peer.settimeout(1)
                peer.send(b"x")
                with pytest.raises(TimeoutError):
                    peer.recv(1)
                worker.unblock()
                # TCP repeats what was lost: the link itself was never down.
                peer.settimeout(10)
                assert peer.recv(1) == b"x"


def connect_from(worker: Worker, address: str, port: int) -> str:
    """Try a connection on a worker; the name of the error, or ``connected``."""
    script = (
        "import socket\n"
        f"try: socket.create_connection(({address!r}, {port}), 1)\n"
        "except OSError as error: print(type(error).__name__)\n"
        "else: print('connected')"
    )
    command = [*worker.enter(), sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()


@contextmanager
def listening(worker: Worker, port: int) -> Iterator[None]:
    """Listen on a port of a worker."""
    script = f"import socket; s = socket.create_server(('0.0.0.0', {port})); print(flush=True); input()"
    command = [*worker.enter(), sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin is not None and server.stdout is not None
        server.stdout.readline()
        yield
        # The end of its input ends it, inside its pid namespace, where no signal would find it from here.
        server.stdin.close()
