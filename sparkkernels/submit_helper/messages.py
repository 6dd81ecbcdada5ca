"""What the two ends say to each other, as JSON: pure, and imported by both.

The server writes one request a line, ``{"id": 7, "operation": "kill", "arguments": {…}}``; an operation's
arguments are in :mod:`.requests`. The helper first says whom it takes the caller for,
``{"ready": {"user": …, "version": …}}``, and answers each request, in any order, with
``{"id": 7, "done": …}`` or ``{"id": 7, "error": {…}}``; for a submit ``{"id": 7, "application_id": …}`` may
come before. An ``error`` without ``id`` ends the conversation.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from .. import errors
from ..cluster.base import ApplicationReport, FreshTokens
from ..errors import SparkKernelError
from ..spec import LaunchSpec
from ..states import ApplicationState, FinalStatus

#: Bytes of a request, its end of line included.
LONGEST_REQUEST = 1048576

#: Fields of a launch spec that travel: neither the kernel's argv and environment, which go over the wire
#: later, nor whom it runs as.
SPEC_TEXTS = ("kernel_id", "python", "name")
SPEC_SECONDS = ("launch_timeout_s", "registration_timeout_s", "orphan_timeout_s")

_KINDS: dict[str, type[SparkKernelError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, SparkKernelError)
}


def error_to_json(error: SparkKernelError) -> dict[str, Any]:
    """An error of ours; of kinds that the other end does not know, the nearest that it does."""
    kind = next(base.__name__ for base in type(error).__mro__ if _KINDS.get(base.__name__) is base)
    return {
        "kind": kind,
        "message": error.message,
        "application_id": error.application_id,
        "diagnostics": error.diagnostics,
        "hint": error.hint,
        "tracking_url": error.tracking_url,
    }


def error_from_json(content: Mapping[str, Any]) -> SparkKernelError:
    """The error that the other end meant."""
    kind = _KINDS.get(str(content.get("kind")), SparkKernelError)
    application_id = content.get("application_id")
    return kind(
        str(content.get("message") or "The submit helper gave no reason."),
        application_id=None if application_id is None else str(application_id),
        diagnostics=str(content.get("diagnostics") or ""),
        hint=str(content.get("hint") or ""),
        tracking_url=str(content.get("tracking_url") or ""),
    )


def spec_to_json(spec: LaunchSpec) -> dict[str, Any]:
    """What of a launch spec the helper is told."""
    content: dict[str, Any] = {name: getattr(spec, name) for name in (*SPEC_TEXTS, *SPEC_SECONDS)}
    content |= {"generation": spec.generation, "queue": spec.queue, "spark_conf": dict(spec.spark_conf)}
    content |= {"jars": list(spec.jars), "scala_version": spec.scala_version}
    # The other tags are what the helper itself puts on every application.
    content["server_tag"] = next((tag for tag in spec.tags if tag.startswith("sparkkernels-server-")), None)
    return content


def report_to_json(report: ApplicationReport) -> dict[str, Any]:
    """A report about one application."""
    return {
        "application_id": report.application_id,
        "state": report.state.value,
        "final_status": report.final_status.value,
        "diagnostics": report.diagnostics,
        "tracking_url": report.tracking_url,
        "queue": report.queue,
        "host": report.host,
        "user": report.user,
        "tags": list(report.tags),
    }


def report_from_json(content: Mapping[str, Any]) -> ApplicationReport:
    """The report that the other end meant.

    Raises
    ------
    ValueError, KeyError
        It is none.
    """
    return ApplicationReport(
        application_id=str(content["application_id"]),
        state=ApplicationState(content["state"]),
        final_status=FinalStatus(content["final_status"]),
        diagnostics=str(content["diagnostics"]),
        tracking_url=str(content["tracking_url"]),
        queue=str(content["queue"]),
        host=str(content["host"]),
        user=str(content.get("user", "")),  # a helper may be of another version
        tags=tuple(map(str, content.get("tags", ()))),
    )


def tokens_to_json(tokens: FreshTokens) -> dict[str, Any]:
    """Fresh tokens; secret."""
    credentials = base64.b64encode(tokens.credentials).decode()
    return {"credentials": credentials, "life_s": tokens.life_s, "longest_s": tokens.longest_s}


def tokens_from_json(content: Mapping[str, Any]) -> FreshTokens:
    """The tokens that the other end meant.

    Raises
    ------
    ValueError, KeyError, TypeError
        They are none.
    """
    return FreshTokens(
        credentials=base64.b64decode(content["credentials"], validate=True),
        life_s=float(content["life_s"]),
        longest_s=float(content["longest_s"]),
    )
