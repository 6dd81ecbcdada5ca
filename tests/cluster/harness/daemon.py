"""One daemon of a cluster: a JVM that can be started, stopped, killed and restarted by itself."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.cluster.harness import processes
from tests.cluster.harness.errors import HarnessError
from tests.cluster.harness.layout import Layout
from tests.cluster.harness.membership import DAEMON_PROPERTY
from tests.cluster.harness.processes import MARK, Process

#: The daemons and their main classes, in the order in which they start.
MAIN_CLASSES = {
    "namenode": "org.apache.hadoop.hdfs.server.namenode.NameNode",
    "datanode": "org.apache.hadoop.hdfs.server.datanode.DataNode",
    "resourcemanager": "org.apache.hadoop.yarn.server.resourcemanager.ResourceManager",
    "nodemanager": "org.apache.hadoop.yarn.server.nodemanager.NodeManager",
}
STOP_TIMEOUT_S = 10.0
READY_TIMEOUT_S = 90.0

_START_LINE = "======== started by the harness"


class PortTaken(HarnessError):
    """Somebody else has a port of this daemon: other ports may help."""


class Daemon:
    """A daemon of a cluster, running or not.

    It is found in ``/proc`` by a system property on its command line, so every process that knows the cluster
    can handle it, and the containers of a killed NodeManager live on.

    Parameters
    ----------
    layout : Layout
        The cluster.
    kind : str
        A key of `MAIN_CLASSES`.
    place : str
        ``host`` or a worker's name.
    name : str
        What people call it: the kind, with the worker's name where there are several.
    enter : callable
        Gives the command that runs its arguments in the daemon's place.
    ready : callable
        Says whether the daemon, given to it, serves.
    """

    def __init__(
        self,
        layout: Layout,
        kind: str,
        place: str,
        name: str,
        enter: Callable[[], list[str]],
        ready: Callable[[Daemon], bool],
    ) -> None:
        self.kind = kind
        self.place = place
        self.name = name
        self._layout = layout
        self._enter = enter
        self._ready = ready

    @property
    def pid(self) -> int | None:
        """The id of its JVM in this process's pid namespace; None when it does not run."""
        java = str(self._layout.java_home / "bin" / "java")
        return next((process.pid for process in self._processes() if process.argv[0] == java), None)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return bool(self._processes())

    @property
    def log(self) -> Path:
        """The file with all it ever printed."""
        return self._layout.logs / f"{self.name}.log"

    @property
    def ports(self) -> dict[str, int]:
        """Where it listens, by interface."""
        nodes = {node.name: node.ports for node in self._layout.nodes}
        ports = nodes.get(self.place, self._layout.ports)
        return {key: port for key, port in ports.items() if key.split("-")[0] == self.kind}

    def output(self) -> str:
        """Give what it printed since it was last started."""
        try:
            return self.log.read_text(errors="replace").rpartition(_START_LINE)[2]
        except FileNotFoundError:
            return ""

    def launch(self) -> None:
        """Start its JVM without waiting for anything; nothing happens when it runs already."""
        if self.alive:
            return
        with self.log.open("a") as log:
            log.write(f"{_START_LINE}\n")
        java = java_command(self._layout, self.place, MAIN_CLASSES[self.kind], self._mark())
        processes.start(
            [*self._enter(), *java],
            cwd=self._layout.directory,
            env=environment(self._layout, self.place),
            log=self.log,
        )

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until it serves.

        Parameters
        ----------
        timeout_s : float
            How long.

        Raises
        ------
        PortTaken
            When it ended for want of a port.
        HarnessError
            When it ended otherwise, or takes longer; with the last lines of its log.
        """
        deadline = time.monotonic() + timeout_s
        while not self._ready(self):
            if not self.alive:
                output = self.output()
                kind = PortTaken if "java.net.BindException" in output else HarnessError
                raise kind(f"The {self.name} ended while it started.\n{tail(output)}")
            if time.monotonic() >= deadline:
                raise HarnessError(
                    f"The {self.name} runs but does not serve after {timeout_s:g} s.\n{tail(self.output())}"
                )
            time.sleep(0.1)

    def start(self) -> None:
        """Start it, and return when it serves: when its peers that run know it again.

        Raises
        ------
        HarnessError
            When it does not come up.
        """
        self.launch()
        self.wait_ready()

    def stop(self) -> None:
        """End it with SIGTERM, and after 10 s with SIGKILL; its ports are free when this returns."""
        running = self._processes()
        pid = self.pid
        for process in running:
            if process.pid == pid:
                process.send(signal.SIGTERM)
        if not processes.wait_gone(running, timeout_s=STOP_TIMEOUT_S):
            self.kill()

    def kill(self) -> None:
        """End it with SIGKILL; its ports are free when this returns."""
        processes.end(self._is_mine)

    def restart(self) -> None:
        """Stop it, start it, and return when it serves."""
        self.stop()
        self.start()

    def _mark(self) -> str:
        return f"-D{DAEMON_PROPERTY}={self._layout.directory}/{self.name}"

    def _is_mine(self, process: Process) -> bool:
        return self._mark() in process.argv

    def _processes(self) -> list[Process]:
        """List its JVM and the commands that started it and wait for it."""
        return processes.find(self._is_mine)


def java_command(layout: Layout, place: str, main_class: str, *options: str) -> list[str]:
    """Give the command line of a Hadoop class: a small JVM that starts fast rather than runs fast.

    Parameters
    ----------
    layout : Layout
        The cluster.
    place : str
        Whose configuration to use: ``host`` or a worker's name.
    main_class : str
        What to run.
    *options : str
        More JVM options.

    Returns
    -------
    list of str
        The command, to which arguments can be appended.
    """
    command = [
        str(layout.java_home / "bin" / "java"),
        *("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"),
        "-Djava.net.preferIPv4Stack=true",
        f"-Djava.io.tmpdir={layout.directory}/tmp",
        f"-Dhadoop.log.dir={layout.logs}",
        f"-Dyarn.log.dir={layout.logs}",
        *options,
    ]
    if layout.subnet and place == "host":
        # Lookups of the workers' addresses end here, not in a time-out of the site's name servers.
        command.append(f"-Djdk.net.hosts.file={layout.hosts_file}")
    return [*command, "-cp", f"{layout.server_conf(place)}:{layout.jars}/*", main_class]


def environment(layout: Layout, place: str) -> dict[str, str]:
    """Give a daemon's environment, nothing of which comes from the tests' but PATH and the account.

    Parameters
    ----------
    layout : Layout
        The cluster.
    place : str
        Whose configuration to use: ``host`` or a worker's name.

    Returns
    -------
    dict of str to str
        Variables; the mark among them.
    """
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.environ.get("HOME", "/"),
        "USER": layout.submitter,
        "LANG": "C.UTF-8",
        "JAVA_HOME": str(layout.java_home),
        "HADOOP_CONF_DIR": str(layout.server_conf(place)),
        MARK: str(layout.directory),
    }


def tail(output: str, lines: int = 20) -> str:
    """Give the last lines of a log that say something: a stack trace's frames would push them out.

    Parameters
    ----------
    output : str
        The log.
    lines : int
        How many to give at most.

    Returns
    -------
    str
        The lines.
    """
    telling = [line for line in output.splitlines() if line.strip() and not line.startswith("\t")]
    return "\n".join(telling[-lines:])
