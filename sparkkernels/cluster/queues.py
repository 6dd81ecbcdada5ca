"""What the scheduler says: whether a queue exists and runs, how large a container may be. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigurationError

Json = Mapping[str, Any]
NAMED = 12


@dataclass(frozen=True)
class Queue:
    """One queue of ``GET /ws/v1/cluster/scheduler``.

    Attributes
    ----------
    path : str
        Full path, like ``root.default``.
    state : str
        ``RUNNING``, ``STOPPED`` or ``DRAINING``; "" when the scheduler does not say.
    is_leaf : bool
    grows : bool
        Whether queues below it come into being when they are named.
    largest_mib : int or None
        The largest container here, in MiB; None when the scheduler does not say.
    """

    path: str
    state: str
    is_leaf: bool
    grows: bool
    largest_mib: int | None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]


def queues(scheduler: Json) -> list[Queue]:
    """All queues of the capacity or fair scheduler; none of any other."""
    if scheduler.get("type") == "fairScheduler":
        root = scheduler.get("rootQueue")
        return list(_fair(root)) if root else []
    return list(_capacity(scheduler, "")) if "queueName" in scheduler else []


def _capacity(vertex: Json, parent: str) -> Iterator[Queue]:
    name = vertex.get("queueName", "")
    path = vertex.get("queuePath") or (f"{parent}.{name}" if parent else name)
    below = (vertex.get("queues") or {}).get("queue") or []
    memory = (vertex.get("maximumAllocation") or {}).get("memory")
    grows = bool(vertex.get("autoCreateChildQueueEnabled")) or vertex.get("autoCreationEligibility") in (
        "legacy",
        "flexible",
    )
    is_leaf = not below and vertex.get("queueType", "leaf") == "leaf"
    yield Queue(path, vertex.get("state", ""), is_leaf, grows, int(memory) if memory else None)
    for child in below:
        yield from _capacity(child, path)


def _fair(vertex: Json) -> Iterator[Queue]:
    below = (vertex.get("childQueues") or {}).get("queue") or []
    below = below if isinstance(below, list) else [below]
    memory = (vertex.get("maxContainerAllocation") or {}).get("memory")
    # It makes undeclared queues by default (yarn.scheduler.fair.allow-undeclared-pools).
    yield Queue(vertex["queueName"], "", not below, True, int(memory) if memory else None)
    for child in below:
        yield from _fair(child)


def check_queue(known: list[Queue], wanted: str | None) -> Queue | None:
    """Find the queue of a launch.

    Parameters
    ----------
    known : list of Queue
    wanted : str or None
        Name or path; None for the cluster's default, which placement rules may have made any.

    Returns
    -------
    Queue or None
        None when it can't be told which it will be.

    Raises
    ------
    ConfigurationError
        It does not exist, is not a leaf or takes no applications.
    """
    name = wanted or "default"
    matching = [queue for queue in known if name in (queue.path, queue.name)]
    found = next((queue for queue in matching if queue.is_leaf), matching[0] if matching else None)
    if found is None:
        if wanted and known and not _may_come_into_being(known, wanted):
            leaves = [queue.path for queue in known if queue.is_leaf]
            more = ", …" if len(leaves) > NAMED else ""
            raise ConfigurationError(
                f"YARN has no queue {wanted}.",
                hint=f"Its queues are {', '.join(leaves[:NAMED])}{more}: choose one with `queue`.",
            )
        return None
    if not found.is_leaf and not found.grows and wanted:
        raise ConfigurationError(
            f"The YARN queue {wanted} has queues below it, so it takes no applications itself.",
            hint="Choose a queue below it.",
        )
    if found.state in ("STOPPED", "DRAINING"):
        raise ConfigurationError(
            f"The YARN queue {found.path} takes no applications: it is {found.state}.",
            hint="Choose another queue with `queue` in the kernelspec's provisioner config.",
        )
    return found


def _may_come_into_being(known: list[Queue], wanted: str) -> bool:
    parts = wanted.split(".")
    ancestors = {".".join(parts[:count]) for count in range(1, len(parts))} | set(parts[:-1])
    return any(queue.grows and (queue.path in ancestors or queue.path == "root") for queue in known)


def check_memory(largest_mib: int | None, driver_mib: int, executor_mib: int) -> None:
    """Refuse what no container of the cluster can hold.

    Raises
    ------
    ConfigurationError
    """
    if largest_mib is None:
        return
    for mib, what, settings in (
        (driver_mib, "The kernel's container", "spark.driver.memory or spark.driver.memoryOverhead"),
        (executor_mib, "An executor's container", "spark.executor.memory or spark.executor.memoryOverhead"),
    ):
        if mib > largest_mib:
            raise ConfigurationError(
                f"{what} would need {mib} MiB; the largest that this cluster allows is {largest_mib} MiB.",
                hint=f"Lower {settings}.",
            )
