"""How a Hadoop class is run: command line and environment."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from tests.cluster.harness.layout import Layout
from tests.cluster.harness.processes import MARK


def java_command(
    layout: Layout, place: str, main_class: str, *options: str, first: Path | None = None
) -> list[str]:
    """Give the command line of a Hadoop class: a small JVM that starts fast rather than runs fast.

    Parameters
    ----------
    layout : Layout
        The cluster.
    place : str
        Whose configuration to use: ``host`` or a worker's name.
    main_class : str
        What to run.
    *options : str
        More JVM options.
    first : Path, optional
        What is on the classpath before the jars.

    Returns
    -------
    list of str
        The command, to which arguments can be appended.
    """
    command = [
        java(layout),
        *("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"),
        "-Djava.net.preferIPv4Stack=true",
        f"-Djava.io.tmpdir={layout.directory}/tmp",
        f"-Dhadoop.log.dir={layout.logs}",
        f"-Dyarn.log.dir={layout.logs}",
        *options,
    ]
    if layout.realm:
        command.append(layout.realm.java_option)
    if layout.subnet and place == "host":
        # Lookups of the workers' addresses end here, not in a time-out of the site's name servers.
        command.append(f"-Djdk.net.hosts.file={layout.hosts_file}")
    classpath = [str(layout.server_conf(place)), *([str(first)] if first else []), f"{layout.jars}/*"]
    return [*command, "-cp", ":".join(classpath), main_class]


def java(layout: Layout) -> str:
    """Give the program that runs Java classes."""
    return str(layout.java_home / "bin" / "java")


def environment(layout: Layout, place: str) -> dict[str, str]:
    """Give a daemon's environment, nothing of which comes from the tests' but PATH and the account.

    Parameters
    ----------
    layout : Layout
        The cluster.
    place : str
        Whose configuration to use: ``host`` or a worker's name.

    Returns
    -------
    dict of str to str
        Variables; the mark among them.
    """
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.environ.get("HOME", "/"),
        "USER": pwd.getpwuid(os.geteuid()).pw_name,
        "LANG": "C.UTF-8",
        "JAVA_HOME": str(layout.java_home),
        "HADOOP_CONF_DIR": str(layout.server_conf(place)),
        MARK: str(layout.directory),
    }
