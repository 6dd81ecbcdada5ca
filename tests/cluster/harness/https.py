"""Hadoop's settings for HTTPS: values in, values out."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.harness.layout import Sites
from tests.cluster.harness.tls import Tls

#: Found by Hadoop on the classpath, under the names that ``hadoop.ssl.{client,server}.conf`` has by default.
CLIENT_FILE, SERVER_FILE = "ssl-client.xml", "ssl-server.xml"
_ONLY = "HTTPS_ONLY"


def client_https(tls: Tls) -> Sites:
    """Give what a client needs to know of a cluster that speaks HTTPS only.

    Parameters
    ----------
    tls : Tls
        The cluster's.

    Returns
    -------
    dict
        File name, then property, then value.
    """
    return {
        "hdfs-site.xml": {"dfs.http.policy": _ONLY},
        "yarn-site.xml": {"yarn.http.policy": _ONLY},
        CLIENT_FILE: _store("ssl.client.truststore", tls.truststore),
    }


def server_https(tls: Tls) -> Sites:
    """Give what every daemon needs in addition."""
    passwords = {f"ssl.server.keystore.{name}": tls.password for name in ("password", "keypassword")}
    return {SERVER_FILE: {**_store("ssl.server.keystore", tls.keystore), **passwords}}


def _store(prefix: str, location: Path) -> dict[str, str]:
    """Give where a store is, and what: Java's own kind is the default."""
    return {f"{prefix}.location": str(location), f"{prefix}.type": "pkcs12"}
