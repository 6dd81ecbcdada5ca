"""Hadoop's client configuration: where the ResourceManagers, the default file system and WebHDFS are."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import ConfigurationError

#: In the order in which Hadoop's clients load them; the later one wins.
FILES = ("core-site.xml", "hdfs-site.xml", "yarn-site.xml")

#: The part of Hadoop's defaults (``core-default.xml`` and its like) that is asked for here.
DEFAULTS = {
    "fs.defaultFS": "file:///",
    "hadoop.security.authentication": "simple",
    "yarn.http.policy": "HTTP_ONLY",
    "yarn.resourcemanager.hostname": "0.0.0.0",
    "yarn.resourcemanager.webapp.address": "${yarn.resourcemanager.hostname}:8088",
    "yarn.resourcemanager.webapp.https.address": "${yarn.resourcemanager.hostname}:8090",
    "yarn.resourcemanager.ha.enabled": "false",
    "dfs.http.policy": "HTTP_ONLY",
    "dfs.namenode.http-address": "0.0.0.0:9870",
    "dfs.namenode.https-address": "0.0.0.0:9871",
}

#: ``${name}``, ``${env.NAME}``, ``${env.NAME:-value}`` (``org.apache.hadoop.conf.Configuration``).
REFERENCE = re.compile(r"\$\{([^}$\s]+)\}")
MAX_EXPANSIONS = 20
XINCLUDE = "{http://www.w3.org/2001/XInclude}include"
HINT = "Set HADOOP_CONF_DIR (or the trait hadoop_conf_dir) to the directory with the cluster's *-site.xml."


class HadoopConf:
    """The settings of one HADOOP_CONF_DIR.

    Parameters
    ----------
    directory : str
        Where they come from, for messages.
    properties : mapping of str to str
        The settings as written, without Hadoop's defaults.
    environ : mapping of str to str
        For ``${env.NAME}``.
    """

    def __init__(
        self, directory: str, properties: Mapping[str, str], environ: Mapping[str, str] | None = None
    ) -> None:
        self.directory = directory
        self._properties = {**DEFAULTS, **properties}
        self._environ = environ or {}

    def get(self, name: str, default: str = "") -> str:
        """A setting with its references expanded."""
        value = self._properties.get(name)
        return default if value is None else expand(value, self._properties.get, self._environ).strip()

    def is_true(self, name: str) -> bool:
        """Whether a setting is ``true``."""
        return self.get(name).lower() == "true"

    def names(self, name: str) -> list[str]:
        """A setting that is a list with commas."""
        return [part.strip() for part in self.get(name).split(",") if part.strip()]

    @property
    def is_secure(self) -> bool:
        """Whether the cluster uses Kerberos."""
        return self.get("hadoop.security.authentication").lower() == "kerberos"

    @property
    def default_fs(self) -> str:
        """The default file system, like ``hdfs://namenode:8020``."""
        return self.get("fs.defaultFS").rstrip("/") or "file://"

    def resource_managers(self) -> list[str]:
        """Addresses of the ResourceManagers' web services, like ``http://rm1:8088``.

        Raises
        ------
        ConfigurationError
            The files don't say where the ResourceManager is.
        """
        https = self.get("yarn.http.policy").upper() == "HTTPS_ONLY"
        name = "yarn.resourcemanager.webapp.https.address" if https else "yarn.resourcemanager.webapp.address"
        scheme, port = ("https", "8090") if https else ("http", "8088")
        ids = self.names("yarn.resourcemanager.ha.rm-ids")
        if ids and self.is_true("yarn.resourcemanager.ha.enabled"):
            hosts = {rm: self.get(f"yarn.resourcemanager.hostname.{rm}") for rm in ids}
            found = [(self.get(f"{name}.{rm}") or f"{hosts[rm]}:{port}", hosts[rm]) for rm in ids]
        else:
            found = [(self.get(name), self.get("yarn.resourcemanager.hostname"))]
        addresses = [_connectable(address, host) for address, host in found]
        if not all(addresses):
            raise ConfigurationError(
                f"The yarn-site.xml in HADOOP_CONF_DIR={self.directory} does not say where the"
                " ResourceManager is: there is no yarn.resourcemanager.hostname.",
                hint=HINT,
            )
        return [f"{scheme}://{address}" for address in addresses]

    def hdfs(self) -> list[str]:
        """The HDFS behind the default file system: itself, or what the mount table of a viewfs links to."""
        fs = urlsplit(self.default_fs)
        if fs.scheme != "viewfs":
            return [self.default_fs] if fs.scheme == "hdfs" else []
        links = f"fs.viewfs.mounttable.{fs.netloc or 'default'}.link"
        targets = (self.get(name).split(",") for name in self._properties if name.startswith(links))
        found = (urlsplit(target.strip()) for several in targets for target in several)
        return sorted({f"hdfs://{target.netloc}" for target in found if target.scheme == "hdfs"})

    def webhdfs(self, file_system: str = "") -> list[str]:
        """Addresses of the web services of a file system's NameNodes, by default the default one's; none when
        it is not HDFS."""
        fs = urlsplit(file_system or self.default_fs)
        if fs.scheme in ("webhdfs", "swebhdfs"):
            return [f"{'https' if fs.scheme == 'swebhdfs' else 'http'}://{fs.netloc}"]
        if fs.scheme != "hdfs" or not fs.hostname:
            return []
        https = self.get("dfs.http.policy").upper() == "HTTPS_ONLY"
        name = "dfs.namenode.https-address" if https else "dfs.namenode.http-address"
        service = fs.hostname
        if service in {known.lower() for known in self.names("dfs.nameservices")}:
            service = next(s for s in self.names("dfs.nameservices") if s.lower() == service)
            nodes = self.names(f"dfs.ha.namenodes.{service}")
            keys = [f"{name}.{service}.{node}" for node in nodes] or [f"{name}.{service}"]
            addresses = [self.get(key) for key in keys]
        else:
            addresses = [_connectable(self.get(name), fs.hostname)]
        return [f"{'https' if https else 'http'}://{address}" for address in addresses if address]


def expand(value: str, lookup: Callable[[str], str | None], environ: Mapping[str, str]) -> str:
    """Expand ``${…}`` as Hadoop does: what is unknown stays, and there is an end after twenty rounds."""
    for _ in range(MAX_EXPANSIONS):
        for found in REFERENCE.finditer(value):
            name = found[1]
            if name.startswith("env."):
                variable, dash, fallback = name[4:].partition("-")
                replacement = environ.get(variable.rstrip(":"), "") or (fallback if dash else None)
            else:
                replacement = lookup(name)
            if replacement is not None and replacement != found[0]:
                value = value[: found.start()] + replacement + value[found.end() :]
                break
        else:
            return value
    return value


def parse_site(text: str | bytes, include: Callable[[str], str | bytes | None]) -> Iterator[tuple[str, str]]:
    """Names and values of one configuration file, in order.

    Parameters
    ----------
    text : str or bytes
    include : callable
        Reads the file that an ``xi:include`` names.

    Raises
    ------
    xml.etree.ElementTree.ParseError
    """
    for element in ElementTree.fromstring(text):
        if element.tag == XINCLUDE:
            included = include(element.get("href", ""))
            if included is not None:
                yield from parse_site(included, include)
            continue
        name = element.get("name") or element.findtext("name") or ""
        value = element.get("value")
        if value is None:
            value = element.findtext("value")
        if element.tag == "property" and name.strip() and value is not None:
            yield name.strip(), value


def read_hadoop_conf(directory: str, environ: Mapping[str, str]) -> HadoopConf:
    """Read a HADOOP_CONF_DIR.

    Raises
    ------
    ConfigurationError
        It is not set, missing, unreadable or malformed; names HADOOP_CONF_DIR.
    """
    if not directory:
        raise ConfigurationError("HADOOP_CONF_DIR is not set, so the cluster is not known.", hint=HINT)
    path = Path(directory).expanduser()
    if not path.is_dir():
        raise ConfigurationError(f"HADOOP_CONF_DIR={directory} is not a directory.", hint=HINT)

    def include(href: str) -> bytes | None:
        included = path / href.removeprefix("file://")
        return included.read_bytes() if href and included.is_file() else None

    properties: dict[str, str] = {}
    found = 0
    for name in FILES:
        file = path / name
        try:
            properties.update(parse_site(file.read_bytes(), include))
            found += 1
        except FileNotFoundError:
            continue
        except (OSError, ElementTree.ParseError) as error:
            raise ConfigurationError(
                f"{name} in HADOOP_CONF_DIR={directory} can't be read: {error}.", hint=HINT
            ) from error
    if not found:
        raise ConfigurationError(f"HADOOP_CONF_DIR={directory} has none of {', '.join(FILES)}.", hint=HINT)
    return HadoopConf(str(path.resolve()), properties, environ)


def _connectable(address: str, host: str) -> str:
    """The address of a service that may be written as "every interface" of its host; "" when unknown."""
    name, _, port = address.rpartition(":")
    if name not in ("0.0.0.0", ""):
        return address
    return f"{host}:{port}" if host not in ("0.0.0.0", "") else ""
