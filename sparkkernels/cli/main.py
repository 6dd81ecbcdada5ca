"""`jupyter sparkkernels`: parse, dispatch, and turn what goes wrong into one message and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from .. import __version__
from ..errors import ConfigurationError, SparkKernelError
from . import adopt, homes, install, list_kernels, logs, stage, stop_kernels

OK = 0
FAILED = 1  #: it could not be done
USAGE = 2  #: what was asked for, or a setting, is wrong; nothing was done
INTERRUPTED = 130

_COMMANDS = (install, stage, homes, list_kernels, stop_kernels, adopt, logs)


class Parser(argparse.ArgumentParser):
    """An argument parser that raises instead of printing its usage and leaving."""

    def error(self, message: str) -> NoReturn:
        """Called by argparse for every malformed command line."""
        raise ConfigurationError(f"{self.prog}: {message}.", hint=f"See `{self.prog} --help`.")


def build_parser() -> Parser:
    """The parser of all sub-commands."""
    parser = Parser(
        prog="jupyter sparkkernels",
        description="Jupyter kernels as Spark applications on Hadoop YARN.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"sparkkernels {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in _COMMANDS:
        command = commands.add_parser(
            module.NAME, help=module.SUMMARY, description=module.DESCRIPTION, allow_abbrev=False
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments after the program's name; default those of this process.

    Returns
    -------
    int
        0 done, 1 it failed, 2 the command line or a setting is wrong.
    """
    try:
        options = build_parser().parse_args(argv)
        options.run(options)
        sys.stdout.flush()
    except ConfigurationError as error:
        return _report(error, USAGE)
    except SparkKernelError as error:
        return _report(error, FAILED)
    except BrokenPipeError:
        # The reader left (`… | head`); point stdout elsewhere, or the interpreter's last flush complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return INTERRUPTED
    return OK


def _report(error: SparkKernelError, code: int) -> int:
    print(render(error), file=sys.stderr)
    return code


def render(error: SparkKernelError) -> str:
    """The error for a terminal: one line with what is wrong and what to do, then what the cluster said."""
    first = " ".join(part.strip() for part in (error.message, error.hint) if part.strip())
    lines = [" ".join(first.split())]
    if error.diagnostics.strip():
        lines.append(error.diagnostics.strip())
    if error.application_id:
        at = f" ({error.tracking_url})" if error.tracking_url else ""
        lines.append(f"Application: {error.application_id}{at}")
    return "\n".join(lines)
