"""The workers and daemons of a layout, as objects that can be handled."""

from __future__ import annotations

from tests.cluster.harness.daemon import MAIN_CLASSES, Daemon
from tests.cluster.harness.layout import Layout
from tests.cluster.harness.network import Worker
from tests.cluster.harness.readiness import Readiness


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
        ``nodemanager`` have its name appended.
    """
    daemons: list[Daemon] = []
    ready = Readiness(layout, daemons)
    workers = {worker.name: worker for worker in make_workers(layout)}
    for kind in MAIN_CLASSES:
        on_host = kind in ("namenode", "resourcemanager")
        for place in ["host"] if on_host else [node.name for node in layout.nodes]:
            worker = workers.get(place)
            name = f"{kind}-{place}" if worker else kind
            enter = worker.enter if worker else _stay
            daemons.append(Daemon(layout, kind, place, name, enter, ready))
    return daemons


def _stay() -> list[str]:
    """Give the command that runs its arguments right here: none."""
    return []
