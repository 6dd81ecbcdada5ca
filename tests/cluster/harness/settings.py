"""Hadoop's settings for a layout: values in, values out."""

from __future__ import annotations

from tests.cluster.harness import https, security
from tests.cluster.harness.layout import Layout, Node, Sites

#: The people who have a home in HDFS and may be proxied by the submitter.
USERS = ("alice", "bob")

#: What a ResourceManager listens for, and how `host_ports` calls that.
_MANAGER_INTERFACES = {
    "address": "",
    "scheduler.address": "-scheduler",
    "resource-tracker.address": "-tracker",
    "admin.address": "-admin",
    "webapp.address": "-http",
}

#: The system property with the id of a ResourceManager, and the setting that is made of it.
MANAGER_ID_PROPERTY = "sparkkernels.resourcemanager"
_OWN_ID = "yarn.resourcemanager.ha.id"

SITE_FILES = ("core-site.xml", "hdfs-site.xml", "yarn-site.xml", "capacity-scheduler.xml")


def client_sites(layout: Layout) -> Sites:
    """Give what a client of the cluster needs to know, spark-submit and the containers included.

    Parameters
    ----------
    layout : Layout
        The cluster.

    Returns
    -------
    dict
        File name, then property, then value.
    """
    ours = _client_sites(layout)
    extra = {name: values for name, values in layout.extra_sites.items() if name in ours}
    return _merged(ours, extra)


def _client_sites(layout: Layout) -> Sites:
    """Give the part of the settings that clients and daemons share."""
    host, ports = layout.host, layout.ports
    ours = {
        "core-site.xml": {
            "fs.defaultFS": layout.default_fs,
            "ipc.client.connect.retry.interval": "200",
        },
        "hdfs-site.xml": {
            "dfs.replication": "1",
            f"dfs.namenode.{layout.scheme}-address": f"{host}:{ports['namenode-http']}",
        },
        "yarn-site.xml": {
            # With the defaults, 30 s and 10 s, an application would sleep through every restart of a daemon.
            "yarn.resourcemanager.connect.retry-interval.ms": "500",
            "yarn.client.nodemanager-connect.retry-interval-ms": "500",
            **_managers(layout),
        },
    }
    return _merged(
        ours,
        security.client_security(layout.realm) if layout.realm else {},
        https.client_https(layout.tls) if layout.tls else {},
    )


def _managers(layout: Layout) -> dict[str, str]:
    """Give where the ResourceManagers are, and how clients find the active one of several."""
    found = {}
    for manager_id, name in layout.managers.items():
        suffix = f".{manager_id}" if manager_id else ""
        found[f"yarn.resourcemanager.hostname{suffix}"] = layout.host
        for interface, port in _MANAGER_INTERFACES.items():
            address = f"{layout.host}:{layout.ports[f'{name}{port}']}"
            if layout.https and interface == "webapp.address":
                interface = "webapp.https.address"
            found[f"yarn.resourcemanager.{interface}{suffix}"] = address
    if layout.manager_ids:
        found |= {
            "yarn.resourcemanager.ha.enabled": "true",
            "yarn.resourcemanager.cluster-id": layout.name,
            "yarn.resourcemanager.ha.rm-ids": ",".join(layout.manager_ids),
            # Without ZooKeeper it is people who decide.
            "yarn.resourcemanager.ha.automatic-failover.enabled": "false",
            # With the defaults clients take more than a minute to find the other one.
            "yarn.resourcemanager.connect.retry-interval.ms": "200",
            "yarn.client.failover-sleep-base-ms": "200",
            "yarn.client.failover-sleep-max-ms": "500",
        }
    return found


def host_sites(layout: Layout) -> Sites:
    """Give the settings of NameNode and ResourceManager.

    Parameters
    ----------
    layout : Layout
        The cluster.

    Returns
    -------
    dict
        File name, then property, then value.
    """
    data = layout.data("host")
    return _merged(
        _client_sites(layout),
        {
            "core-site.xml": _server_core(layout, "host"),
            "hdfs-site.xml": {
                "dfs.namenode.name.dir": f"file://{data}/namenode",
                "dfs.namenode.safemode.extension": "0",
                "dfs.namenode.handler.count": "4",
                # Workers have names that only they themselves can look up.
                "dfs.namenode.datanode.registration.ip-hostname-check": "false",
            },
            "yarn-site.xml": {
                # Said by each daemon's command line: two on one host can't tell it by their address.
                **({_OWN_ID: f"${{{MANAGER_ID_PROPERTY}}}"} if layout.manager_ids else {}),
                "yarn.acl.enable": "true",
                "yarn.admin.acl": layout.administrator,
                "yarn.scheduler.minimum-allocation-mb": "128",
                "yarn.scheduler.maximum-allocation-mb": "8192",
                "yarn.resourcemanager.nodemanagers.heartbeat-interval-ms": "100",
                # Applications outlive a ResourceManager, as on any cluster in production.
                "yarn.resourcemanager.recovery.enabled": "true",
                "yarn.resourcemanager.store.class": (
                    "org.apache.hadoop.yarn.server.resourcemanager.recovery.FileSystemRMStateStore"
                ),
                "yarn.resourcemanager.fs.state-store.uri": f"file://{data}/resourcemanager",
                "yarn.resourcemanager.work-preserving-recovery.scheduling-wait-ms": "500",
                # The default is one place for all clusters of an account.
                "yarn.node-attribute.fs-store.root-dir": f"file://{data}/node-attributes",
            },
            "capacity-scheduler.xml": _queues(layout),
        },
        security.host_security(layout.realm) if layout.realm else {},
        https.server_https(layout.tls) if layout.tls else {},
        layout.extra_sites,
    )


def worker_sites(layout: Layout, node: Node) -> Sites:
    """Give the settings of a worker's DataNode and NodeManager.

    Parameters
    ----------
    layout : Layout
        The cluster.
    node : Node
        The worker.

    Returns
    -------
    dict
        File name, then property, then value.
    """
    data, ports = layout.data(node.name), node.ports
    web = ".https" if layout.https else ""
    return _merged(
        _client_sites(layout),
        {
            "core-site.xml": _server_core(layout, node.name),
            "hdfs-site.xml": {
                "dfs.datanode.data.dir": f"file://{data}/datanode",
                "dfs.datanode.hostname": node.address,
                "dfs.datanode.address": f"{node.address}:{ports['datanode']}",
                f"dfs.datanode.{layout.scheme}.address": f"{node.address}:{ports['datanode-http']}",
                "dfs.datanode.ipc.address": f"{node.address}:{ports['datanode-ipc']}",
                "dfs.heartbeat.interval": "1",
            },
            "yarn-site.xml": {
                "yarn.acl.enable": "true",
                "yarn.admin.acl": layout.administrator,
                "yarn.nodemanager.hostname": node.address,
                "yarn.nodemanager.address": f"{node.address}:{ports['nodemanager']}",
                "yarn.nodemanager.localizer.address": f"{node.address}:{ports['nodemanager-localizer']}",
                f"yarn.nodemanager.webapp{web}.address": f"{node.address}:{ports['nodemanager-http']}",
                "yarn.nodemanager.resource.memory-mb": str(node.memory_mb),
                "yarn.nodemanager.resource.cpu-vcores": str(node.vcores),
                "yarn.nodemanager.local-dirs": f"{data}/local",
                "yarn.nodemanager.log-dirs": f"{data}/logs",
                "yarn.nodemanager.delete.debug-delay-sec": "0",
                "yarn.nodemanager.disk-health-checker.enable": "false",
                # Supervised: a NodeManager that is stopped leaves its containers to its successor.
                "yarn.nodemanager.recovery.enabled": "true",
                "yarn.nodemanager.recovery.supervised": "true",
                "yarn.nodemanager.recovery.dir": f"{data}/recovery",
                "yarn.nodemanager.resource.memory.enforced": "false",
                "yarn.nodemanager.pmem-check-enabled": "true",
                "yarn.nodemanager.vmem-check-enabled": "false",
                "yarn.nodemanager.container-monitor.interval-ms": "500",
                # Logs stay where tests look for them. With Kerberos it needs Hadoop's native library.
                "yarn.log-aggregation-enable": "false",
            },
        },
        security.worker_security(layout.realm, layout.tls) if layout.realm else {},
        https.server_https(layout.tls) if layout.tls else {},
        layout.extra_sites,
    )


def _server_core(layout: Layout, place: str) -> dict[str, str]:
    """Give what every daemon has in core-site.xml."""
    submitter = layout.submitter
    addresses = {"127.0.0.1", *(node.address for node in layout.nodes if node.namespace)}
    if layout.subnet:
        addresses.add(layout.host)
    # A static mapping: the users of the tests have no accounts on this machine.
    groups = {**{user: user for user in USERS}, submitter: "supergroup", "dr.who": ""}
    if layout.realm:
        groups = security.groups()
    return {
        "hadoop.tmp.dir": f"{layout.data(place)}/tmp",
        f"hadoop.proxyuser.{submitter}.hosts": ",".join(sorted(addresses)),
        f"hadoop.proxyuser.{submitter}.users": ",".join(USERS),
        "hadoop.user.group.static.mapping.overrides": ";".join(f"{u}={g}" for u, g in groups.items()),
    }


def _queues(layout: Layout) -> dict[str, str]:
    """Give the queues: one to use, one that is full with one application, one that takes none."""
    prefix = "yarn.scheduler.capacity"
    return {
        f"{prefix}.root.queues": "default,tiny,stopped",
        f"{prefix}.root.acl_administer_queue": layout.administrator,
        f"{prefix}.maximum-am-resource-percent": "1.0",
        f"{prefix}.root.default.capacity": "98",
        f"{prefix}.root.default.maximum-capacity": "100",
        f"{prefix}.root.default.user-limit-factor": "10",
        # However small the share for application masters, YARN lets one application in, so that a queue is
        # never useless (LeafQueue.activateApplications); every further one stays ACCEPTED.
        f"{prefix}.root.tiny.capacity": "1",
        f"{prefix}.root.tiny.maximum-capacity": "100",
        f"{prefix}.root.tiny.user-limit-factor": "100",
        f"{prefix}.root.tiny.maximum-am-resource-percent": "0.0001",
        f"{prefix}.root.stopped.capacity": "1",
        f"{prefix}.root.stopped.state": "STOPPED",
    }


def _merged(*layers: Sites) -> Sites:
    """Lay sites on top of each other, later ones winning property by property."""
    merged: Sites = {}
    for layer in layers:
        for name, properties in layer.items():
            merged[name] = {**merged.get(name, {}), **properties}
    return merged
