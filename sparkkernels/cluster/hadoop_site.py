"""One Hadoop cluster as one user has it: its configuration, ResourceManagers, file system and tools."""

from __future__ import annotations

import getpass
import logging
import os
import threading
from collections.abc import Mapping

import requests

from .filesystem import FileSystem, FileSystemUnreachable, FsShell, WebHdfs
from .hadoop_cli import HadoopCli
from .hadoop_conf import HadoopConf, read_hadoop_conf
from .resource_manager import ResourceManagerClient
from .spark_home import find_java, inspect_spark_home

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
    """

    def __init__(self, hadoop_conf_dir: str, spark_home: str, environ: Mapping[str, str] | None) -> None:
        self._hadoop_conf_dir = hadoop_conf_dir
        self._spark_home = spark_home
        self._environ = environ
        self._mutex = threading.RLock()
        self._conf: HadoopConf | None = None
        self._client: ResourceManagerClient | None = None
        self._file_system: FileSystem | None = None

    @property
    def environ(self) -> Mapping[str, str]:
        """The server's environment."""
        return os.environ if self._environ is None else self._environ

    @property
    def user(self) -> str:
        """Who asks: what Hadoop's clients take on a cluster without Kerberos."""
        return self.environ.get("HADOOP_USER_NAME") or getpass.getuser()

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
                    session_factory=self.session,
                )
            return self._client

    def session(self) -> requests.Session:
        """A session for the cluster's web services."""
        session = requests.Session()
        if not self.conf.is_secure:
            # Read by an AuthenticationFilter of type "simple"; without it everybody is dr.who.
            session.params = {"user.name": self.user}
        return session

    def cli(self) -> HadoopCli:
        """Hadoop's command line tools.

        Raises
        ------
        ConfigurationError
        """
        home = inspect_spark_home(self._spark_home)
        return HadoopCli(home, find_java(self.environ), self.conf.directory, self.environ)

    def file_system(self) -> FileSystem:
        """The default file system: WebHDFS where it answers, else Hadoop's FsShell.

        Raises
        ------
        ConfigurationError
        """
        with self._mutex:
            if self._file_system is None:
                self._file_system = self._web_hdfs() or FsShell(self.cli(), self.user)
            return self._file_system

    def _web_hdfs(self) -> WebHdfs | None:
        addresses = self.conf.webhdfs()
        if not addresses or self.conf.is_secure:
            return None
        web = WebHdfs(addresses, self.user)
        try:
            web.home()
        except FileSystemUnreachable as error:
            log.warning("%s Using Hadoop's FsShell, which is slower.", error.message)
            return None
        return web
