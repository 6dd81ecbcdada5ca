"""Why a YARN application ended, in one sentence, from its report. Pure; the texts are Hadoop's."""

from __future__ import annotations

import re

from ..states import ApplicationState, FinalStatus
from .base import ApplicationReport

MEMORY = "YARN killed the kernel's container for using more memory than it asked for"
MORE_MEMORY = "raise spark.driver.memoryOverhead (Python) or spark.driver.memory (Spark)."
#: Lines are cut there, those of a dumped process tree earlier: they quote whole command lines of Java.
LINE_CHARACTERS, TREE_CHARACTERS = 1000, 160
TREE_LINE = "\t|-"
STACK_TRACE = re.compile(r"\s+at [\w.$/<>]+\(|\s+\.\.\. \d+ more")
#: The NodeManager appends the tail of a container's stderr twice.
TAIL = re.compile(r"\[[^\]]+\]\s*Container exited with a non-zero exit code \d+\. Error file")
END_OF_TAIL = "For more detailed output"

#: In order; the first that matches the diagnostics wins.
CAUSES: tuple[tuple[str, str], ...] = (
    (r"^sparkkernels: ([^\n]+)", "{0}"),  # the supervisor's own words
    (
        r"running (?:\d+B )?beyond (?:the )?'?(?:PHYSICAL|physical|VIRTUAL|virtual)'? memory limits?\."
        r".*?Current usage: ([\d.]+ \w+) of ([\d.]+ \w+)",
        f"{MEMORY} ({{0}} of {{1}}); {MORE_MEMORY}",
    ),
    (
        r"[Cc]ontainer .*(?:killed by the OOM killer|exceeds? .*memory limit)|exitCode: -10[34]\b",
        f"{MEMORY}; {MORE_MEMORY}",
    ),
    (
        r"Container released on a \*lost\* node|exitCode: -100\b",
        "The worker that ran the kernel was lost: its NodeManager no longer answers, or it was taken away.",
    ),
    (
        r"ApplicationMaster for attempt \S+ timed out",
        "YARN gave the kernel up: no heartbeat came from its worker any more, which may be cut off.",
    ),
    (r"preempted by scheduler|exitCode: -102\b", "YARN preempted the kernel's container for another queue."),
    (r"exitCode: -101\b", "The worker that ran the kernel has no usable disk left."),
    (r"exitCode: -106\b|killed by .*ContainerScheduler", "YARN stopped the kernel's container."),
    (
        r"Application \S+ was killed by user (\S+?)(?: at (\S+))?\s*$|killed by user (\S+) at (\S+)",
        "The application was killed by {0}{2}.",
    ),
    (r"by application lifetime|LIFETIME.*(?:reached|expired)", "YARN ended the application at its lifetime."),
    (
        r'Cannot run program "([^"]+)"',
        "The worker can't run {0}: the Python of the kernelspec does not exist there.",
    ),
    (r"User application exited with (?:status )?(\d+)", "The kernel's supervisor ended with exit code {0}."),
    (r"User did not initialize spark context", "The kernel's supervisor ended and had made no SparkContext."),
    (
        r"Not able to find a working directory|No space left on device",
        "The worker's disk for containers is full, or can't be written to.",
    ),
    (
        r"exitCode: -1000\b.*?Diagnostics: (?:\[[^\]]*\])?\s*([^\n]*?)\.?$",
        "The worker could not fetch the application's files: {0}.",
    ),
    (r"exitCode: 10\b", "Spark's ApplicationMaster failed with an exception that nobody caught."),
    (r"exitCode: 11\b|Max number of executor failures", "Too many of the kernel's executors failed."),
    (r"exitCode: 12\b", "Spark's ApplicationMaster lost its connection to the ResourceManager."),
    (
        r"exitCode: 13\b",
        "The application made no SparkContext within spark.yarn.am.waitTime.",
    ),
    (r"exitCode: 14\b", "Spark's ApplicationMaster failed its security checks."),
    (r"exitCode: 16\b", "The application ended before it had made its SparkContext."),
    (
        r"exitCode: 137\b",
        "The kernel's container was killed (signal 9), perhaps because its worker ran out of memory.",
    ),
    (r"exitCode: 143\b", "The kernel's container was ended by SIGTERM."),
    (r"exitCode: (\d+)\b", "The kernel's container ended with exit code {0}."),
)


def cause_of_death(report: ApplicationReport) -> str:
    """One sentence on why an ended application ended, "" when it ended well or lives."""
    if report.state not in (ApplicationState.FINISHED, ApplicationState.FAILED, ApplicationState.KILLED):
        return ""
    if report.final_status is FinalStatus.SUCCEEDED:
        return ""
    text = report.diagnostics
    for pattern, sentence in CAUSES:
        found = re.search(pattern, text, re.S | re.M)
        if found:
            return sentence.format(*(group or "" for group in found.groups())).strip()
    if report.state is ApplicationState.KILLED:
        return "The application was killed."
    first = text.strip().partition("\n")[0].strip()
    return first[:300]


def tidy(diagnostics: str) -> str:
    """YARN's diagnostics without stack traces and without the parts that it says twice."""
    kept: list[str] = []
    tails = 0
    for line in diagnostics.strip().splitlines():
        if TAIL.match(line):
            tails += 1
        elif line.startswith(END_OF_TAIL):
            tails = min(tails, 1)
        if tails < 2 and not STACK_TRACE.match(line):
            limit = TREE_CHARACTERS if line.startswith(TREE_LINE) else LINE_CHARACTERS
            kept.append(line[:limit].rstrip())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept))
