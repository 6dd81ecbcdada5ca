"""Real Hadoop clusters on this machine, for the tests and for people."""

from __future__ import annotations

from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.daemon import Daemon
from tests.cluster.harness.errors import HarnessError
from tests.cluster.harness.network import Worker

__all__ = ["Cluster", "Daemon", "HarnessError", "Worker"]
