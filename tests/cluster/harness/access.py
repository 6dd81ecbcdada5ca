"""How a cluster's web servers know who asks, and clients of them for the harness itself."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.harness.layout import Layout
from tests.cluster.harness.resource_manager import ResourceManager
from tests.cluster.harness.web import Authenticate, by_name
from tests.cluster.harness.webhdfs import WebHdfs


def authentication(layout: Layout) -> Authenticate:
    """Give what makes a request one of somebody's: a ticket, or the name alone."""
    return layout.realm.negotiate if layout.realm else by_name


def authority(layout: Layout) -> Path | None:
    """Give the file with whom to believe; None without HTTPS."""
    return layout.tls.ca_file if layout.tls else None


def resource_manager(layout: Layout) -> ResourceManager:
    """Give the ResourceManager, asked by the administrator."""
    return ResourceManager(
        layout.resource_manager_urls, layout.administrator, authentication(layout), authority(layout)
    )


def webhdfs(layout: Layout) -> WebHdfs:
    """Give HDFS, asked by its superuser."""
    return WebHdfs(layout.namenode_url, layout.superuser, authentication(layout), authority(layout))
