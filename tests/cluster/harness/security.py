"""Hadoop's settings for Kerberos: values in, values out."""

from __future__ import annotations

from tests.cluster.harness.kerberos import PEOPLE, Realm
from tests.cluster.harness.layout import Sites
from tests.cluster.harness.tls import Tls

_INITIALIZERS = "hadoop.http.filter.initializers"


def client_security(realm: Realm) -> Sites:
    """Give what a client needs to know of a cluster with Kerberos.

    Parameters
    ----------
    realm : Realm
        The cluster's.

    Returns
    -------
    dict
        File name, then property, then value.
    """
    return {
        "core-site.xml": {
            "hadoop.security.authentication": "kerberos",
            "hadoop.security.auth_to_local": "DEFAULT",
        },
        "hdfs-site.xml": {
            "dfs.namenode.kerberos.principal": realm.principal("hdfs"),
            "dfs.datanode.kerberos.principal": realm.principal("hdfs"),
        },
        "yarn-site.xml": {
            "yarn.resourcemanager.principal": realm.principal("yarn"),
            "yarn.nodemanager.principal": realm.principal("yarn"),
        },
    }


def host_security(realm: Realm) -> Sites:
    """Give what NameNode and ResourceManager need in addition."""
    sites = _server_security(realm)
    sites["core-site.xml"][_INITIALIZERS] = "org.apache.hadoop.security.AuthenticationFilterInitializer"
    sites["hdfs-site.xml"] |= {
        "dfs.namenode.keytab.file": str(realm.keytab("hdfs")),
        "dfs.permissions.superusergroup": "supergroup",
    }
    sites["yarn-site.xml"] |= _yarn_server(realm, "resourcemanager")
    return sites


def worker_security(realm: Realm, tls: Tls | None) -> Sites:
    """Give what DataNode and NodeManager need in addition.

    Containers are told of the realm by the NodeManager, as on a site whose nodes have a krb5.conf, and of the
    authority, which Java there believes: whoever submits has nothing to do for it.
    """
    sites = _server_security(realm)
    # The plain filter of the host's daemons would have a NodeManager ignore doAs.
    sites["core-site.xml"][_INITIALIZERS] = (
        "org.apache.hadoop.security.authentication.server.ProxyUserAuthenticationFilterInitializer"
    )
    sites["hdfs-site.xml"] |= {
        "dfs.datanode.keytab.file": str(realm.keytab("hdfs")),
        # A DataNode wants ports that only root may use, or TLS.
        "ignore.secure.ports.for.testing": "true",
    }
    sites["yarn-site.xml"] |= _yarn_server(realm, "nodemanager")
    options = [realm.java_option, *([tls.java_option] if tls else [])]
    container = {
        "JAVA_TOOL_OPTIONS": " ".join(options),
        "KRB5_CONFIG": str(realm.conf),
    }
    sites["yarn-site.xml"]["yarn.nodemanager.admin-env"] = ",".join(f"{k}={v}" for k, v in container.items())
    return sites


def groups() -> dict[str, str]:
    """Give the groups of everybody who is known to a cluster with Kerberos, by user."""
    analysts = ("alice", "bob")
    return {
        **{user: f"{user},analysts" if user in analysts else user for user in PEOPLE},
        **{"jupyter": "jupyter", "hdfs": "supergroup", "yarn": "hadoop", "HTTP": "", "dr.who": ""},
    }


def _server_security(realm: Realm) -> Sites:
    """Give what every daemon has."""
    web = {"principal": realm.principal("HTTP"), "keytab": str(realm.keytab("HTTP"))}
    return {
        "core-site.xml": {
            "hadoop.security.authorization": "true",
            "hadoop.http.authentication.type": "kerberos",
            "hadoop.http.authentication.signature.secret.file": str(realm.http_secret),
            **{f"hadoop.http.authentication.kerberos.{key}": value for key, value in web.items()},
        },
        "hdfs-site.xml": {
            "dfs.block.access.token.enable": "true",
            **{f"dfs.web.authentication.kerberos.{key}": value for key, value in web.items()},
        },
        "yarn-site.xml": {},
    }


def _yarn_server(realm: Realm, kind: str) -> dict[str, str]:
    """Give the keys of a daemon of YARN."""
    return {
        f"yarn.{kind}.keytab": str(realm.keytab("yarn")),
        f"yarn.{kind}.webapp.spnego-principal": realm.principal("HTTP"),
        f"yarn.{kind}.webapp.spnego-keytab-file": str(realm.keytab("HTTP")),
    }
