"""One Hadoop cluster as one user has it: its configuration, ResourceManagers, file system and tools."""

from __future__ import annotations

import getpass
import logging
import os
import threading
from collections.abc import Mapping

import requests

from .access import OWN_ACCOUNT, Access
from .authority import AuthoritySession
from .filesystem import FileSystem, FileSystemUnreachable
from .fs_shell import FsShell
from .hadoop_cli import HadoopCli
from .hadoop_conf import HadoopConf, read_hadoop_conf
from .kerberos import Credentials, Keytab, OwnTicket
from .negotiate import negotiated
from .resource_manager import ResourceManagerClient
from .spark_home import find_java, inspect_spark_home
from .webhdfs import WebHdfs

log = logging.getLogger(__name__)


class HadoopSite:
    """Each part is made when it is first asked for, and kept; thread-safe.

    Parameters
    ----------
    hadoop_conf_dir : str
    spark_home : str
        Hadoop's command line tools come with Spark.
    environ : mapping of str to str or None
        The server's environment, None for this process's at the time of each call.
    access : Access
    proxy_user : str or None
        On whose behalf the cluster is asked, None for whoever the credentials are of.
    """

    def __init__(
        self,
        hadoop_conf_dir: str,
        spark_home: str = "",
        environ: Mapping[str, str] | None = None,
        access: Access = OWN_ACCOUNT,
        proxy_user: str | None = None,
    ) -> None:
        self._hadoop_conf_dir = hadoop_conf_dir
        self._spark_home = spark_home
        self._environ = environ
        self._access = access
        self.proxy_user = proxy_user
        self._mutex = threading.RLock()
        self._users: dict[str, HadoopSite] = {}
        self._credentials: Credentials | None = None
        self._conf: HadoopConf | None = None
        self._client: ResourceManagerClient | None = None
        self._file_systems: dict[str, FileSystem] = {}  # by user: a ticket may become another's

    @property
    def environ(self) -> Mapping[str, str]:
        """The server's environment."""
        return os.environ if self._environ is None else self._environ

    @property
    def user(self) -> str:
        """Who the cluster takes us for."""
        if self.proxy_user:
            return self.proxy_user
        credentials = self.credentials
        if credentials is not None:
            return credentials.short_name
        return self.environ.get("HADOOP_USER_NAME") or getpass.getuser()

    @property
    def credentials(self) -> Credentials | None:
        """Kerberos credentials, None on a cluster without Kerberos.

        Raises
        ------
        ConfigurationError
        """
        with self._mutex:
            if self._credentials is None and self.conf.is_secure:
                access = self._access
                if access.keytab or access.principal:
                    self._credentials = Keytab(access.principal, access.keytab, self.environ)
                else:
                    self._credentials = OwnTicket(self.environ, getpass.getuser())
            return self._credentials

    def ensure_credentials(self) -> None:
        """Make sure of the credentials before something is begun with them.

        Raises
        ------
        CredentialsError, ConfigurationError
        """
        if self.credentials is not None:
            self.credentials.ensure()

    def client_environment(self) -> dict[str, str]:
        """The environment of Hadoop's own clients: the server's, with the credentials."""
        environment = dict(self.environ)
        if self.credentials is not None:
            environment |= self.credentials.environment()
            environment.pop("HADOOP_TOKEN_FILE_LOCATION", None)
        return environment

    def as_user(self, proxy_user: str | None) -> HadoopSite:
        """The same cluster, asked on behalf of somebody; None for ourselves."""
        if proxy_user is None or proxy_user == self.proxy_user:
            return self
        with self._mutex:
            if proxy_user not in self._users:
                other = HadoopSite(
                    self._hadoop_conf_dir, self._spark_home, self._environ, self._access, proxy_user
                )
                other._conf, other._credentials = self.conf, self.credentials
                self._users[proxy_user] = other
            return self._users[proxy_user]

    @property
    def conf(self) -> HadoopConf:
        """The cluster's configuration.

        Raises
        ------
        ConfigurationError
        """
        with self._mutex:
            if self._conf is None:
                self._conf = read_hadoop_conf(self._hadoop_conf_dir, self.environ)
            return self._conf

    @property
    def client(self) -> ResourceManagerClient:
        """The ResourceManagers.

        Raises
        ------
        ConfigurationError
        """
        with self._mutex:
            if self._client is None:
                self._client = ResourceManagerClient(
                    self.conf.resource_managers(),
                    hadoop_conf_dir=self.conf.directory,
                    session_factory=self._yarn_session,
                )
            return self._client

    def session(self) -> requests.Session:
        """A session for the cluster's web services, as the credentials' own principal; for one thread."""
        session = AuthoritySession(self._access.ca_file) if self._access.ca_file else requests.Session()
        if self.credentials is not None:
            return negotiated(session, self.credentials)
        # Read by an AuthenticationFilter of type "simple"; without it everybody is dr.who.
        session.params = {"user.name": self.user}
        return session

    def _yarn_session(self) -> requests.Session:
        session = self.session()
        if self.proxy_user and self.credentials is not None:
            session.params = {"doAs": self.proxy_user}
        return session

    def cli(self) -> HadoopCli:
        """Hadoop's command line tools.

        Raises
        ------
        ConfigurationError
        """
        home = inspect_spark_home(self._spark_home)
        environ = self.client_environment()
        return HadoopCli(home, find_java(environ), self.conf.directory, environ, self.proxy_user)

    def file_system(self) -> FileSystem:
        """The default file system: WebHDFS where it answers, else Hadoop's FsShell.

        Raises
        ------
        ConfigurationError
        """
        with self._mutex:
            user = self.user
            if user not in self._file_systems:
                self._file_systems[user] = self._web_hdfs() or FsShell(self.cli(), user)
            return self._file_systems[user]

    def _web_hdfs(self) -> WebHdfs | None:
        addresses = self.conf.webhdfs()
        if not addresses:
            return None
        proxy_user = self.proxy_user if self.conf.is_secure else None
        web = WebHdfs(addresses, self.session, proxy_user)
        try:
            web.home()
        except FileSystemUnreachable as error:
            said = " ".join(part for part in (error.diagnostics, error.hint) if part)
            log.warning("%s Using Hadoop's FsShell, which is slower. (%s)", error.message, said)
            return None
        return web
