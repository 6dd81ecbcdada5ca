"""The errors of starts that failed, from what the cluster, the supervisor and the container's output said."""

from __future__ import annotations

from .cluster.base import ApplicationReport
from .errors import ApplicationFailed, LaunchTimeout
from .relay.link import KernelStatus
from .spec import LaunchSpec
from .words import LINES, describe_exit, hint_for, last_lines

#: In diagnostics that need no log beside them: the supervisor's own words, a log's end that YARN quotes.
OUTPUT_QUOTED = ("sparkkernels: ", "bytes of stderr :")
LOGS_HINT = "Read the container's log: jupyter sparkkernels logs {}"


def kernel_failed(kernel: KernelStatus, application_id: str | None) -> ApplicationFailed:
    """Of a kernel process that is gone."""
    ended = f"The kernel process could not start: {describe_exit(kernel.returncode)}."
    return ApplicationFailed(
        kernel.text if kernel.state == "failed" else ended,
        application_id=application_id,
        diagnostics=last_lines(kernel.text, LINES) if kernel.state == "exited" else "",
        hint=hint_for(kernel.text) or "Check the kernelspec's argv, and its python's packages.",
    )


def quotes_output(report: ApplicationReport | None) -> bool:
    """Whether a report holds what the container printed."""
    return report is not None and any(mark in report.diagnostics for mark in OUTPUT_QUOTED)


def application_ended(
    message: str, application_id: str | None, report: ApplicationReport | None, cause: str, output: str
) -> ApplicationFailed:
    """Of an application that has ended.

    Parameters
    ----------
    message : str
        What that put an end to, in a sentence.
    application_id : str or None
    report : ApplicationReport or None
        What the cluster said last.
    cause : str
        One sentence on why, "" when nobody knows.
    output : str
        The last lines that the container printed, "" when the report quotes them.
    """
    said = report.diagnostics.strip() if report else ""
    rest = "\n".join(line for line in said.splitlines() if not cause or cause not in line)
    return ApplicationFailed(
        message if not cause else f"{message.rstrip('.')}: {cause[:1].lower()}{cause[1:]}",
        application_id=application_id,
        diagnostics="\n\n".join(part for part in (last_lines(rest, 2 * LINES), output) if part),
        tracking_url=report.tracking_url if report else "",
        hint=hint_for(f"{said}\n{output}") or LOGS_HINT.format(application_id),
    )


def too_late(spec: LaunchSpec, application_id: str | None, report: ApplicationReport | None) -> LaunchTimeout:
    """Of an application that was accepted and has no kernel when the time is up."""
    waiting = report is not None and not report.host
    queue = report.queue if report else spec.queue or "default"
    where = f"is still waiting in the queue {queue}" if waiting else "has a container but no kernel"
    return LaunchTimeout(
        f"The kernel did not start within {spec.launch_timeout_s:g} s: its application {where}.",
        application_id=application_id,
        diagnostics=report.diagnostics if report else "",
        tracking_url=report.tracking_url if report else "",
        hint="Free resources in the queue, choose another one, or raise launch_timeout_s."
        if waiting
        else "Look at the container's log; raise launch_timeout_s if the cluster is slow.",
    )
