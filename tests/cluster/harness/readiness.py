"""When a daemon serves: it answers, and those of its peers that run know it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from tests.cluster.harness.access import authentication, authority, resource_manager
from tests.cluster.harness.daemon import Daemon
from tests.cluster.harness.layout import Layout
from tests.cluster.harness.web import Answer, WebError, ask

#: A daemon that is still starting may accept a connection and be silent.
_TIMEOUT_S = 3.0

#: NodeStatusUpdaterImpl's word. The ResourceManager cannot be asked: to it, a NodeManager that restarts
#: within the expiry interval was never away.
_REGISTERED = "Registered with ResourceManager as"


class Readiness:
    """Tells for each daemon of a cluster whether it serves.

    Parameters
    ----------
    layout : Layout
        The cluster.
    daemons : list of Daemon
        Its daemons; the list may be filled later.
    """

    def __init__(self, layout: Layout, daemons: list[Daemon]) -> None:
        self._layout = layout
        self._daemons = daemons
        self._authenticate = authentication(layout)
        self._ca_file = authority(layout)
        self._checks: dict[str, Callable[[Daemon], bool]] = {
            "kdc": self._kdc,
            "namenode": self._namenode,
            "datanode": self._datanode,
            "resourcemanager": self._resourcemanager,
            "nodemanager": self._nodemanager,
        }

    def __call__(self, daemon: Daemon) -> bool:
        """Tell whether a daemon serves."""
        try:
            return self._checks[daemon.kind](daemon)
        except WebError:
            return False

    def _kdc(self, daemon: Daemon) -> bool:
        """Tell whether it lets itself be connected to: it listens when it can do everything else."""
        try:
            socket.create_connection(("127.0.0.1", daemon.ports["kdc"]), _TIMEOUT_S).close()
        except OSError:
            return False
        return True

    def _namenode(self, _: Daemon) -> bool:
        """Tell whether the safe mode is over, every DataNode that runs having reported."""
        bean = self._bean(self._layout.namenode_url, "Hadoop:service=NameNode,name=NameNodeInfo")
        if "Safemode" not in bean or "LiveNodes" not in bean:
            return False
        datanodes = self._alive("datanode")
        return datanodes == 0 or (not bean["Safemode"] and len(json.loads(bean["LiveNodes"])) >= datanodes)

    def _datanode(self, daemon: Daemon) -> bool:
        """Tell whether it has registered with the NameNode, if that runs."""
        bean = self._bean(self._worker_url(daemon), "Hadoop:service=DataNode,name=DataNodeInfo")
        if "BPServiceActorInfo" not in bean:
            return False
        actors = json.loads(bean["BPServiceActorInfo"])
        registered = any(actor["ActorState"] == "RUNNING" and actor["BlockPoolID"] for actor in actors)
        return registered or self._alive("namenode") == 0

    def _resourcemanager(self, daemon: Daemon) -> bool:
        """Tell whether it is active, every NodeManager that runs having registered, or one of several."""
        manager = resource_manager(self._layout)
        manager_id = next(key for key, name in self._layout.managers.items() if name == daemon.name)
        if manager.info(manager_id)["haState"] != "ACTIVE":
            return manager_id != ""
        return len(manager.nodes()) >= self._alive("nodemanager")

    def _nodemanager(self, daemon: Daemon) -> bool:
        """Tell whether it has registered with the ResourceManager, if that runs."""
        if self._alive("resourcemanager"):
            return _REGISTERED in daemon.output()
        return self._ask(f"{self._worker_url(daemon)}/ws/v1/node/info").status == 200

    def _alive(self, kind: str) -> int:
        """Count the daemons of a kind that run."""
        return sum(daemon.alive for daemon in self._daemons if daemon.kind == kind)

    def _worker_url(self, daemon: Daemon) -> str:
        """Give the URL of a worker's daemon, without a path."""
        node = next(node for node in self._layout.nodes if node.name == daemon.place)
        return f"{self._layout.scheme}://{node.address}:{node.ports[f'{daemon.kind}-http']}"

    def _bean(self, url: str, name: str) -> dict[str, Any]:
        """Ask a daemon's web server for a management bean; of one that starts it may lack anything."""
        beans = self._ask(f"{url}/jmx?qry={quote(name)}").json()["beans"]
        return beans[0] if beans else {}

    def _ask(self, url: str) -> Answer:
        """Ask a daemon's web server as the superuser."""
        url, headers = self._authenticate(url, self._layout.superuser)
        return ask("GET", url, headers=headers, ca_file=self._ca_file, timeout_s=_TIMEOUT_S)
