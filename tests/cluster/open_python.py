"""A Python with the product in it that every account of this host can run, wherever the test's own one is."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import sysconfig
from pathlib import Path

from sparkkernels.cluster import bundle

ROOT = Path(__file__).resolve().parents[2]
#: What is copied of the product: the launchers are found beside it, as where they are installed.
PACKAGES = (
    ROOT / "sparkkernels",
    *(ROOT / "launchers" / package for package in bundle.PACKAGES),
)
#: Parts of an installation that nobody needs here.
LEFT_OUT = ("site-packages", "test", "idlelib", "tkinter", "turtledemo", "ensurepip", "config-*")
#: Debian's Python looks elsewhere than where others do.
FIND_PACKAGES = """import os, site

site.addsitedir(os.path.join(os.path.dirname(__file__), "site-packages"))
"""


def open_python(directory: Path) -> Path:
    """Make one, and return its executable.

    Its packages are this process's: by path where all accounts may read there, else by hard link or copy.

    Parameters
    ----------
    directory : Path
        A new one; all of its parents can be entered by everybody.
    """
    library = Path("lib") / f"python{sysconfig.get_python_version()}"
    base = Path(sys.base_prefix)
    (directory / "bin").mkdir(parents=True)
    for path in (base / "lib").glob("libpython*.so*"):
        (directory / "lib").mkdir(exist_ok=True)
        shutil.copy2(path, directory / "lib", follow_symlinks=False)
    executable = directory / "bin" / "python3"
    program = (base / "bin" / f"python{sysconfig.get_python_version()}").read_bytes()
    executable.write_bytes(_relocated(program, base))
    executable.chmod(0o755)
    _copy(base / library, directory / library, *LEFT_OUT)
    packages = directory / library / "site-packages"
    packages.mkdir()
    custom = directory / library / "sitecustomize.py"
    custom.unlink(missing_ok=True)  # a link, as Debian has it
    custom.write_text(FIND_PACKAGES)
    for package in PACKAGES:
        _copy(package, packages / package.name)
    others = [Path(path) for path in sys.path if Path(path).name == "site-packages" and Path(path).is_dir()]
    for number, other in enumerate(dict.fromkeys(others)):
        if not all_may_enter(other):
            copy = directory / f"packages-{number}"
            _copy(other, copy)
            other = copy
        with (packages / "others.pth").open("a") as file:
            file.write(f"{other}\n")
    return executable


def all_may_enter(directory: Path) -> bool:
    """Whether every account can reach and read a directory."""
    wanted = stat.S_IROTH | stat.S_IXOTH
    return directory.stat().st_mode & wanted == wanted and all(
        parent.stat().st_mode & stat.S_IXOTH for parent in directory.resolve().parents
    )


def _relocated(executable: bytes, base: Path) -> bytes:
    """An executable that finds its shared library beside itself: the path in it is changed in place."""
    old = os.fsencode(base / "lib") + b"\0"
    new = b"$ORIGIN/../lib\0"
    return executable.replace(old, new.ljust(len(old), b"\0")) if len(new) <= len(old) else executable


def _copy(source: Path, target: Path, *left_out: str) -> None:
    shutil.copytree(source, target, copy_function=_link_or_copy, ignore=shutil.ignore_patterns(*left_out))
    for parent, directories, _ in os.walk(target):
        for path in [parent, *(os.path.join(parent, name) for name in directories)]:
            os.chmod(path, 0o755)


def _link_or_copy(source: str, target: str) -> None:
    if os.stat(source).st_mode & stat.S_IROTH:
        try:
            os.link(source, target)
            return
        except OSError:
            pass  # another file system
    shutil.copy2(source, target)
    os.chmod(target, 0o644 | stat.S_IMODE(os.stat(source).st_mode))
