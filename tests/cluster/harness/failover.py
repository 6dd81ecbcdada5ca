"""What an administrator does: making a ResourceManager the active one, and HDFS read-only."""

from __future__ import annotations

import subprocess
import time

from tests.cluster.harness.access import resource_manager
from tests.cluster.harness.daemon import Daemon, tail
from tests.cluster.harness.errors import HarnessError
from tests.cluster.harness.jvm import environment, java_command
from tests.cluster.harness.layout import Layout
from tests.cluster.harness.web import WebError

_ADMIN_CLASS = "org.apache.hadoop.yarn.client.cli.RMAdminCLI"
_HDFS_CLASS = "org.apache.hadoop.hdfs.tools.DFSAdmin"
_COMMAND_TIMEOUT_S = 60
_NODES_TIMEOUT_S = 60.0


def transition(layout: Layout, daemons: list[Daemon], to: str) -> None:
    """Make a ResourceManager the active one, and wait until the NodeManagers have found it.

    Parameters
    ----------
    layout : Layout
        The cluster.
    daemons : list of Daemon
        All of its daemons.
    to : str
        The id of a ResourceManager that runs.

    Raises
    ------
    HarnessError
        When there is no such one, or it does not become active.
    """
    if to not in layout.manager_ids:
        ids = ", ".join(layout.manager_ids) or "none (`--ha`)"
        raise HarnessError(f"There is no ResourceManager with the id {to!r} to choose: there are {ids}.")
    manager = resource_manager(layout)
    alive = {daemon.name: daemon.alive for daemon in daemons}
    others = [other for other in layout.manager_ids if other != to]
    active = manager.active()
    if active in others:
        _admin(layout, _ADMIN_CLASS, "-transitionToStandby", active)
    if active != to:
        # Unless it is told so, the command wants an answer of the others first, which the dead don't give.
        dead = not all(alive[layout.managers[other]] for other in others)
        _admin(layout, _ADMIN_CLASS, "-transitionToActive", *(["--forceactive"] if dead else []), to)
    wanted = sum(daemon.alive for daemon in daemons if daemon.kind == "nodemanager")
    deadline = time.monotonic() + _NODES_TIMEOUT_S
    while not _serves(layout, to, wanted):
        if time.monotonic() > deadline:
            raise HarnessError(f"{to} has not got all {wanted} nodes after {_NODES_TIMEOUT_S:g} s.")
        time.sleep(0.1)


def _serves(layout: Layout, manager_id: str, nodes: int) -> bool:
    """Tell whether a ResourceManager is the active one, with so many nodes."""
    manager = resource_manager(layout)
    try:
        return manager.active() == manager_id and len(manager.nodes()) >= nodes
    except WebError:
        return False


def safe_mode(layout: Layout, on: bool) -> None:
    """Make HDFS read-only, or writable again."""
    _admin(layout, _HDFS_CLASS, "-safemode", "enter" if on else "leave")


def _admin(layout: Layout, tool: str, *arguments: str) -> None:
    """Run ``yarn rmadmin`` or ``hdfs dfsadmin`` as the administrator."""
    own = environment(layout, "host")
    if layout.realm:
        who = layout.administrator if tool == _ADMIN_CLASS else layout.superuser
        own["KRB5CCNAME"] = f"FILE:{layout.realm.cache(who)}"
    command = [*java_command(layout, "host", tool), *arguments]
    try:
        done = subprocess.run(
            command,
            cwd=layout.directory,
            env=own,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_COMMAND_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise HarnessError(f"{tool} {' '.join(arguments)} did not end in {_COMMAND_TIMEOUT_S} s.") from None
    if done.returncode != 0:
        raise HarnessError(f"{tool} {' '.join(arguments)} failed.\n{tail(done.stdout)}")
