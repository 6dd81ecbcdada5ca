"""What a worker's firewall lets through, as rules for nft(8)."""

from __future__ import annotations

from tests.cluster.harness.layout import Layout, Node

_SYN = "tcp flags & (syn | ack) == syn"


def ruleset(layout: Layout, node: Node, blocking: str = "") -> str:
    """Write a worker's whole firewall, to replace the one it has in one step.

    The host may connect to the NodeManager and the DataNode, and to nothing else: every other SYN is dropped,
    so that the attempt times out. The worker may connect to everything.

    Parameters
    ----------
    layout : Layout
        The cluster.
    node : Node
        The worker.
    blocking : str
        A rule from `blocking_rule` for what leaves the worker.

    Returns
    -------
    str
        Input for ``nft -f``.
    """
    return f"""\
table inet sparkkernels
delete table inet sparkkernels
table inet sparkkernels {{
  chain input {{
    type filter hook input priority 0; policy accept;
    ip saddr {layout.host} tcp dport != {_set(node.ports)} {_SYN} drop
  }}
  chain output {{
    type filter hook output priority 0; policy accept;
    {blocking}
  }}
}}
"""


def blocking_rule(layout: Layout, node: Node, *, reject: bool, established: bool) -> str:
    """Write the rule that keeps a worker from everything on the host but Hadoop.

    Parameters
    ----------
    layout : Layout
        The cluster.
    node : Node
        The worker.
    reject : bool
        Whether a connection is refused at once, instead of timing out.
    established : bool
        Whether connections that exist are cut as well.

    Returns
    -------
    str
        A rule for `ruleset`.
    """
    # What the worker's own daemons answer to the host belongs to no connection of the worker's making.
    kind = f"tcp sport != {_set(node.ports)}" if established else _SYN
    verdict = "reject with tcp reset" if reject else "drop"
    return f"ip daddr {layout.host} tcp dport != {_set(layout.ports)} {kind} {verdict}"


def _set(ports: dict[str, int]) -> str:
    """Write port numbers as an anonymous set."""
    return "{ " + ", ".join(str(port) for port in sorted(ports.values())) + " }"
