"""Kernels as YARN knows them: applications with our tags."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass

from ..cluster.hadoop_site import HadoopSite
from ..cluster.resource_manager import Json
from ..cluster.yarn import YarnBackend
from ..errors import SparkKernelError
from ..record import is_kernel_id
from ..states import POLL, ApplicationState
from .access import read_access

TAG = "sparkkernels"
LIVE = [state for state in ApplicationState if POLL[state] is None]


@dataclass(frozen=True)
class KernelApplication:
    """One kernel's application.

    Attributes
    ----------
    application_id, kernel_id, state, user, queue, name : str
    started_at : float
        Seconds since 1970.
    """

    application_id: str
    kernel_id: str
    state: str
    user: str
    queue: str
    name: str
    started_at: float


def backend_of(options: argparse.Namespace) -> YarnBackend:
    """The cluster as whoever runs the command has it, with credentials that are good."""
    settings, access = read_access(options)
    backend = YarnBackend(settings.hadoop_conf_dir, settings.spark_home, access=access)
    backend.site.ensure_credentials()
    return backend


def live_applications(site: HadoopSite) -> list[KernelApplication]:
    """All kernels that YARN has now, whoever's they are, the oldest first."""
    return sorted(kernels_of(site.client.applications(TAG, LIVE)), key=lambda found: found.started_at)


def kernels_of(applications: Iterable[Json]) -> Iterable[KernelApplication]:
    """The kernels among applications: those with the tag and a kernel's id."""
    for application in applications:
        tags = str(application.get("applicationTags") or "").split(",")
        kernel_id = next((tag for tag in tags if is_kernel_id(tag)), "")
        if TAG in tags and kernel_id:
            yield KernelApplication(
                str(application["id"]),
                kernel_id,
                str(application.get("state", "")),
                str(application.get("user", "")),
                str(application.get("queue", "")),
                str(application.get("name", "")),
                float(application.get("startedTime") or 0) / 1000,
            )


def the_one(found: Iterable[KernelApplication], wanted: str) -> KernelApplication:
    """The application that an id names: its own, its kernel's, or enough of the kernel's to be unique.

    Raises
    ------
    SparkKernelError
        There is none, or several.
    """
    fitting = [
        one
        for one in found
        if wanted == one.application_id or (len(wanted) >= 8 and one.kernel_id.startswith(wanted.lower()))
    ]
    if not fitting:
        raise SparkKernelError(
            f"YARN has no kernel {wanted[:80]!r} that runs.", hint="See `jupyter sparkkernels list --all`."
        )
    if len(fitting) > 1:
        raise SparkKernelError(
            f"{wanted[:80]!r} names {len(fitting)} kernels.", hint="Give the application's id."
        )
    return fitting[0]
