"""Bringing a cluster up and taking it down, so that it is either complete or gone."""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.harness import artifacts, configuration, kdc, native, network, processes, registry, tls
from tests.cluster.harness.access import webhdfs
from tests.cluster.harness.daemon import Daemon, PortTaken, tail
from tests.cluster.harness.errors import HarnessError
from tests.cluster.harness.failover import transition
from tests.cluster.harness.fleet import MAIN_CLASSES, make_daemons, make_workers
from tests.cluster.harness.jvm import environment, java_command
from tests.cluster.harness.layout import MANAGER_IDS, WORKER_PORTS, Layout, Node, Sites, host_ports
from tests.cluster.harness.membership import belongs, is_daemon
from tests.cluster.harness.ports import Reservation
from tests.cluster.harness.registry import Entry
from tests.cluster.harness.settings import USERS

_ATTEMPTS = 3
_FORMAT_TIMEOUT_S = 60


@dataclass(frozen=True)
class Options:
    """What kind of cluster is wanted.

    Parameters
    ----------
    hosts : int
        How many workers get network namespaces; 0 for one worker on this machine's own network.
    kerberos : bool
        Whether users prove who they are.
    ha : bool
        Whether there are two ResourceManagers.
    https : bool
        Whether web servers speak HTTPS only.
    extra_sites : dict
        Settings on top of ours.
    """

    hosts: int = 0
    kerberos: bool = False
    ha: bool = False
    https: bool = False
    extra_sites: Sites = field(default_factory=dict)


def bring_up(name: str, options: Options, directory: Path | None) -> Layout:
    """Bring a cluster up.

    Parameters
    ----------
    name : str
        What to call it.
    options : Options
        What kind of cluster.
    directory : Path, optional
        Where to put everything.

    Returns
    -------
    Layout
        Its daemons serve and its HDFS has been written to.

    Raises
    ------
    HarnessError
        When that did not work out; nothing is left then, nor after any other exception.
    """
    java_home, jars = artifacts.java_home(), artifacts.hadoop_jars()
    if options.kerberos and options.hosts:
        # Hadoop's RPC binds a connection to the address of its principal's host (ipc.Client), localhost: from
        # there a worker in a namespace of its own reaches nobody.
        raise HarnessError("The harness has no cluster with both --kerberos and --hosts.")
    if options.https and options.hosts:
        raise HarnessError(
            "The harness has no cluster with both --https and --hosts: its certificate is for localhost."
        )
    if options.kerberos:
        kdc.check_requirements()
    if options.hosts:
        network.check_requirements()
    _clear_remains(name)
    attempt = 1
    while True:
        entry = registry.claim(name, options.hosts, directory)
        try:
            return _start(entry, java_home, jars, options)
        except PortTaken:
            tear_down(entry)
            if attempt == _ATTEMPTS:
                raise
            attempt += 1
        except BaseException:
            tear_down(entry)
            raise


def tear_down(entry: Entry) -> None:
    """Kill every process of a cluster, daemons first, and remove its network and its directory.

    Parameters
    ----------
    entry : Entry
        The cluster, however far it got.
    """
    if entry.directory:
        directory = Path(entry.directory)
        # Without a NodeManager nobody starts containers any more.
        processes.end(lambda process: is_daemon(process, directory))
        processes.end(lambda process: belongs(process, directory))
        if entry.hosts:
            network.destroy(directory)
    registry.release(entry)


def _clear_remains(name: str) -> None:
    """Remove a cluster of this name that nobody brings up or runs any more, as after a reboot."""
    entry = registry.find(name)
    if entry is None or entry.has_owner():
        return
    if not processes.find(lambda process: is_daemon(process, Path(entry.directory))):
        tear_down(entry)


def _start(entry: Entry, java_home: Path, jars: Path, options: Options) -> Layout:
    """Start what an entry of the registry announces."""
    directory = Path(entry.directory)
    for name in ("logs", "tmp"):
        (directory / name).mkdir()
    # Workers in namespaces have their own ports, and Hadoop's usual ones are free there.
    on_host = host_ports(kerberos=options.kerberos, ha=options.ha)
    with Reservation([*on_host, *(() if entry.hosts else WORKER_PORTS)]) as reservation:
        ports = reservation.ports
        worker_ports = {name: ports.get(name, 0) for name in WORKER_PORTS}
        layout = Layout(
            name=entry.name,
            directory=directory,
            # Without Kerberos, what Hadoop's UserGroupInformation will say, whatever LOGNAME claims.
            submitter="jupyter" if options.kerberos else pwd.getpwuid(os.geteuid()).pw_name,
            java_home=java_home,
            jars=jars,
            host="localhost",
            ports={name: ports[name] for name in on_host},
            nodes=(Node("localhost", "localhost", "", 12_288, 16, worker_ports),),
            subnet="",
            extra_sites=options.extra_sites,
            kerberos=options.kerberos,
            manager_ids=MANAGER_IDS if options.ha else (),
            https=options.https,
            native=native.hadoop_native() if options.kerberos else None,
        )
        if entry.hosts:
            layout = network.create(layout, entry.hosts)
        layout.save()
        configuration.write(layout)
        if layout.tls:
            tls.create(layout.tls)
        if layout.realm:
            kdc.create(layout.realm, layout.ports["kdc"])
        for worker in make_workers(layout):
            worker.start()
        _start_daemons(layout)
    return layout


def _start_daemons(layout: Layout) -> None:
    """Format HDFS, start everything at once, and make the directories that people expect."""
    daemons = make_daemons(layout)
    # Every other daemon logs in first of all.
    for daemon in daemons:
        if daemon.kind == "kdc":
            daemon.start()
    # YARN needs nothing of HDFS to start: let it use the second core while the NameNode formats.
    for daemon in daemons:
        if daemon.kind in ("resourcemanager", "nodemanager"):
            daemon.launch()
    _format(layout)
    for daemon in daemons:
        daemon.launch()
    _wait_ready(layout, daemons)
    hdfs = webhdfs(layout)
    hdfs.mkdir("/tmp", "1777")
    hdfs.mkdir("/user")
    for user in dict.fromkeys((layout.submitter, *USERS)):
        hdfs.mkdir(f"/user/{user}", "700", user)
    hdfs.put("/tmp/.written", b"HDFS is writable")
    hdfs.delete("/tmp/.written")


def _wait_ready(layout: Layout, daemons: list[Daemon]) -> None:
    """Wait until everything serves; of several ResourceManagers the first is made the active one."""
    first, *others = layout.managers
    if others:
        for daemon in daemons:
            if daemon.kind == "resourcemanager":
                daemon.wait_ready()
        transition(layout, daemons, first)
    for daemon in daemons:
        daemon.wait_ready()


def _format(layout: Layout) -> None:
    """Make an empty HDFS."""
    command = [*java_command(layout, "host", MAIN_CLASSES["namenode"]), "-format", "-nonInteractive"]
    log = layout.logs / "format.log"
    with log.open("w") as output:
        try:
            subprocess.run(
                command,
                cwd=layout.directory,
                env=environment(layout, "host"),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=_FORMAT_TIMEOUT_S,
                check=True,
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            last = tail(log.read_text(errors="replace"))
            raise HarnessError(f"HDFS could not be formatted: {error}.\n{last}") from None
