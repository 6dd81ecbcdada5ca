"""What every cluster backend does: submit, report, kill.

Everything here blocks and may be called from any thread, the interpreter's exit included; callers on an event
loop go through :func:`sparkkernels.blocking.in_thread`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..spec import LaunchSpec
from ..states import ApplicationState, FinalStatus


@dataclass(frozen=True)
class ApplicationReport:
    """What the cluster knows about one application at one moment.

    Attributes
    ----------
    application_id : str
    state : ApplicationState
        YARN's state; the local backend uses RUNNING, FINISHED and FAILED.
    final_status : FinalStatus
    diagnostics : str
        YARN's own words; for an ACCEPTED application what it waits for.
    tracking_url : str
    queue : str
    host : str
        Host of the application master's container, "" before there is one.
    exit_code : int or None
        Known by the local backend only.
    user : str
        Whom it runs as.
    tags : collection of str
    """

    application_id: str
    state: ApplicationState
    final_status: FinalStatus = FinalStatus.UNDEFINED
    diagnostics: str = ""
    tracking_url: str = ""
    queue: str = ""
    host: str = ""
    exit_code: int | None = None
    user: str = ""
    tags: Collection[str] = ()


@dataclass(frozen=True)
class FreshTokens:
    """Tokens with which an application can go on using the cluster.

    Attributes
    ----------
    credentials : bytes
        In Hadoop's format; secret.
    life_s : float
        Seconds until they run out, if nobody renews them.
    longest_s : float
        Seconds until they run out even if somebody renews them, as the ResourceManager does with those of
        the submit.
    """

    credentials: bytes = field(repr=False)
    life_s: float
    longest_s: float


class Submission(ABC):
    """One submit under way."""

    @property
    @abstractmethod
    def application_id(self) -> str | None:
        """The application's id as soon as it is known; survives a failed or cancelled submit."""

    @abstractmethod
    def wait(self) -> str:
        """Block until the cluster accepted the application.

        Returns
        -------
        str
            The application id.

        Raises
        ------
        SubmitError, CredentialsError, NotAllowed, ConfigurationError
            The submit failed; the error quotes the lines that matter.
        """

    @abstractmethod
    def cancel(self) -> None:
        """End the submitting process (not the application) and return when it is gone; idempotent."""


class Backend(ABC):
    """A place where applications run."""

    @abstractmethod
    def prepare(self, spec: LaunchSpec) -> None:
        """Check everything that can be checked before a process starts.

        Raises
        ------
        ConfigurationError, ResourceManagerUnavailable, CredentialsError
        """

    def hosts(self) -> list[str]:
        """Hosts of the cluster, as the relay's likeliest address is the one that faces them."""
        return []

    @abstractmethod
    def submit(
        self, spec: LaunchSpec, registration: Path, on_application_id: Callable[[str], None]
    ) -> Submission:
        """Start the supervisor as an application and return at once.

        Parameters
        ----------
        spec : LaunchSpec
        registration : Path
            The registration file (launchers/PROTOCOL.md) to put beside the supervisor.
        on_application_id : callable
            Called once from another thread as soon as the id is known, before the cluster accepted it.
        """

    @abstractmethod
    def report(self, application_ids: Collection[str]) -> dict[str, ApplicationReport]:
        """Ask about all these applications in one call; one that the cluster does not know is left out.

        Raises
        ------
        ResourceManagerUnavailable
        """

    @abstractmethod
    def kill(self, application_id: str) -> None:
        """End the application and return when it has ended; one that has already ended is no error.

        Raises
        ------
        ResourceManagerUnavailable, NotAllowed
        """

    @abstractmethod
    def logs(self, application_id: str, tail_bytes: int = 65536) -> str:
        """The last output of the application's container, "" when there is none to be had."""

    def note(self, application_id: str) -> dict[str, str]:
        """What another process must know to look after this application; nothing secret."""
        return {}

    def adopt(self, application_id: str, note: Mapping[str, str]) -> None:
        """Look after an application that another process submitted, by its note."""
        return None

    def fresh_tokens(self, application_id: str) -> FreshTokens | None:
        """New tokens for a running application; None where it needs none.

        Raises
        ------
        SparkKernelError
            There are none to be had; the first line says why.
        """
        return None

    def cause_of_death(self, report: ApplicationReport) -> str:
        """One sentence on why an ended application ended, from its report."""
        return report.diagnostics.strip().splitlines()[0] if report.diagnostics.strip() else ""
