"""`jupyter sparkkernels stage`: put Spark's jars and the launchers on the cluster's file system, once."""

from __future__ import annotations

import argparse

from ..cluster.access import Access
from ..cluster.bundle import launchers_bundle
from ..cluster.spark_home import inspect_spark_home
from ..cluster.yarn import YarnBackend
from .access import cluster_settings

NAME = "stage"
SUMMARY = "put Spark's jars and the launchers on the cluster's file system"
DESCRIPTION = (
    "Put Spark's jars and the launchers on the cluster's file system, where kernels find them by their"
    " content. Safe to repeat: what is there already is left alone. What is not given here is read from"
    " SPARKKERNELS_<SETTING> in the environment."
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
    staged = backend.staging().stage(home, launchers_bundle(), tell=lambda text: print(text, flush=True))
    print(f"Spark {home.version}: {staged.archive}")
    print(f"Launchers: {staged.bundle}")
