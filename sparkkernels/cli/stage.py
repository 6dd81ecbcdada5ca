"""`jupyter sparkkernels stage`: put Spark's jars, the launchers and kernels' jars on the cluster, once."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

from jupyter_client.kernelspec import KernelSpecManager

from ..cluster.access import Access
from ..cluster.bundle import launchers_bundle
from ..cluster.jars import read_jars
from ..cluster.spark_home import inspect_spark_home
from ..cluster.yarn import YarnBackend
from ..kernelspecs import is_spark, startable
from .access import cluster_settings

NAME = "stage"
SUMMARY = "put Spark's jars, the launchers and kernels' jars on the cluster's file system"
DESCRIPTION = (
    "Put Spark's jars, the launchers and the jars of installed kernels on the cluster's file system, where"
    " kernels find them by their content. Safe to repeat: what is there already is left alone. What is not"
    " given here is read from SPARKKERNELS_<SETTING> in the environment."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command."""
    add = parser.add_argument
    add("--spark-home", metavar="DIR", help="Spark on this machine (default: SPARK_HOME)")
    add("--hadoop-conf-dir", metavar="DIR", help="where core-site.xml is (default: HADOOP_CONF_DIR)")
    add(
        "--staging-dir",
        metavar="DIR_OR_URI",
        help="on the cluster's file system (default: .sparkkernels in your home there); the kernels' setting"
        " staging_dir must name the same",
    )
    add(
        "--jar",
        action="append",
        default=[],
        metavar="PATH",
        help="a jar of kernels whose kernelspecs are not found from here; may be repeated",
    )


def run(options: argparse.Namespace) -> None:
    """Stage, telling each step, and say where things are."""
    names = ("spark_home", "hadoop_conf_dir", "staging_dir")
    settings = cluster_settings({name: getattr(options, name) for name in names})
    home = inspect_spark_home(settings.spark_home)
    backend = YarnBackend(
        settings.hadoop_conf_dir,
        settings.spark_home,
        settings.staging_dir,
        tuple(settings.staging_admins),
        access=Access(ca_file=settings.ca_file),
    )
    jars = read_jars(dict.fromkeys([*installed_jars(), *settings.jars, *map(os.path.abspath, options.jar)]))
    staged = backend.staging().stage(
        home, launchers_bundle(), jars, tell=lambda text: print(text, flush=True)
    )
    print(f"Spark {home.version}: {staged.archive}")
    print(f"Launchers: {staged.bundle}")
    for path, uri in staged.jars.items():
        print(f"{path}: {uri}")


def installed_jars() -> Iterator[str]:
    """The jars of kernels on YARN whose kernelspecs Jupyter finds here."""
    manager = KernelSpecManager()
    specs = [startable(manager, name) for name in sorted(manager.find_kernel_specs())]
    for spec in specs:
        if spec is not None and is_spark(spec):
            config = spec.metadata.get("kernel_provisioner", {}).get("config", {})
            yield from config.get("jars", []) if config.get("master", "yarn") == "yarn" else []
