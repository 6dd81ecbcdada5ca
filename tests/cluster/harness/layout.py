"""What a cluster consists of, and where: settled before anything is started, and written down."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.cluster.harness.kerberos import Realm
from tests.cluster.harness.membership import workers_directory
from tests.cluster.harness.tls import Tls

#: The ids of two ResourceManagers that take turns.
MANAGER_IDS = ("rm1", "rm2")

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

#: The fields of a layout that are paths.
_PATHS = ("directory", "java_home", "jars", "native")


def host_ports(*, kerberos: bool = False, ha: bool = False) -> tuple[str, ...]:
    """Name what listens on the host's side, by daemon and interface.

    Parameters
    ----------
    kerberos : bool
        Whether there is a KDC.
    ha : bool
        Whether there are two ResourceManagers.

    Returns
    -------
    tuple of str
        The daemon's name, with the interface after a dash where there are several.
    """
    managers = [f"resourcemanager-{manager_id}" for manager_id in MANAGER_IDS] if ha else ["resourcemanager"]
    interfaces = ("", "-scheduler", "-tracker", "-admin", "-http")
    return (
        *(("kdc",) if kerberos else ()),
        *("namenode", "namenode-http"),
        *(f"{manager}{interface}" for manager in managers for interface in interfaces),
    )


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
        Whom users' applications are submitted by, and who may proxy them. Without Kerberos it is the account
        that runs the daemons: HDFS superuser and YARN administrator as well.
    java_home, jars : Path
        The software.
    host : str
        Where NameNode and ResourceManager listen, as everyone sees it.
    ports : dict of str to int
        A port for each of `host_ports`.
    nodes : tuple of Node
        The workers.
    subnet : str
        The workers' network, like ``10.77.5``; empty without network namespaces.
    extra_sites : dict
        Settings on top of ours: file name, then property, then value.
    kerberos : bool
        Whether users prove who they are.
    manager_ids : tuple of str
        The ids of the ResourceManagers where there are several; empty where there is one.
    https : bool
        Whether web servers speak HTTPS only.
    native : Path or None
        Hadoop's native library, for NodeManagers that prove who owns a log; None to do without.
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
    kerberos: bool = False
    manager_ids: tuple[str, ...] = ()
    https: bool = False
    native: Path | None = None

    @property
    def realm(self) -> Realm | None:
        """The Kerberos realm; None without Kerberos."""
        return Realm(self.directory) if self.kerberos else None

    @property
    def tls(self) -> Tls | None:
        """Keys and certificates; None without HTTPS."""
        return Tls(self.directory) if self.https else None

    @property
    def scheme(self) -> str:
        """What URLs of web servers begin with."""
        return "https" if self.https else "http"

    @property
    def superuser(self) -> str:
        """Who may do everything in HDFS."""
        return "hdfs" if self.kerberos else self.submitter

    @property
    def administrator(self) -> str:
        """Who may do everything on YARN."""
        return "yarn" if self.kerberos else self.submitter

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
    def managers(self) -> dict[str, str]:
        """The names of the ResourceManagers as daemons, by id; the only one has an empty id."""
        if not self.manager_ids:
            return {"": "resourcemanager"}
        return {manager_id: f"resourcemanager-{manager_id}" for manager_id in self.manager_ids}

    @property
    def resource_manager_urls(self) -> dict[str, str]:
        """The URLs of the ResourceManagers' web services, without a path, by id."""
        return {
            manager_id: f"{self.scheme}://{self.host}:{self.ports[f'{name}-http']}"
            for manager_id, name in self.managers.items()
        }

    @property
    def namenode_url(self) -> str:
        """The URL of the NameNode's web server, without a path."""
        return f"{self.scheme}://{self.host}:{self.ports['namenode-http']}"

    def save(self) -> None:
        """Write the plan into the cluster's directory, for other processes."""
        document = asdict(self)
        for key in _PATHS:
            document[key] = document[key] and str(document[key])
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
        for key in _PATHS:
            document[key] = document[key] and Path(document[key])
        document["nodes"] = tuple(Node(**node) for node in document["nodes"])
        document["manager_ids"] = tuple(document["manager_ids"])
        return cls(**document)


def _file(directory: Path) -> Path:
    return directory / "cluster.json"
