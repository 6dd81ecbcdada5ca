"""A network for a cluster: every worker in a namespace of its own, behind its own firewall.

The host has a bridge; each worker has one interface on it, its own hostname, process ids and hosts file. The
host may connect to a worker's NodeManager and DataNode and to nothing else, as on the sites we build for,
while a worker may connect to anything on the host and on other workers.
"""

from __future__ import annotations

import fcntl
import hashlib
import ipaddress
import json
import os
import random
import shlex
import shutil
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.cluster.harness import processes
from tests.cluster.harness.artifacts import cache_directory
from tests.cluster.harness.errors import HarnessError
from tests.cluster.harness.firewall import blocking_rule, ruleset
from tests.cluster.harness.layout import WORKER_PORTS, Layout, Node
from tests.cluster.harness.membership import WORKER_VARIABLE
from tests.cluster.harness.processes import LIFETIME_S, MARK, Process

_PACKAGES = {
    "ip": "iproute2",
    "nft": "nftables",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setsid": "util-linux",
}
_MAX_WORKERS = 20
_COMMAND_TIMEOUT_S = 20


def check_requirements() -> None:
    """Make sure that workers can have network namespaces here.

    Raises
    ------
    HarnessError
        When this account is not root, or a program is missing.
    """
    if os.geteuid() != 0:
        raise HarnessError("Workers with their own network namespaces (--hosts) need root.")
    if missing := sorted({package for program, package in _PACKAGES.items() if not shutil.which(program)}):
        raise HarnessError(f"Workers with their own network namespaces need Debian's {', '.join(missing)}.")


class Worker:
    """A worker with a network namespace of its own.

    Parameters
    ----------
    layout : Layout
        The cluster.
    node : Node
        The worker in it.

    Attributes
    ----------
    name, address, namespace : str
        Its hostname, IP address and network namespace.
    host_address : str
        The host's address as the worker sees it.
    """

    def __init__(self, layout: Layout, node: Node) -> None:
        self.name = node.name
        self.address = node.address
        self.namespace = node.namespace
        self.host_address = layout.host
        self._layout = layout
        self._node = node

    def enter(self) -> list[str]:
        """Give the command that runs its arguments on the worker.

        Raises
        ------
        HarnessError
            When the worker is gone.
        """
        found = processes.find(self._is_init)
        if not found:
            raise HarnessError(f"The worker {self.name} is gone: take the cluster down.")
        return ["nsenter", f"--target={found[0].pid}", "--mount", "--uts", "--net", "--pid", "--"]

    def cut(self) -> None:
        """Pull its network cable: nothing comes or goes, and nobody is told."""
        _run("ip", "link", "set", _interface(self._layout.directory, self.name), "down")

    def heal(self) -> None:
        """Plug its network cable in again."""
        _run("ip", "link", "set", _interface(self._layout.directory, self.name), "up")

    def block_host_ports(self, *, reject: bool = False, established: bool = False) -> None:
        """Keep the worker from connecting to the host, Hadoop's own ports excepted.

        Parameters
        ----------
        reject : bool
            Refuse such connections at once, instead of letting them time out.
        established : bool
            Cut those that exist as well.
        """
        self._filter(blocking_rule(self._layout, self._node, reject=reject, established=established))

    def unblock(self) -> None:
        """Let the worker connect to the host again."""
        self._filter()

    def start(self) -> None:
        """Start the process that holds its hostname, process ids and mounts, and raise its firewall."""
        self._filter()
        hosts = shlex.quote(str(self._layout.hosts_file))
        # The first process of a pid namespace inherits orphans. With SIGCHLD ignored the kernel reaps them;
        # else an ended container would stay as a zombie, and a restarted NodeManager take it for running.
        script = (
            f"mount --bind {hosts} /etc/hosts; hostname {self.name}; trap '' CHLD; exec sleep {LIFETIME_S}"
        )
        namespaces = ("--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
        log = self._layout.logs / f"{self.name}.log"
        processes.start(
            [
                *("ip", "netns", "exec", self.namespace),
                *("unshare", *namespaces, "--propagation", "private", "sh", "-ec", script),
            ],
            cwd=self._layout.directory,
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                MARK: str(self._layout.directory),
                WORKER_VARIABLE: self.name,
            },
            log=log,
        )
        deadline = time.monotonic() + _COMMAND_TIMEOUT_S
        while not processes.find(self._is_init):
            if time.monotonic() > deadline:
                raise HarnessError(f"The worker {self.name} got no namespaces.\n{log.read_text()}")
            time.sleep(0.02)

    def _is_init(self, process: Process) -> bool:
        """Tell the first process of the worker, once it is what it shall be."""
        return (
            process.argv[0] == "sleep"
            and process.has_environment(MARK, str(self._layout.directory))
            and process.has_environment(WORKER_VARIABLE, self.name)
        )

    def _filter(self, blocking: str = "") -> None:
        """Replace the worker's firewall in one step."""
        rules = ruleset(self._layout, self._node, blocking)
        _run("ip", "netns", "exec", self.namespace, "nft", "-f", "-", text=rules)


def create(layout: Layout, hosts: int) -> Layout:
    """Make a bridge and workers' namespaces on a network that nobody uses.

    Parameters
    ----------
    layout : Layout
        The cluster, as far as it is known.
    hosts : int
        How many workers.

    Returns
    -------
    Layout
        With the workers and the host's address among them.

    Raises
    ------
    HarnessError
        When there is no free network, or the kernel refuses.
    """
    if not 1 <= hosts <= _MAX_WORKERS:
        raise HarnessError(f"A cluster has 1 to {_MAX_WORKERS} hosts, not {hosts}.")
    subnet = _create_bridge(layout.directory)
    nodes = []
    for number in range(1, hosts + 1):
        name = f"w{number}"
        namespace = f"{_prefix(layout.directory)}-{name}"
        node = Node(name, f"{subnet}.{10 + number}", namespace, 4096, 8, dict(WORKER_PORTS))
        _create_namespace(layout.directory, node)
        nodes.append(node)
    host = f"{subnet}.1"
    layout = replace(layout, subnet=subnet, host=host, nodes=tuple(nodes))
    # This machine's own name is in it for the host's JVMs, which look up nothing elsewhere.
    names = [("127.0.0.1", "localhost"), (host, f"jupyter {socket.gethostname()}")]
    # A worker's first name is its address, so that YARN, which looks names up by address, calls it by one
    # that the host, where nobody edits /etc/hosts, can connect to.
    names += [(node.address, f"{node.address} {node.name}") for node in nodes]
    layout.hosts_file.write_text("".join(f"{address} {name}\n" for address, name in names))
    return layout


def destroy(directory: Path) -> None:
    """Remove the namespaces, interfaces and bridge of a cluster, however many of them there are.

    Parameters
    ----------
    directory : Path
        The cluster's directory, which the names come from.
    """
    prefix = _prefix(directory)
    for namespace in _json("ip", "-json", "netns", "list"):
        if namespace["name"].startswith(f"{prefix}-"):
            _destroy_namespace(namespace["name"])
    for link in _json("ip", "-json", "link", "show"):
        if link["ifname"].startswith(prefix):
            # One end of a pair takes the other with it, and a dying namespace takes its own: gone is fine.
            _run("ip", "link", "del", link["ifname"], check=False)


def _destroy_namespace(namespace: str) -> None:
    """Remove a network namespace; it would live on, nameless, as long as a process is in it."""
    pids = {int(pid) for pid in _run("ip", "netns", "pids", namespace).split()}
    processes.end(lambda process: process.pid in pids)
    _run("ip", "netns", "del", namespace)


def _create_bridge(directory: Path) -> str:
    """Make the host's bridge, and give its network as the first three numbers of the address."""
    bridge = f"{_prefix(directory)}b"
    cache_directory().mkdir(parents=True, exist_ok=True)
    lock = os.open(cache_directory(), os.O_RDONLY)
    try:
        # Looking for a free network and taking it must be one step for all clusters of this machine.
        fcntl.flock(lock, fcntl.LOCK_EX)
        subnet = _free_subnet()
        _run("ip", "link", "add", bridge, "type", "bridge")
        _run("ip", "address", "add", f"{subnet}.1/24", "dev", bridge)
        _run("ip", "link", "set", bridge, "up")
    finally:
        os.close(lock)
    return subnet


def _free_subnet() -> str:
    """Choose a network below 10.77.0.0/16 that overlaps no address or route of this machine."""
    used = [
        ipaddress.ip_network(f"{address['local']}/{address['prefixlen']}", strict=False)
        for link in _json("ip", "-json", "-4", "address", "show")
        for address in link.get("addr_info", [])
    ]
    routes = [route["dst"] for route in _json("ip", "-json", "-4", "route", "show")]
    used += [ipaddress.ip_network(route) for route in routes if route != "default"]
    for number in random.sample(range(256), 256):
        candidate = ipaddress.ip_network(f"10.77.{number}.0/24")
        if not any(candidate.overlaps(network) for network in used):
            return f"10.77.{number}"
    raise HarnessError("There is no free network below 10.77.0.0/16.")


def _create_namespace(directory: Path, node: Node) -> None:
    """Make a worker's network namespace, and its interface on the bridge."""
    interface, bridge = _interface(directory, node.name), f"{_prefix(directory)}b"
    inside = ("ip", "-netns", node.namespace)
    _run("ip", "netns", "add", node.namespace)
    _run(
        *("ip", "link", "add", interface, "type", "veth"), *("peer", "name", "eth0", "netns", node.namespace)
    )
    _run("ip", "link", "set", interface, "master", bridge, "up")
    _run(*inside, "address", "add", f"{node.address}/24", "dev", "eth0")
    _run(*inside, "link", "set", "eth0", "up")
    _run(*inside, "link", "set", "lo", "up")


def _prefix(directory: Path) -> str:
    """Give what the names of a cluster's interfaces begin with: of 15 characters there is room for six."""
    return f"skt{hashlib.sha256(str(directory).encode()).hexdigest()[:6]}"


def _interface(directory: Path, worker: str) -> str:
    return f"{_prefix(directory)}{worker}"


def _json(*command: str) -> Any:
    return json.loads(_run(*command) or "[]")


def _run(*command: str, text: str = "", check: bool = True) -> str:
    """Run a program of iproute2 or nftables, and give what it prints."""
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise HarnessError(
            f"{shlex.join(command)[:200]} did not end within {_COMMAND_TIMEOUT_S} s."
        ) from None
    if check and done.returncode != 0:
        raise HarnessError(f"{shlex.join(command)[:200]} failed: {done.stderr.strip()}")
    return done.stdout
