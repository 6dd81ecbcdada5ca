"""Make or refresh a virtual environment: `python tools/environment.py FOLDER REQUIREMENT…`.

Does nothing when the environment was made by the same Python from the same requirements and sources. Must be
understood by any Python 3, so that a too old one can be told so.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time

OLDEST = (3, 11)
STAMP = "sparkkernels-requirements"
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
#: What an installed, non-editable sparkkernels is made from.
SOURCES = ["setup.py", "pyproject.toml", "README.md", "LICENSE"]
SOURCES += ["sparkkernels", "launchers", "spark-conf", "jupyter-config"]


def main() -> int:
    """Make the environment, showing each step and its time."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("requirements", nargs="+", metavar="REQUIREMENT")
    parser.add_argument("--editable", action="store_true", help="install the first requirement editable")
    options = parser.parse_args()
    if sys.version_info < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        found = ".".join(map(str, sys.version_info[:2]))
        print(f"Python {oldest} or newer is needed; {sys.executable} is {found}.", file=sys.stderr)
        print(f"Name another one, for example: make demo PYTHON=python{oldest}", file=sys.stderr)
        return 1
    folder = os.path.abspath(options.folder)
    wanted = fingerprint(options.requirements, options.editable)
    if read(os.path.join(folder, STAMP)) == wanted:
        Step(f"Environment {options.folder} is there").done(0)
        return 0
    same_python = read(os.path.join(folder, STAMP)).split(" ")[0] == wanted.split(" ")[0]
    if not same_python and not make(folder, options.folder):
        return 1
    if not install(folder, options.requirements, options.editable):
        return 1
    with open(os.path.join(folder, STAMP), "w") as stamp:
        stamp.write(wanted)
    return 0


def make(folder: str, shown: str) -> bool:
    """Make an empty environment in place of whatever was there."""
    try:
        import ensurepip  # noqa: F401 - Debian has it in a package of its own
        import venv
    except ImportError:
        print("This Python lacks venv; on Debian: apt-get install python3-venv", file=sys.stderr)
        return False
    with Step(f"Making the environment {shown}"):
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True, symlinks=True)
    return True


def install(folder: str, requirements: "list[str]", editable: bool) -> bool:
    """Install the requirements; pip is heard only when it fails."""
    python = os.path.join(folder, "bin", "python")
    # setuptools builds in build/lib, from which deleted modules would come back.
    shutil.rmtree(os.path.join(ROOT, "build", "lib"), ignore_errors=True)
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--editable"] * editable + list(requirements)
    with Step(f"Installing {' '.join(requirements)}"):
        return subprocess.call(command, cwd=ROOT, stdin=subprocess.DEVNULL) == 0


def fingerprint(requirements: "list[str]", editable: bool) -> str:
    """The Python and a digest of everything that decides what is installed."""
    digest = hashlib.sha256(repr((requirements, editable)).encode())
    for path in sorted(files(SOURCES[:2] if editable else SOURCES)):
        digest.update(os.path.relpath(path, ROOT).encode() + b"\0")
        with open(path, "rb") as file:
            digest.update(hashlib.sha256(file.read()).digest())
    python = f"{os.path.realpath(sys.executable)}-{sys.hexversion}".replace(" ", "_")
    return f"{python} {digest.hexdigest()}"


def files(names: "list[str]") -> "list[str]":
    """The files of the repository that have these names or are below them."""
    found = []
    for name in names:
        top = os.path.join(ROOT, name)
        if os.path.isfile(top):
            found.append(top)
        for folder, _, members in os.walk(top):
            if "__pycache__" not in folder:
                found += [os.path.join(folder, member) for member in members]
    return found


def read(path: str) -> str:
    """The text of a file, "" when there is none."""
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


class Step:
    """Shows what is being done while it is, and how long it took."""

    def __init__(self, what: str) -> None:
        self.start = time.monotonic()
        print(f"{what:<64} ", end="", flush=True)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *failure: object) -> None:
        self.done(time.monotonic() - self.start)

    @staticmethod
    def done(seconds: float) -> None:
        """End the line."""
        print(f"{seconds:6.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
