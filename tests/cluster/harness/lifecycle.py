"""Bringing a cluster up and taking it down, so that it is either complete or gone."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

from tests.cluster.harness import artifacts, configuration, network, processes, registry
from tests.cluster.harness.daemon import MAIN_CLASSES, PortTaken, environment, java_command, tail
from tests.cluster.harness.errors import HarnessError
from tests.cluster.harness.fleet import make_daemons, make_workers
from tests.cluster.harness.layout import HOST_PORTS, WORKER_PORTS, Layout, Node, Sites
from tests.cluster.harness.membership import belongs, is_daemon
from tests.cluster.harness.ports import Reservation
from tests.cluster.harness.registry import Entry
from tests.cluster.harness.settings import USERS
from tests.cluster.harness.webhdfs import WebHdfs

_ATTEMPTS = 3
_FORMAT_TIMEOUT_S = 60


def bring_up(name: str, hosts: int, extra_sites: Sites, directory: Path | None) -> Layout:
    """Bring a cluster up.

    Parameters
    ----------
    name : str
        What to call it.
    hosts : int
        How many workers get network namespaces; 0 for one worker on this machine's own network.
    extra_sites : dict
        Settings on top of ours.
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
    if hosts:
        network.check_requirements()
    _clear_remains(name)
    attempt = 1
    while True:
        entry = registry.claim(name, hosts, directory)
        try:
            return _start(entry, java_home, jars, extra_sites)
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


def _start(entry: Entry, java_home: Path, jars: Path, extra_sites: Sites) -> Layout:
    """Start what an entry of the registry announces."""
    directory = Path(entry.directory)
    for name in ("logs", "tmp"):
        (directory / name).mkdir()
    # Workers in namespaces have their own ports, and Hadoop's usual ones are free there.
    with Reservation([*HOST_PORTS, *(() if entry.hosts else WORKER_PORTS)]) as reservation:
        ports = reservation.ports
        host_ports = {name: ports[name] for name in HOST_PORTS}
        worker_ports = {name: ports.get(name, 0) for name in WORKER_PORTS}
        layout = Layout(
            name=entry.name,
            directory=directory,
            # What Hadoop's UserGroupInformation will say, whatever LOGNAME claims.
            submitter=pwd.getpwuid(os.geteuid()).pw_name,
            java_home=java_home,
            jars=jars,
            host="localhost",
            ports=host_ports,
            nodes=(Node("localhost", "localhost", "", 12_288, 16, worker_ports),),
            subnet="",
            extra_sites=extra_sites,
        )
        if entry.hosts:
            layout = network.create(layout, entry.hosts)
        layout.save()
        configuration.write(layout)
        for worker in make_workers(layout):
            worker.start()
        _start_daemons(layout)
    return layout


def _start_daemons(layout: Layout) -> None:
    """Format HDFS, start everything at once, and make the directories that people expect."""
    daemons = make_daemons(layout)
    # YARN needs nothing of HDFS to start: let it use the second core while the NameNode formats.
    for daemon in daemons:
        if daemon.kind in ("resourcemanager", "nodemanager"):
            daemon.launch()
    _format(layout)
    for daemon in daemons:
        daemon.launch()
    for daemon in daemons:
        daemon.wait_ready()
    hdfs = WebHdfs(layout.namenode_url, layout.submitter)
    hdfs.mkdir("/tmp", "1777")
    hdfs.mkdir("/user")
    for user in dict.fromkeys((layout.submitter, *USERS)):
        hdfs.mkdir(f"/user/{user}", "700", user)
    hdfs.put("/tmp/.written", b"HDFS is writable")
    hdfs.delete("/tmp/.written")


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
