"""Unix accounts of persons and of a service, and what sudo lets the persons do: made as root, and removed."""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

#: Accounts with this comment were made here.
MARK = "sparkkernels-test"
SUDOERS = Path("/etc/sudoers.d")
LOCK = Path("/run/sparkkernels-test-people.lock")
TIMEOUT_S = 30.0


@contextmanager
def people(names: Sequence[str], service: str, home: Path) -> Iterator[None]:
    """Accounts of these persons and of a service; those that are there already are left alone.

    Parameters
    ----------
    names : sequence of str
    service : str
    home : Path
        Where the service's home is made.
    """
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made: list[str] = []
        try:
            remove_old()
            for name in (*names, service):
                if not _exists(name):
                    system = ["--system"] if name == service else []
                    place = ["--home-dir", str(home / name)]
                    _run(["useradd", *system, *place, "--no-create-home", "--user-group", "-c", MARK, name])
                    made.append(name)
            for name in (*names, service):
                (home / name).mkdir(mode=0o700, parents=True)
                account = pwd.getpwnam(name)
                os.chown(home / name, account.pw_uid, account.pw_gid)
            yield
        finally:
            for name in made:
                _run(["userdel", "--force", name])
            LOCK.unlink()


def remove_old() -> None:
    """Remove what a run that was killed has left; called with the lock held."""
    for account in pwd.getpwall():
        if account.pw_gecos == MARK:
            _run(["userdel", "--force", account.pw_name])
    for path in SUDOERS.glob(f"{MARK}-*"):
        path.unlink()


def give_away(directories: Iterable[Path], owner: str) -> None:
    """Have containers' logs belong to somebody, as they do where containers run as their users."""
    for directory in directories:
        for path in (directory, *directory.iterdir()):
            shutil.chown(path, owner)


@contextmanager
def sudoers(text: str) -> Iterator[None]:
    """A file of sudoers(5), checked before sudo sees it."""
    path = SUDOERS / f"{MARK}-{os.getpid()}"
    temporary = SUDOERS / f"{MARK}-{os.getpid()}.new"  # sudo reads no file with a dot in its name
    try:
        temporary.touch(0o440)
        temporary.write_text(text)
        _run(["visudo", "-c", "-q", "-f", str(temporary)])
        temporary.rename(path)
        yield
    finally:
        for left in (temporary, path):
            left.unlink(missing_ok=True)


def as_person(name: str) -> list[str]:
    """The command that runs its arguments as somebody."""
    account = pwd.getpwnam(name)
    return ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", "--"]


def processes_of(name: str) -> list[str]:
    """Command lines of all processes of an account."""
    uid = pwd.getpwnam(name).pw_uid
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and entry.stat().st_uid == uid:
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL)
