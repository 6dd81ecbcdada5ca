"""What logs and exit codes say, in words for the person who asked for a kernel."""

from __future__ import annotations

import re

#: Lines of the container's output in an error, and what says nothing there: Spark's own lines at level INFO,
#: and the frames of Java's stacks.
LINES = 20
NOISE = re.compile(r"\S+ \S+ INFO \S+: |\s+at \S+\(.*\)$|\s+\.\.\. \d+ more$")


def last_lines(text: str, count: int) -> str:
    """The last lines of a text that say something."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip() and not NOISE.match(line)]
    return "\n".join(lines[-count:])


def describe_exit(returncode: int | None) -> str:
    """An exit code in words."""
    if returncode is None:
        return "it ended"
    if returncode < 0:
        return f"it was ended by signal {-returncode}"
    return f"it ended with exit code {returncode}"


#: What in a log tells which step to take.
HINTS: list[tuple[str, str]] = [
    (
        "No module named '?(ipykernel|zmq)",
        "Install ipykernel for the workers' python (the kernelspec's --python), or name another python.",
    ),
    ("No module named", "Install the missing module for the workers' python (the kernelspec's --python)."),
    (
        "could not reach the Jupyter server's relay",
        "Open the way to one of these addresses for the workers, or set"
        " relay_addresses (and relay_port) to what they can reach.",
    ),
    (
        "ignores the CURVE keys",
        "Install ipykernel 7.3 or newer for the workers' python, or set curve to disabled where the workers'"
        " other users may be trusted.",
    ),
    (
        "could not be started: No such file",
        "Name a command that exists on the workers in the kernelspec's argv.",
    ),
    (
        "Cannot run program",
        "Name a python that exists on every worker with --python when installing the kernelspec.",
    ),
]


def hint_for(text: str) -> str:
    """The step to take for what a log says, "" when nothing is known."""
    return next((hint for pattern, hint in HINTS if re.search(pattern, text)), "")
