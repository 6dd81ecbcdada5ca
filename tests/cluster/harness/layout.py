"""What a cluster consists of, and where: settled before anything is started, and written down."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.cluster.harness.membership import workers_directory

#: What listens on the host's side, by daemon and interface.
HOST_PORTS = (
    "namenode",
    "namenode-http",
    "resourcemanager",
    "resourcemanager-scheduler",
    "resourcemanager-tracker",
    "resourcemanager-admin",
    "resourcemanager-http",
)

#: What listens on a worker. In a network namespace of its own every worker has Hadoop's usual ports.
WORKER_PORTS = {
    "datanode": 9866,
    "datanode-http": 9864,
    "datanode-ipc": 9867,
    "nodemanager": 8041,
    "nodemanager-localizer": 8040,
    "nodemanager-http": 8042,
}

Sites = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Node:
    """A worker: one DataNode and one NodeManager.

    Parameters
    ----------
    name : str
        Its hostname; ``localhost`` when it has no network namespace of its own.
    address : str
        Where it listens, and what YARN and HDFS call it: an IP address, so that nobody needs to resolve it.
    namespace : str
        Its network namespace; empty for the host's own.
    memory_mb, vcores : int
        What its NodeManager offers.
    ports : dict of str to int
        A port for each of `WORKER_PORTS`.
    """

    name: str
    address: str
    namespace: str
    memory_mb: int
    vcores: int
    ports: dict[str, int]


@dataclass(frozen=True)
class Layout:
    """One cluster, as it was planned.

    Parameters
    ----------
    name : str
        What people call it.
    directory : Path
        Everything it writes is below; thrown away with it.
    submitter : str
        The account that runs the daemons: HDFS superuser, YARN administrator, allowed to proxy.
    java_home, jars : Path
        The software.
    host : str
        Where NameNode and ResourceManager listen, as everyone sees it.
    ports : dict of str to int
        A port for each of `HOST_PORTS`.
    nodes : tuple of Node
        The workers.
    subnet : str
        The workers' network, like ``10.77.5``; empty without network namespaces.
    extra_sites : dict
        Settings on top of ours: file name, then property, then value.
    """

    name: str
    directory: Path
    submitter: str
    java_home: Path
    jars: Path
    host: str
    ports: dict[str, int]
    nodes: tuple[Node, ...]
    subnet: str
    extra_sites: Sites

    @property
    def client_conf(self) -> Path:
        """The directory of site files for clients."""
        return self.directory / "client-conf"

    def server_conf(self, place: str) -> Path:
        """Give the directory of site files for the daemons of one place, ``host`` or a worker's name."""
        return self.directory / "conf" / place

    @property
    def workers_directory(self) -> Path:
        """The directory of the workers' data: containers are recognised by it."""
        return workers_directory(self.directory)

    def data(self, place: str) -> Path:
        """Give the directory for the data of one place's daemons, ``host`` or a worker's name."""
        return self.directory / "host" if place == "host" else self.workers_directory / place

    @property
    def logs(self) -> Path:
        """The directory of the daemons' logs."""
        return self.directory / "logs"

    @property
    def hosts_file(self) -> Path:
        """The hosts(5) file with the names of the workers, where they have network namespaces."""
        return self.directory / "hosts"

    @property
    def default_fs(self) -> str:
        """The URI of HDFS."""
        return f"hdfs://{self.host}:{self.ports['namenode']}"

    @property
    def resource_manager_url(self) -> str:
        """The URL of the ResourceManager's web services, without a path."""
        return f"http://{self.host}:{self.ports['resourcemanager-http']}"

    @property
    def namenode_url(self) -> str:
        """The URL of the NameNode's web server, without a path."""
        return f"http://{self.host}:{self.ports['namenode-http']}"

    def save(self) -> None:
        """Write the plan into the cluster's directory, for other processes."""
        document = asdict(self)
        for key in ("directory", "java_home", "jars"):
            document[key] = str(document[key])
        temporary = _file(self.directory).with_suffix(".new")
        temporary.write_text(json.dumps(document, indent=2))
        temporary.rename(_file(self.directory))

    @classmethod
    def load(cls, directory: Path) -> Layout | None:
        """Read the plan of the cluster in a directory; None while there is none."""
        try:
            document: dict[str, Any] = json.loads(_file(directory).read_text())
        except FileNotFoundError:
            return None
        for key in ("directory", "java_home", "jars"):
            document[key] = Path(document[key])
        document["nodes"] = tuple(Node(**node) for node in document["nodes"])
        return cls(**document)


def _file(directory: Path) -> Path:
    return directory / "cluster.json"
