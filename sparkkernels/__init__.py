"""Jupyter kernels as Spark applications on Hadoop YARN, started by a jupyter_client kernel provisioner."""

from __future__ import annotations

from .errors import (
    ApplicationFailed,
    ConfigurationError,
    CredentialsError,
    LaunchTimeout,
    NotAllowed,
    ProtocolError,
    ResourceManagerUnavailable,
    SparkKernelError,
    SubmitError,
)

__version__ = "0.1.0"

__all__ = [
    "ApplicationFailed",
    "ConfigurationError",
    "CredentialsError",
    "LaunchTimeout",
    "NotAllowed",
    "ProtocolError",
    "ResourceManagerUnavailable",
    "SparkKernelError",
    "SubmitError",
    "__version__",
]
