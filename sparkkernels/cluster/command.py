"""The spark-submit command of a launch spec. Pure: values in, an argv and an environment out.

Precedence of Spark settings, the first wins: those that a kernel can't live without (:data:`FORCED`, refused
when somebody sets them), the spec's, the administrator's ``spark-defaults.conf``, this package's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigurationError
from ..spec import LaunchSpec
from .environment import LONG_LIVED_JVM, SHORT_LIVED_JVM, base_environment, submit_environment
from .spark_home import Java

REGISTRATION_NAME = "registration.json"

#: Settings that a spec must not have, and why.
FORCED: dict[str, str] = {
    "spark.master": "the kernelspec's `master` decides it",
    "spark.submit.deployMode": "the kernel must run inside the cluster",
    "spark.yarn.maxAppAttempts": "a second attempt would run beside a kernel that Jupyter knows nothing of",
    "spark.yarn.submit.waitAppCompletion": "the submitting JVM must end once YARN has the application",
    "spark.yarn.tags": "the tags are how a server finds its own applications again",
    "spark.app.name": "it is made from the trait `name`",
    "spark.yarn.queue": "the trait `queue` decides it",
}

#: What an application that is idle most of its life needs: it holds one container and comes up at once.
YARN_DEFAULTS: dict[str, str] = {
    "spark.dynamicAllocation.enabled": "true",
    "spark.dynamicAllocation.shuffleTracking.enabled": "true",
    "spark.dynamicAllocation.minExecutors": "0",
    "spark.dynamicAllocation.initialExecutors": "0",
    "spark.dynamicAllocation.executorIdleTimeout": "60s",
    # Both are infinite by default, and then executors with cached or shuffled data are never given back.
    "spark.dynamicAllocation.cachedExecutorIdleTimeout": "30min",
    "spark.dynamicAllocation.shuffleTracking.timeout": "10min",
    # The constructor of SparkContext would wait for executors, up to 30 s.
    "spark.scheduler.minRegisteredResourcesRatio": "0",
    # The kernel's Python lives in this part of the container.
    "spark.driver.memoryOverhead": "1g",
    # In front of the extraJavaOptions of whoever sets some.
    "spark.driver.defaultJavaOptions": LONG_LIVED_JVM,
    "spark.executor.defaultJavaOptions": LONG_LIVED_JVM,
}

#: On a cluster with Kerberos: what Spark's own ports and pages take, and from whom.
SECURE_DEFAULTS: dict[str, str] = {
    "spark.authenticate": "true",
    "spark.network.crypto.enabled": "true",
    "spark.acls.enable": "true",
    "spark.ui.killEnabled": "false",
}

#: Nothing of a local kernel may be reached from another host; port 0 lets any number run side by side.
LOCAL_DEFAULTS: dict[str, str] = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.defaultJavaOptions": LONG_LIVED_JVM,
    "spark.ui.port": "0",
    "spark.ui.showConsoleProgress": "false",
}


@dataclass(frozen=True)
class Command:
    """One process to start.

    Attributes
    ----------
    argv : tuple of str
    env : mapping of str to str
        The whole environment.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]


def refuse_forced(spec: LaunchSpec) -> None:
    """Refuse settings of the spec that can't be changed.

    Raises
    ------
    ConfigurationError
    """
    for name in spec.spark_conf:
        if name in FORCED:
            raise ConfigurationError(
                f"The Spark setting {name} can't be set for a kernel: {FORCED[name]}.",
                hint="Remove it from the kernelspec's spark_conf.",
            )


def parse_spark_defaults(text: str) -> dict[str, str]:
    """The settings of a ``spark-defaults.conf``: ``name value``, ``name=value`` or ``name: value`` a line."""
    lines = re.sub(r"\\\r?\n[ \t]*", "", text).splitlines()
    pairs = (re.match(r"\s*(spark\.[^\s=:]+)(?:\s*[=:]\s*|\s+)(.*?)\s*\Z", line) for line in lines)
    return {pair[1]: pair[2] for pair in pairs if pair}


def yarn_conf(
    spec: LaunchSpec,
    defaults: Mapping[str, str],
    archive: str | None,
    version: str,
    is_secure: bool = False,
    jvm_options: str = "",
    jars: Sequence[str] = (),
) -> dict[str, str]:
    """What a submit to YARN sets, over what spark-defaults.conf sets.

    Parameters
    ----------
    spec : LaunchSpec
    defaults : mapping of str to str
        The settings of spark-defaults.conf.
    archive : str or None
        URI of Spark's staged jars.
    version : str
        Spark's version.
    is_secure : bool
        Whether the cluster uses Kerberos.
    jvm_options : str
        More of the driver's and the executors' own, in front of everybody else's.
    jars : sequence of str
        The spec's, where they are now: URIs of staged ones, paths of others.
    """
    ours = dict(YARN_DEFAULTS) | (SECURE_DEFAULTS if is_secure else {})
    if jvm_options:
        for name in ("spark.driver.defaultJavaOptions", "spark.executor.defaultJavaOptions"):
            ours[name] += f" {jvm_options}"
    # Failures of last Monday must not end a kernel that is a week old (exit code 11).
    prefix = "spark.yarn.executor" if version.startswith("3.4") else "spark.executor"
    ours[f"{prefix}.failuresValidityInterval"] = "1h"
    if archive and not {"spark.yarn.archive", "spark.yarn.jars"} & {*defaults, *spec.spark_conf}:
        ours["spark.yarn.archive"] = archive
    if {"spark.driver.memoryOverheadFactor"} & {*defaults, *spec.spark_conf}:
        del ours["spark.driver.memoryOverhead"]
    conf = {name: value for name, value in ours.items() if name not in defaults}
    # The context, the kernel and the executors must run the same Python.
    conf |= {"spark.pyspark.python": spec.python, "spark.pyspark.driver.python": spec.python}
    conf |= spec.spark_conf
    conf |= _with_jars(jars, defaults, conf)
    conf |= {"spark.yarn.maxAppAttempts": "1", "spark.yarn.submit.waitAppCompletion": "false"}
    if spec.tags:
        conf["spark.yarn.tags"] = ",".join(spec.tags)
    return conf


def granted(service: str, *layers: Mapping[str, str]) -> dict[str, str]:
    """The settings that let the service see and end an application that it submitted for somebody.

    Spark grants that to the submitter's Unix account, which need not be called like its principal
    (``YarnSparkHadoopUtil.getApplicationAclsForYarn``); without it YARN keeps host and diagnostics to itself.

    Parameters
    ----------
    service : str
        What the cluster calls the service.
    *layers : mapping of str to str
        Settings that are in force, later ones winning; who is named there stays.
    """
    effective = {name: value for layer in layers for name, value in layer.items()}
    lists = {name: effective.get(name, "").split(",") for name in ("spark.ui.view.acls", "spark.modify.acls")}
    return {
        name: ",".join(dict.fromkeys([*filter(None, map(str.strip, users)), service]))
        for name, users in lists.items()
    }


def yarn_command(
    spec: LaunchSpec,
    conf: Mapping[str, str],
    *,
    bundle: str,
    registration: Path,
    java: Java,
    environ: Mapping[str, str],
    hadoop_conf_dir: str,
    log4j: Path | None = None,
    files: Sequence[Path] = (),
) -> Command:
    """The submit of an application to YARN.

    Parameters
    ----------
    spec : LaunchSpec
    conf : mapping of str to str
        From :func:`yarn_conf`.
    bundle : str
        The launchers' zip: a local path, or the URI of the staged one.
    registration : Path
        Local file named ``registration.json``.
    java : Java
    environ : mapping of str to str
        The server's environment.
    hadoop_conf_dir : str
    log4j : Path or None
        log4j2 settings of the submitting JVM, so that what it prints can be read.
    files : sequence of Path
        More local files for the containers' working directories.
    """
    argv = [f"{spec.spark_home}/bin/spark-submit", "--master", "yarn", "--deploy-mode", "cluster"]
    argv += ["--name", spec.name]
    if spec.proxy_user:
        argv += ["--proxy-user", spec.proxy_user]
    if spec.queue:
        argv += ["--queue", spec.queue]
    argv += ["--files", ",".join(map(str, [registration, *files]))]
    argv += [part for name in sorted(conf) for part in ("--conf", f"{name}={conf[name]}")]
    argv += [bundle, REGISTRATION_NAME]
    # The configuration that it zips for the container goes there, and goes with the directory.
    options = f'{SHORT_LIVED_JVM} "-Djava.io.tmpdir={registration.parent}"'
    if log4j:
        options += f" -Dlog4j2.configurationFile={log4j.as_uri()}"
    env = submit_environment(environ, java, spec.spark_home, options)
    env["HADOOP_CONF_DIR"] = hadoop_conf_dir
    env.pop("YARN_CONF_DIR", None)  # one directory says where the cluster is
    return Command(tuple(argv), env)


def local_conf(spec: LaunchSpec, defaults: Mapping[str, str], directory: Path) -> dict[str, str]:
    """What a local kernel's spark-submit sets; its scratch files go below its own directory."""
    conf = {name: value for name, value in LOCAL_DEFAULTS.items() if name not in defaults}
    if "spark.local.dir" not in defaults:
        conf["spark.local.dir"] = str(directory / "tmp")
    conf |= {"spark.pyspark.python": spec.python, "spark.pyspark.driver.python": spec.python}
    conf |= spec.spark_conf
    return conf | _with_jars(spec.jars, defaults, conf)


def _with_jars(jars: Sequence[str], *layers: Mapping[str, str]) -> dict[str, str]:
    """``spark.jars`` with these in addition to those of the layers, of which later ones win."""
    effective = {name: value for layer in layers for name, value in layer.items()}
    others = [effective["spark.jars"]] if effective.get("spark.jars") else []
    return {"spark.jars": ",".join([*others, *jars])} if jars else {}


def local_command(
    spec: LaunchSpec,
    conf: Mapping[str, str],
    *,
    bundle: str,
    directory: Path,
    java: Java,
    environ: Mapping[str, str],
) -> Command:
    """The spark-submit of a local kernel: the same supervisor, forked by the JVM as on YARN."""
    argv = [f"{spec.spark_home}/bin/spark-submit", "--master", spec.master, "--name", spec.name]
    argv += [part for name in sorted(conf) for part in ("--conf", f"{name}={conf[name]}")]
    argv += [bundle, REGISTRATION_NAME]
    options = f'-XX:+IgnoreUnrecognizedVMOptions -XX:-UsePerfData "-Djava.io.tmpdir={directory}/tmp"'
    env = submit_environment(environ, java, spec.spark_home, options)
    env["SPARK_LOCAL_IP"] = "127.0.0.1"
    return Command(tuple(argv), env)


def plain_command(spec: LaunchSpec, *, bundle: str, environ: Mapping[str, str]) -> Command:
    """The supervisor without Spark and without a JVM."""
    return Command((spec.python, "-u", bundle, REGISTRATION_NAME), base_environment(environ))
