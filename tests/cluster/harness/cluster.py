"""A Hadoop cluster for tests: real daemons on this machine, in one directory that is thrown away."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.cluster.harness import failover, lifecycle, processes, registry
from tests.cluster.harness.access import resource_manager, webhdfs
from tests.cluster.harness.credentials import WithCredentials
from tests.cluster.harness.daemon import Daemon
from tests.cluster.harness.errors import HarnessError
from tests.cluster.harness.fleet import make_daemons, make_workers
from tests.cluster.harness.layout import Layout, Sites
from tests.cluster.harness.lifecycle import Options
from tests.cluster.harness.membership import is_in_container


class Cluster(WithCredentials):
    """A running cluster; made with `up` or `attach`.

    Parameters
    ----------
    layout : Layout
        What it consists of.

    Attributes
    ----------
    workers : list of Worker
        The workers with network namespaces of their own; empty without ``hosts``.
    daemons : list of Daemon
        All daemons, in the order in which they start.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self._resource_manager = resource_manager(layout)
        self._hdfs = webhdfs(layout)
        self.workers = make_workers(layout)
        self.daemons = make_daemons(layout)

    @classmethod
    def up(
        cls,
        name: str = "default",
        hosts: int = 0,
        extra_site: Sites | None = None,
        directory: Path | None = None,
        *,
        kerberos: bool = False,
        ha: bool = False,
        https: bool = False,
    ) -> Cluster:
        """Bring a cluster up; it is complete, or nothing of it is left.

        Parameters
        ----------
        name : str
            What to call it.
        hosts : int
            How many workers get a network namespace and a hostname of their own; 0 for a single worker that
            shares this machine's.
        extra_site : dict, optional
            Settings on top of ours, like ``{"yarn-site.xml": {"yarn.acl.enable": "false"}}``.
        directory : Path, optional
            Where to put everything; an empty directory, or none yet.
        kerberos : bool
            Whether users prove who they are: `submitter` is then the principal jupyter/localhost, which may
            proxy alice and bob; carol and dave have principals, but no homes in HDFS.
        ha : bool
            Whether there are two ResourceManagers, rm1 and rm2, of which `transition` makes one active.
        https : bool
            Whether web servers speak HTTPS only, with a certificate for localhost by the authority `ca_file`.

        Returns
        -------
        Cluster
            HDFS has been written to, and every node is registered.

        Raises
        ------
        HarnessError
            When something is missing, the name is taken, or a daemon does not come up.
        """
        options = Options(hosts, kerberos, ha, https, extra_site or {})
        return cls(lifecycle.bring_up(name, options, directory))

    @classmethod
    def attach(cls, name: str = "default") -> Cluster:
        """Give the cluster that another process brought up.

        Parameters
        ----------
        name : str
            What it is called.

        Returns
        -------
        Cluster
            The cluster, whether its daemons run or not.

        Raises
        ------
        HarnessError
            When there is none.
        """
        entry = registry.find(name)
        layout = Layout.load(Path(entry.directory)) if entry is not None else None
        if layout is None:
            raise HarnessError(
                f"There is no cluster named {name!r}: `python -m tests.cluster up --name {name}`."
            )
        return cls(layout)

    @classmethod
    def remove(cls, name: str = "default") -> bool:
        """End a cluster however far it got, and remove everything of it.

        Parameters
        ----------
        name : str
            What it is called.

        Returns
        -------
        bool
            False when there is none.
        """
        entry = registry.find(name)
        if entry is None:
            return False
        lifecycle.tear_down(entry)
        return True

    def down(self) -> None:
        """End the cluster and remove everything of it; does nothing the second time."""
        entry = registry.find(self.name)
        # The name may have been given to a new cluster since.
        if entry is not None and entry.directory == str(self.directory):
            lifecycle.tear_down(entry)

    @property
    def name(self) -> str:
        """What people call it."""
        return self._layout.name

    @property
    def submitter(self) -> str:
        """Whom applications are submitted by, and who may proxy alice and bob.

        Without Kerberos, the account that runs cluster and tests: HDFS superuser and YARN administrator too.
        """
        return self._layout.submitter

    @property
    def directory(self) -> Path:
        """The directory that holds everything of it."""
        return self._layout.directory

    @property
    def conf_dir(self) -> Path:
        """The directory of site files for clients: a HADOOP_CONF_DIR."""
        return self._layout.client_conf

    @property
    def default_fs(self) -> str:
        """The URI of HDFS, like ``hdfs://localhost:9820``."""
        return self._layout.default_fs

    @property
    def webhdfs_url(self) -> str:
        """The root of WebHDFS, like ``http://localhost:9870/webhdfs/v1``."""
        return f"{self._layout.namenode_url}/webhdfs/v1"

    @property
    def resource_manager_url(self) -> str:
        """The ResourceManager's web server, like ``http://localhost:8088``; of several, the active one's."""
        return self._resource_manager.url()

    @property
    def ca_file(self) -> Path | None:
        """The authority to believe when asking web servers: PEM; None without HTTPS."""
        return self._layout.tls.ca_file if self._layout.tls else None

    @property
    def other_ca_file(self) -> Path:
        """Another authority of the same name, which has not signed the web servers' certificate."""
        if self._layout.tls is None:
            raise HarnessError(f"The cluster {self.name!r} has no HTTPS: `up --https`.")
        return self._layout.tls.other_ca_file

    @property
    def host_address(self) -> str:
        """The address of this machine as the workers see it."""
        return self._layout.host if self._layout.subnet else "127.0.0.1"

    def environment(self) -> dict[str, str]:
        """Give the variables that make a client, like spark-submit, use the cluster.

        Returns
        -------
        dict of str to str
            To be laid over a process's environment. With Kerberos they tell of the realm: programs and the
            C libraries of this process with ``KRB5_CONFIG``, spark-submit with ``SPARK_SUBMIT_OPTS``.
            Credentials are not among them.
        """
        conf = str(self.conf_dir)
        # Spark reads both; one left over from another cluster would win here and there.
        own = {"JAVA_HOME": str(self._layout.java_home), "HADOOP_CONF_DIR": conf, "YARN_CONF_DIR": conf}
        if self._layout.realm:
            own["KRB5_CONFIG"] = str(self._layout.realm.conf)
            own["SPARK_SUBMIT_OPTS"] = self._layout.realm.java_option
        if self.ca_file:
            own["SPARKKERNELS_CA_FILE"] = str(self.ca_file)
        return own

    def daemon(self, name: str) -> Daemon:
        """Give one daemon.

        Parameters
        ----------
        name : str
            ``namenode``, ``datanode``, ``resourcemanager`` or ``nodemanager``; with ``hosts``,
            ``datanode-w1`` and so on; with ``kerberos`` also ``kdc``; with ``ha``, ``resourcemanager-rm1``
            and ``resourcemanager-rm2``, which come up as standbys.

        Returns
        -------
        Daemon
            It, running or not.

        Raises
        ------
        HarnessError
            When there is none of that name.
        """
        for daemon in self.daemons:
            if daemon.name == name:
                return daemon
        names = ", ".join(daemon.name for daemon in self.daemons)
        raise HarnessError(f"There is no daemon named {name!r}: there are {names}.")

    @property
    def active_resource_manager(self) -> str | None:
        """The id of the active one of two ResourceManagers; None while there is none."""
        if not self._layout.manager_ids:
            raise HarnessError(f"The cluster {self.name!r} has a single ResourceManager: `up --ha`.")
        return self._resource_manager.active()

    def transition(self, to: str) -> None:
        """Make a ResourceManager the active one, and return when the NodeManagers have found it.

        Parameters
        ----------
        to : str
            ``rm1`` or ``rm2``, which must run; the other need not.
        """
        failover.transition(self._layout, self.daemons, to)

    def safe_mode(self, on: bool) -> None:
        """Make HDFS read-only, or writable again, as an administrator does."""
        failover.safe_mode(self._layout, on)

    def nodes(self) -> list[dict[str, Any]]:
        """List the nodes that are registered, as in ``/ws/v1/cluster/nodes``."""
        return self._resource_manager.nodes()

    def applications(self, states: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """List applications.

        Parameters
        ----------
        states : iterable of str, optional
            Only those in one of these YarnApplicationStates; `resource_manager.UNFINISHED` has the live ones.

        Returns
        -------
        list of dict
            As in ``/ws/v1/cluster/apps``.
        """
        return self._resource_manager.applications(states)

    def occupy(self, queue: str, memory_mb: int) -> str:
        """Have an application that does nothing ask for a container of this size, and give its id."""
        return self._resource_manager.occupy(queue, memory_mb)

    def kill_application(self, application_id: str) -> None:
        """Ask for an application's end as an administrator, without waiting for it."""
        self._resource_manager.kill(application_id)

    def processes(self) -> list[int]:
        """List the processes that belong to the cluster's containers.

        Returns
        -------
        list of int
            Their ids in this process's pid namespace.
        """
        return [process.pid for process in processes.find(lambda p: is_in_container(p, self.directory))]

    def container_directories(self) -> list[Path]:
        """List the working directories of applications: NodeManagers delete them when one ends.

        Returns
        -------
        list of Path
            ``.../usercache/USER/appcache/application_...`` on every worker.
        """
        return sorted(self._layout.workers_directory.glob("*/local/usercache/*/appcache/application_*"))

    def log_directories(self, application_id: str) -> list[Path]:
        """List the log directories of an application's containers, which stay when it has ended.

        Parameters
        ----------
        application_id : str
            Which one.

        Returns
        -------
        list of Path
            With files like ``stdout`` and ``stderr``, one directory per container, on every worker.
        """
        return sorted(self._layout.workers_directory.glob(f"*/logs/{application_id}/container_*"))

    def hdfs_put(self, path: str, content: bytes, user: str | None = None) -> None:
        """Write a file, or replace it, as the superuser or as another user, with that one's keytab."""
        self._hdfs.put(path, content, user)

    def hdfs_get(self, path: str) -> bytes:
        """Read a file."""
        return self._hdfs.get(path)

    def hdfs_list(self, path: str) -> list[str]:
        """List the names in a directory; none when it does not exist."""
        return self._hdfs.list(path)

    def hdfs_status(self, path: str) -> dict[str, Any] | None:
        """Describe a file or directory as WebHDFS's FileStatus; None when it does not exist."""
        return self._hdfs.status(path)

    def hdfs_mkdir(self, path: str, permission: str = "755", owner: str | None = None) -> None:
        """Make a directory with its parents, and give it to somebody."""
        self._hdfs.mkdir(path, permission, owner)

    def hdfs_delete(self, path: str) -> bool:
        """Delete a file or a whole directory; False when there was nothing."""
        return self._hdfs.delete(path)
