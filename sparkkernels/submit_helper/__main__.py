"""``python -I -m sparkkernels.submit_helper [--settings PATH]``, run by sudo as the service's account."""

from __future__ import annotations

import json
import logging
import os
import pwd
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from .. import __version__
from ..errors import ConfigurationError, SparkKernelError
from .caller import check_caller, read_caller
from .configuration import DEFAULT_PATH, check_keytab, environment, read_configuration
from .messages import error_to_json
from .service import OwnBackend, Service, unexpected
from .session import Session
from .ticket import SharedTicket, private_directory, take_slot

STDIN, STDOUT = 0, 1


def main(arguments: Sequence[str]) -> int:
    """Serve the person who called sudo.

    Parameters
    ----------
    arguments : sequence of str
        Those of the sudoers rule, which fixes the whole command line.

    Returns
    -------
    int
        The exit code.
    """
    os.umask(0o077)
    os.chdir("/")
    for number in (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
        # sudo passes its caller's signals on: one that is stopped while it holds a lock would stop the others
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    logging.captureWarnings(True)
    try:
        session = _session(_settings_path(arguments))
    except SparkKernelError as error:
        return _refuse(error)
    except Exception as error:  # whoever waits for an answer must get one
        logging.getLogger(__name__).exception("The submit helper can't start.")
        return _refuse(unexpected(error))
    return session.run()


def _session(path: str) -> Session:
    caller = read_caller(os.environ)
    account = pwd.getpwuid(os.getuid())
    os.environ.clear()
    configuration = read_configuration(path)
    check_caller(caller, configuration.users)
    directory = private_directory(configuration.state_dir, account.pw_dir)
    take_slot(directory, caller.name, configuration.helpers_per_user)
    cache = f"FILE:{directory / 'ticket'}" if configuration.principal else ""
    environ = environment(configuration, account.pw_dir, account.pw_name, cache)
    # Libraries that know no other way, Kerberos's among them, read the process's own.
    os.environ.update(environ)
    ticket = _ticket(configuration.principal, configuration.keytab, environ, directory)
    backend = OwnBackend(caller.name, configuration, environ)
    session = Session(Service(caller.name, configuration, backend, ticket), STDIN, STDOUT)
    session.send({"ready": {"user": caller.name, "version": __version__}})
    return session


def _ticket(principal: str, keytab: str, environ: dict[str, str], directory: Path) -> SharedTicket | None:
    if not principal:
        return None
    check_keytab(keytab)
    return SharedTicket(principal, keytab, environ, directory)


def _settings_path(arguments: Sequence[str]) -> str:
    if not arguments:
        return DEFAULT_PATH
    if len(arguments) == 2 and arguments[0] == "--settings":
        return arguments[1]
    raise ConfigurationError("The submit helper takes no arguments but --settings PATH.")


def _refuse(error: SparkKernelError) -> int:
    sys.stdout.write(json.dumps({"error": error_to_json(error)}) + "\n")
    sys.stdout.flush()
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
