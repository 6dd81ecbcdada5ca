"""Which kernelspecs a server offers: where kernels run as their users, only those that run on Spark.

jupyter_client filters what it *lists* by ``allowed_kernelspecs`` and ``ensure_native_kernel``, but starts any
kernelspec that a request names (``KernelSpecManager.get_kernel_spec``), and the native one even when nobody
installed it. A kernel on the server's own host runs as the server's account, and can read its keytab.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpec, KernelSpecManager, NoSuchKernel
from jupyter_client.provisioning.factory import KernelProvisionerFactory

PROVISIONER_NAME = "spark-provisioner"


def is_spark(spec: KernelSpec) -> bool:
    """Whether this package starts the kernels of a kernelspec."""
    stanza = spec.metadata.get("kernel_provisioner", {})
    default = KernelProvisionerFactory.instance().default_provisioner_name
    return bool(stanza.get("provisioner_name", default) == PROVISIONER_NAME)


class SparkKernelSpecManager(KernelSpecManager):
    """Offers and starts Spark kernels only, and of these what ``allowed_kernelspecs`` has.

    ``c.ServerApp.kernel_spec_manager_class = "sparkkernels.kernelspecs.SparkKernelSpecManager"``
    """

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """The kernelspec of this name.

        Raises
        ------
        NoSuchKernel
            There is none, or it is none of ours.
        """
        spec: KernelSpec = super().get_kernel_spec(kernel_name)
        allowed = not self.allowed_kernelspecs or kernel_name.lower() in self.allowed_kernelspecs
        if not (allowed and is_spark(spec)):
            raise NoSuchKernel(kernel_name)
        return spec

    def find_kernel_specs(self) -> dict[str, str]:
        """The directories of all that can be started, by name."""
        found: dict[str, str] = super().find_kernel_specs()
        return {name: path for name, path in found.items() if startable(self, name) is not None}


def startable(manager: Any, name: str) -> KernelSpec | None:
    """The kernelspec that a request with this name would start, None when it would fail."""
    try:
        spec: KernelSpec = manager.get_kernel_spec(name)
    except (NoSuchKernel, OSError, ValueError, TypeError):
        return None
    return spec


def local_kernels(manager: Any) -> Iterator[str]:
    """Names of kernels that this manager would start on the server's own host, as the server's account."""
    names = {NATIVE_KERNEL_NAME}
    for directory in manager.kernel_dirs:
        names |= {path.parent.name.lower() for path in Path(directory).glob("*/kernel.json")}
    for name in sorted(names | set(manager.find_kernel_specs())):
        spec = startable(manager, name)
        if spec is not None and not is_spark(spec):
            yield name
