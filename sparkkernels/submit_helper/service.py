"""The operations, on the cluster as the caller; what is asked is checked here, whoever checked before."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from ..cluster.access import Access
from ..cluster.base import ApplicationReport, FreshTokens, Submission
from ..cluster.local_files import directory_prefix
from ..cluster.resource_manager import Json
from ..cluster.yarn import YarnBackend
from ..errors import ConfigurationError, NotAllowed, SparkKernelError
from ..limits import quoted
from ..spec import LaunchSpec
from .configuration import Configuration
from .messages import report_to_json, tokens_to_json
from .requests import OUR_TAG, launch_spec
from .ticket import SharedTicket


class OwnBackend(YarnBackend):
    """YARN as one person: only applications that YARN says are that person's, and ours, are touched.

    The cluster would refuse the rest anyway; here it is refused before it is asked.

    Parameters
    ----------
    user : str
    configuration : Configuration
    environ : mapping of str to str
        The helper's own, with the credential cache in it.
    """

    def __init__(self, user: str, configuration: Configuration, environ: Mapping[str, str]) -> None:
        super().__init__(
            configuration.hadoop_conf_dir,
            configuration.spark_home,
            configuration.staging_dir,
            configuration.staging_admins,
            environ=environ,
            access=Access(ca_file=configuration.ca_file),
        )
        self._user = user
        self._site = self._site.as_user(user)
        self._owned: set[str] = set()

    def keep_to(self, application_id: str) -> bool:
        """Whether YARN knows this application; it and what it is never change hands.

        Raises
        ------
        NotAllowed
            It is somebody else's, or no kernel.
        """
        if application_id in self._owned:
            return True
        application = self._site.client.application(application_id)
        if application is None:
            return False
        if not self._is_own(application):
            raise NotAllowed(f"{application_id} is not a Spark kernel of {self._user}.")
        self._owned.add(application_id)
        return True

    def report(self, application_ids: Collection[str]) -> dict[str, ApplicationReport]:
        """Reports about those that are the person's own; the others are left out."""
        own = []
        for application_id in application_ids:
            try:
                if self.keep_to(application_id):
                    own.append(application_id)
            except NotAllowed:
                continue
        return super().report(own) if own else {}

    def kill(self, application_id: str) -> None:
        """End it; one that YARN does not know yet is waited for if it was submitted here."""
        self.keep_to(application_id)
        super().kill(application_id)

    def logs(self, application_id: str, tail_bytes: int = 65536) -> str:
        """Its last output."""
        return super().logs(application_id, tail_bytes) if self.keep_to(application_id) else ""

    def fresh_tokens(self, application_id: str) -> FreshTokens | None:
        """The person's own HDFS tokens, as their kernel has them."""
        return super().fresh_tokens(application_id) if self.keep_to(application_id) else None

    def set_server_tag(self, tag: str | None) -> None:
        """The tag of the one server that this helper works for: reports then take one call."""
        self._server_tag = tag or self._server_tag

    def _is_own(self, application: Json) -> bool:
        tags = str(application.get("applicationTags") or "").split(",")
        return application.get("user") == self._user and OUR_TAG in tags


class Service:
    """What a caller can ask for; all methods but :meth:`submit` are named like the operations.

    Parameters
    ----------
    user : str
        The caller's name, here and on the cluster.
    configuration : Configuration
    backend : OwnBackend
    ticket : SharedTicket or None
        None on a cluster without Kerberos.
    """

    def __init__(
        self, user: str, configuration: Configuration, backend: OwnBackend, ticket: SharedTicket | None
    ) -> None:
        self._user = user
        self._configuration = configuration
        self._backend = backend
        self._ticket = ticket

    def call(self, operation: str, arguments: Mapping[str, Any]) -> Any:
        """Run any of the short operations.

        Returns
        -------
        Any
            What is sent back, as JSON knows it.

        Raises
        ------
        SparkKernelError
        """
        operations: dict[str, Callable[..., Any]] = {
            "prepare": self.prepare,
            "report": self.report,
            "kill": self.kill,
            "logs": self.logs,
            "hosts": self.hosts,
            "fresh_tokens": self.fresh_tokens,
        }
        return operations[operation](**arguments)

    def prepare(self, spec: Mapping[str, Any]) -> None:
        """Check a launch spec completely."""
        self._backend.prepare(self._checked(spec))

    def submit(
        self, spec: Mapping[str, Any], registration: Mapping[str, Any], tell: Callable[[str], None]
    ) -> Submission:
        """Start a submit; the registration's content goes into a file that only this account can read.

        Parameters
        ----------
        spec, registration : mapping
        tell : callable
            Called with the application's id as soon as it is known.
        """
        launch = self._checked(spec)
        if registration["kernel_id"] != launch.kernel_id or registration["generation"] != launch.generation:
            raise ConfigurationError("The registration is not that of the kernel to be started.")
        self._backend.set_server_tag(spec["server_tag"])
        with tempfile.TemporaryDirectory(prefix=directory_prefix()) as directory:
            path = Path(directory) / "registration.json"
            path.write_text(json.dumps(dict(registration)))
            return self._backend.submit(launch, path, tell)  # it takes a copy

    def report(self, application_ids: list[str]) -> list[dict[str, Any]]:
        """Reports about the caller's own applications."""
        self._ensure_ticket()
        return [report_to_json(report) for report in self._backend.report(application_ids).values()]

    def kill(self, application_id: str) -> None:
        """End one of the caller's own applications."""
        self._ensure_ticket()
        self._backend.kill(application_id)

    def logs(self, application_id: str, tail_bytes: int) -> str:
        """The last output of one of the caller's own applications."""
        self._ensure_ticket()
        return self._backend.logs(application_id, tail_bytes)

    def hosts(self) -> list[str]:
        """Hosts of the cluster."""
        return self._backend.hosts()

    def fresh_tokens(self, application_id: str) -> dict[str, Any] | None:
        """Fresh tokens for one of the caller's own applications."""
        self._ensure_ticket()
        tokens = self._backend.fresh_tokens(application_id)
        return None if tokens is None else tokens_to_json(tokens)

    def _checked(self, content: Mapping[str, Any]) -> LaunchSpec:
        configuration = self._configuration
        if content["python"] not in configuration.pythons:
            raise NotAllowed(
                f"The python {quoted(content['python'])} is not one that kernels may use here:"
                f" set `python` to {' or '.join(configuration.pythons)}."
            )
        for jar in content["jars"]:
            if jar not in configuration.jars:
                raise NotAllowed(
                    f"The jar {quoted(jar)} is not one that kernels may have here, and is not looked at.",
                    hint="An administrator lists it in the helper's settings: jars.",
                )
        configuration.limits.check(content["queue"], content["spark_conf"])
        self._ensure_ticket()
        return launch_spec(content, self._user, configuration.spark_home)

    def _ensure_ticket(self) -> None:
        if self._ticket is not None:
            self._ticket.ensure()


def unexpected(error: BaseException) -> SparkKernelError:
    """What a caller is told of an error that nobody foresaw: its kind, and nothing of what it says."""
    return SparkKernelError(
        f"The submit helper failed with an unexpected {type(error).__name__}.",
        hint="An administrator finds more in the helper's log (the Jupyter server's output).",
    )
