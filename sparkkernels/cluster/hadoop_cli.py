"""Hadoop's own command line tools, from Spark's jars, for what no REST service offers here."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

from ..errors import SparkKernelError
from .environment import SHORT_LIVED_JVM, base_environment
from .spark_home import Java, SparkHome

FS_SHELL = "org.apache.hadoop.fs.FsShell"
APPLICATION_CLI = "org.apache.hadoop.yarn.client.cli.ApplicationCLI"
LOGS_CLI = "org.apache.hadoop.yarn.client.cli.LogsCLI"


class HadoopCli:
    """Runs one of Hadoop's main classes.

    Parameters
    ----------
    home : SparkHome
        Its jars hold Hadoop's clients.
    java : Java
    hadoop_conf_dir : str
    environ : mapping of str to str
        The server's environment.
    proxy_user : str or None
        On whose behalf they are run.
    """

    def __init__(
        self,
        home: SparkHome,
        java: Java,
        hadoop_conf_dir: str,
        environ: Mapping[str, str],
        proxy_user: str | None = None,
    ) -> None:
        self._argv = [
            java.executable,
            "-Xmx512m",
            *SHORT_LIVED_JVM.split(),
            *environ.get("SPARK_SUBMIT_OPTS", "").split(),  # where sites put java.security.krb5.conf
            "-cp",
            f"{hadoop_conf_dir}:{home.jars}/*",
        ]
        self._env = {**base_environment(environ), "HADOOP_CONF_DIR": hadoop_conf_dir}
        self._env.pop("HADOOP_PROXY_USER", None)
        if proxy_user:
            # ``UserGroupInformation.createLoginUser``; on a cluster without Kerberos it works as well.
            self._env["HADOOP_PROXY_USER"] = proxy_user

    def run(self, main: str, arguments: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
        """Run it to its end; its exit code is the caller's business.

        Raises
        ------
        SparkKernelError
            It can't be started or takes too long.
        """
        try:
            return subprocess.run(
                [*self._argv, main, *arguments],
                env=self._env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_s,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            name = main.rpartition(".")[2]
            raise SparkKernelError(f"Hadoop's {name} could not be run: {error}.") from error
