"""Options of commands that ask a cluster: which one, and as whom."""

from __future__ import annotations

import argparse
import os
from typing import Any

from ..cluster.access import Access
from ..errors import ConfigurationError
from ..settings import Settings


def add_cluster_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--hadoop-conf-dir", metavar="DIR", help="where the *-site.xml are (default: HADOOP_CONF_DIR)")
    add("--spark-home", metavar="DIR", help="Spark on this machine (default: SPARK_HOME)")
    add("--principal", help="Kerberos principal to ask as (default: that of the ticket)")
    add("--keytab", metavar="FILE", help="its keytab")


def cluster_settings(given: dict[str, Any]) -> Settings:
    """The settings of a YARN cluster: the options that were given, else the environment's, else defaults."""
    return Settings(master="yarn", **{name: value for name, value in given.items() if value is not None})


def read_access(options: argparse.Namespace) -> tuple[Settings, Access]:
    """The cluster's settings, and how to prove who asks.

    The kernels' own principal in the environment is not looked at: whoever runs a command is somebody else.

    Raises
    ------
    ConfigurationError
    """
    if bool(options.principal) != bool(options.keytab):
        raise ConfigurationError("--principal and --keytab go together.")
    settings = cluster_settings({name: getattr(options, name) for name in ("hadoop_conf_dir", "spark_home")})
    keytab = os.path.abspath(options.keytab) if options.keytab else ""
    return settings, Access(options.principal or "", keytab, settings.ca_file)
