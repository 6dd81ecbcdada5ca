"""Everything that can go wrong, as one tree.

    SparkKernelError
     +- ConfigurationError (ValueError)                  a setting or request is wrong; nothing started
     +- CredentialsError                                 no usable Kerberos ticket or keytab
     +- NotAllowed (PermissionError)                     the cluster or the administrator says no
     +- SubmitError                                      spark-submit failed before YARN accepted it
     +- LaunchTimeout (TimeoutError)                     the kernel did not come up in time
     +- ApplicationFailed                                the application ended before or under its kernel
     +- ResourceManagerUnavailable (ConnectionError)     the cluster can't be asked now; never death
     +- ProtocolError                                    a peer broke launchers/PROTOCOL.md

JupyterLab shows ``str(error)`` of a failed start, so the first line is a whole sentence and the cause and the
step to take follow it.
"""

from __future__ import annotations


class SparkKernelError(Exception):
    """Base of all errors of this package.

    Parameters
    ----------
    message : str
        A whole sentence for the person who asked for the kernel; no secret, no traceback.
    application_id : str or None
        YARN's id of the application, once known.
    diagnostics : str
        What the cluster or the container said: YARN's diagnostics, the last lines of a log.
    hint : str
        What to do next.
    tracking_url : str
        YARN's page about the application.
    """

    def __init__(
        self,
        message: str,
        *,
        application_id: str | None = None,
        diagnostics: str = "",
        hint: str = "",
        tracking_url: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.application_id = application_id
        self.diagnostics = diagnostics
        self.hint = hint
        self.tracking_url = tracking_url

    def __str__(self) -> str:
        parts = [self.message]
        if self.diagnostics.strip():
            parts.append(self.diagnostics.strip())
        if self.application_id:
            at = f" ({self.tracking_url})" if self.tracking_url else ""
            parts.append(f"Application: {self.application_id}{at}")
        if self.hint:
            parts.append(self.hint)
        return "\n\n".join(parts)


class ConfigurationError(SparkKernelError, ValueError):
    """A setting or a request is wrong; nothing was started."""


class CredentialsError(SparkKernelError):
    """There is no usable Kerberos ticket or keytab."""


class NotAllowed(SparkKernelError, PermissionError):
    """The cluster or the administrator does not allow it."""


class SubmitError(SparkKernelError):
    """spark-submit failed before YARN accepted the application."""


class LaunchTimeout(SparkKernelError, TimeoutError):
    """The kernel did not come up within its time."""


class ApplicationFailed(SparkKernelError):
    """The application ended before its kernel was ready, or under it."""


class ResourceManagerUnavailable(SparkKernelError, ConnectionError):
    """The cluster can't be asked at the moment; says nothing about any kernel."""


class ProtocolError(SparkKernelError):
    """A peer did not keep to launchers/PROTOCOL.md."""
