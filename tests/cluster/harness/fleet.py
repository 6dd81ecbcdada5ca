"""The workers and daemons of a layout, as objects that can be handled."""

from __future__ import annotations

from tests.cluster.harness import kdc
from tests.cluster.harness.daemon import Daemon, Program
from tests.cluster.harness.jvm import environment, java_command
from tests.cluster.harness.layout import Layout
from tests.cluster.harness.membership import daemon_mark, kdc_mark
from tests.cluster.harness.native import classes, library_option
from tests.cluster.harness.network import Worker
from tests.cluster.harness.processes import MARK
from tests.cluster.harness.readiness import Readiness
from tests.cluster.harness.settings import MANAGER_ID_PROPERTY

#: The main classes of Hadoop's daemons, in the order in which they start.
MAIN_CLASSES = {
    "namenode": "org.apache.hadoop.hdfs.server.namenode.NameNode",
    "datanode": "org.apache.hadoop.hdfs.server.datanode.DataNode",
    "resourcemanager": "org.apache.hadoop.yarn.server.resourcemanager.ResourceManager",
    "nodemanager": "org.apache.hadoop.yarn.server.nodemanager.NodeManager",
}


def make_workers(layout: Layout) -> list[Worker]:
    """Give the workers that have network namespaces of their own.

    Parameters
    ----------
    layout : Layout
        The cluster.

    Returns
    -------
    list of Worker
        Empty without namespaces.
    """
    return [Worker(layout, node) for node in layout.nodes if node.namespace]


def make_daemons(layout: Layout) -> list[Daemon]:
    """Give the daemons, running or not.

    Parameters
    ----------
    layout : Layout
        The cluster.

    Returns
    -------
    list of Daemon
        In the order in which they are best started. Where each worker has a namespace, ``datanode`` and
        ``nodemanager`` have its name appended, and where there are two ResourceManagers, each has its id.
    """
    daemons: list[Daemon] = []
    ready = Readiness(layout, daemons)
    workers = {worker.name: worker for worker in make_workers(layout)}

    def add(kind: str, place: str, name: str, program: Program) -> None:
        enter = workers[place].enter if place in workers else _stay
        daemons.append(Daemon(layout, kind, place, name, program, enter, ready))

    if layout.kerberos:
        add("kdc", "host", "kdc", _kdc(layout))
    for kind in MAIN_CLASSES:
        if kind == "namenode":
            add(kind, "host", kind, _java(layout, kind, "host", kind))
        elif kind == "resourcemanager":
            for manager_id, name in layout.managers.items():
                options = [f"-D{MANAGER_ID_PROPERTY}={manager_id}"] if manager_id else []
                add(kind, "host", name, _java(layout, kind, "host", name, *options))
        else:
            for node in layout.nodes:
                name = f"{kind}-{node.name}" if node.namespace else kind
                add(kind, node.name, name, _java(layout, kind, node.name, name))
    return daemons


def _java(layout: Layout, kind: str, place: str, name: str, *options: str) -> Program:
    """Give what a daemon of Hadoop's runs."""
    mark = daemon_mark(layout.directory, name)
    first = None
    if kind == "nodemanager" and layout.native:
        options, first = (*options, library_option(layout.native)), classes(layout.native)
    command = java_command(layout, place, MAIN_CLASSES[kind], mark, *options, first=first)
    return Program(command, environment(layout, place), mark)


def _kdc(layout: Layout) -> Program:
    """Give what the KDC runs."""
    assert layout.realm is not None
    own = {**kdc.environment(layout.realm), MARK: str(layout.directory)}
    mark = kdc_mark(layout.directory)
    return Program(kdc.command(mark), own, mark)


def _stay() -> list[str]:
    """Give the command that runs its arguments right here: none."""
    return []
