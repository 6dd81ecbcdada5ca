"""Writing configuration directories: for the daemons of each place, and for clients."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from tests.cluster.harness.errors import HarnessError
from tests.cluster.harness.layout import Layout, Sites
from tests.cluster.harness.settings import SITE_FILES, client_sites, host_sites, worker_sites

_LOG4J = """\
log4j.rootLogger=INFO, console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{2}: %m%n
"""

#: HDFS's web servers insist on these directories, which Hadoop's distribution has and its jars lack.
_WEB_APPLICATIONS = ("hdfs", "datanode", "static")


def write(layout: Layout) -> None:
    """Write every configuration directory of a cluster.

    Parameters
    ----------
    layout : Layout
        The cluster; its directory exists.

    Raises
    ------
    HarnessError
        When the layout's extra settings name a file that is none of Hadoop's.
    """
    if unknown := set(layout.extra_sites) - set(SITE_FILES):
        raise HarnessError(
            f"Settings for {sorted(unknown)}: the harness writes {', '.join(SITE_FILES)} only."
        )
    _write_sites(layout.client_conf, client_sites(layout))
    _write_server(layout.server_conf("host"), host_sites(layout))
    for node in layout.nodes:
        _write_server(layout.server_conf(node.name), worker_sites(layout, node))


def _write_server(directory: Path, sites: Sites) -> None:
    """Write what a daemon has on its classpath besides the jars."""
    _write_sites(directory, sites)
    (directory / "log4j.properties").write_text(_LOG4J)
    for application in _WEB_APPLICATIONS:
        target = directory / "webapps" / application / "WEB-INF"
        target.mkdir(parents=True)
        (target / "web.xml").write_text("<web-app/>\n")


def _write_sites(directory: Path, sites: Sites) -> None:
    """Write Hadoop's XML files."""
    directory.mkdir(parents=True)
    for name, properties in sites.items():
        root = ElementTree.Element("configuration")
        for key, value in sorted(properties.items()):
            entry = ElementTree.SubElement(root, "property")
            ElementTree.SubElement(entry, "name").text = key
            ElementTree.SubElement(entry, "value").text = value
        ElementTree.indent(root)
        ElementTree.ElementTree(root).write(directory / name, encoding="utf-8", xml_declaration=True)
