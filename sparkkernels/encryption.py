"""Whether a kernel's ZeroMQ sockets get CURVE keys: the setting, the server's policy and the kernel agree."""

from __future__ import annotations

from .errors import ConfigurationError

#: Values of the setting ``curve``.
POLICIES = ("auto", "disabled", "required")


def needs_curve(setting: str, server_policy: str, supported: bool, possible: bool) -> bool:
    """Whether this kernel gets keys.

    Parameters
    ----------
    setting : str
        Our own ``curve``: ``auto`` for every kernel that can, ``required``, ``disabled``.
    server_policy : str
        jupyter_client's ``transport_encryption``; only its ``required`` matters, because what crosses hosts
        is not the server's loopback that its default was made for.
    supported : bool
        Whether the kernelspec says so (``metadata.supported_encryption``).
    possible : bool
        Whether this server's own libzmq can (``zmq.has("curve")``).

    Raises
    ------
    ConfigurationError
        Encryption is required and impossible, or both required and disabled.
    """
    required = "required" in (setting, server_policy)
    if setting == "disabled":
        if not required:
            return False
        raise ConfigurationError(
            "This server requires encrypted kernels and the setting curve disables it.",
            hint="Remove curve from the kernelspec or the server's configuration.",
        )
    if required and not supported:
        raise ConfigurationError(
            "Encryption is required, and this kernelspec does not say that its kernel can encrypt.",
            hint='Where it can (ipykernel 7.3 or newer), add "supported_encryption": ["curve"] to the'
            " metadata in kernel.json; `jupyter sparkkernels install` does.",
        )
    if supported and not possible:
        raise ConfigurationError(
            "This server's pyzmq has no CURVE, with which the kernel's connections are encrypted.",
            hint="Install pyzmq with libsodium (its wheels have it), or set curve to disabled.",
        )
    return supported
