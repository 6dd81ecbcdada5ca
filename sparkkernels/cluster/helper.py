"""YARN through the privileged helper (:mod:`sparkkernels.submit_helper`): this process has no credentials."""

from __future__ import annotations

import json
import logging
import shlex
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, ResourceManagerUnavailable, SparkKernelError
from ..spec import LaunchSpec
from ..submit_helper.messages import report_from_json, spec_to_json, tokens_from_json
from . import diagnosis
from .base import ApplicationReport, Backend, FreshTokens, Submission
from .helper_channel import HelperChannel
from .helper_process import Call
from .submit import SUBMIT_S

log = logging.getLogger(__name__)

#: Seconds that the helper has for an answer: more than the same takes on the cluster at worst.
ANSWER_S = 90.0
#: An Interrupt or two later, the one who waits should know.
CANCEL_S = 30.0


class HelperSubmission(Submission):
    """One submit under way in the helper."""

    def __init__(self, channel: HelperChannel, call: Call) -> None:
        self._channel = channel
        self._call = call

    @property
    def application_id(self) -> str | None:
        """The application's id once the helper told it."""
        return self._call.application_id

    def wait(self) -> str:
        """Block until YARN accepted the application; see the base class."""
        return str(self._call.wait(SUBMIT_S + ANSWER_S))

    def cancel(self) -> None:
        """Have the helper end the submitting process, and return when it is gone; idempotent."""
        if self._call.is_done:
            return
        try:
            self._channel.ask("cancel", {"submit": self._call.number}, CANCEL_S)
        except SparkKernelError as error:
            # Without its input the helper ends, and all that it began with it.
            log.error("The submit could not be cancelled, so its helper is ended. %s", error)
            self._channel.close()


class HelperBackend(Backend):
    """Applications on YARN, as the Unix user of this process, through a program that holds the credentials.

    Parameters
    ----------
    command : str
        The setting ``submit_helper``; split as a shell would, run without one.
    """

    def __init__(self, command: str) -> None:
        try:
            argv = shlex.split(command)
        except ValueError:
            argv = []
        if not argv:
            raise ConfigurationError("The setting submit_helper is no command.")
        self._channel = HelperChannel(argv)
        self._mutex = threading.Lock()
        self._hosts: list[str] | None = None

    def prepare(self, spec: LaunchSpec) -> None:
        """Have the helper check everything, the administrator's limits included."""
        if spec.proxy_user is not None:
            raise ConfigurationError(
                "With submit_helper a kernel runs as the account of this Jupyter server, and as nobody else.",
                hint="Leave either submit_helper or the other source of identity out.",
            )
        self._channel.ask("prepare", {"spec": spec_to_json(spec)}, ANSWER_S)

    def hosts(self) -> list[str]:
        """The ResourceManagers' hosts."""
        with self._mutex:
            if self._hosts is None:
                self._hosts = [str(host) for host in self._channel.ask("hosts", {}, ANSWER_S)]
            return list(self._hosts)

    def submit(
        self, spec: LaunchSpec, registration: Path, on_application_id: Callable[[str], None]
    ) -> HelperSubmission:
        """Have the helper submit; the registration's content goes to it, never a path."""
        arguments: dict[str, Any] = {
            "spec": spec_to_json(spec),
            "registration": json.loads(registration.read_text()),
        }
        return HelperSubmission(self._channel, self._channel.begin("submit", arguments, on_application_id))

    def report(self, application_ids: Collection[str]) -> dict[str, ApplicationReport]:
        """One question for all of them."""
        answer = self._channel.ask("report", {"application_ids": sorted(application_ids)}, ANSWER_S)
        try:
            reports = [report_from_json(content) for content in answer]
        except (ValueError, KeyError, TypeError) as error:
            raise ResourceManagerUnavailable("The submit helper's report can't be read.") from error
        return {report.application_id: report for report in reports}

    def kill(self, application_id: str) -> None:
        """Have it killed, and wait until YARN says that it has ended."""
        self._channel.ask("kill", {"application_id": application_id}, ANSWER_S)

    def logs(self, application_id: str, tail_bytes: int = 65536) -> str:
        """The container's last stdout and stderr."""
        arguments = {"application_id": application_id, "tail_bytes": tail_bytes}
        return str(self._channel.ask("logs", arguments, ANSWER_S))

    def fresh_tokens(self, application_id: str) -> FreshTokens | None:
        """HDFS delegation tokens of this process's own user, got with the service's ticket."""
        answer = self._channel.ask("fresh_tokens", {"application_id": application_id}, ANSWER_S)
        try:
            return None if answer is None else tokens_from_json(answer)
        except (ValueError, KeyError, TypeError) as error:
            raise SparkKernelError("The submit helper's answer about new tokens can't be read.") from error

    def cause_of_death(self, report: ApplicationReport) -> str:
        """One sentence, from the diagnostics."""
        return diagnosis.cause_of_death(report)

    def close(self) -> None:
        """Let the helper go; it is started again when it is needed."""
        self._channel.close()
