"""Gives a kernel that was left to a new kernel manager."""

from __future__ import annotations

from typing import Any

from jupyter_client.kernelspec import NoSuchKernel
from jupyter_client.provisioning.factory import KernelProvisionerFactory

from .errors import ConfigurationError, SparkKernelError
from .handover import Left
from .provisioner import SparkProvisioner


async def adopt(manager: Any, left: Left) -> SparkProvisioner:
    """Have a kernel manager go on with a kernel.

    Parameters
    ----------
    manager : jupyter_client.manager.AsyncKernelManager
        A new one, with the name of the kernel's kernelspec.
    left : Left
        Is left again on an error.

    Raises
    ------
    SparkKernelError
        It can't be taken over, and why.
    """
    name = left.handover.kernel_name
    try:
        manager.kernel_id = left.handover.kernel_id
        factory = KernelProvisionerFactory.instance(parent=manager.parent)
        try:
            provisioner = factory.create_provisioner_instance(
                manager.kernel_id, manager.kernel_spec, parent=manager
            )
        except NoSuchKernel as error:
            raise ConfigurationError(
                f"Its kernelspec {name} is gone.", hint="Install it again under this name."
            ) from error
        if not isinstance(provisioner, SparkProvisioner):
            raise ConfigurationError(f"Its kernelspec {name} starts no Spark kernels any more.")
    except SparkKernelError:
        left.record.leave()
        raise
    manager.provisioner = provisioner
    await provisioner.take_over(left)
    return provisioner
