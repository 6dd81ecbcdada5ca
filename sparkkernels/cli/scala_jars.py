"""Where the jars of a Scala kernel are on this machine: Toree's assembly, and our class that runs it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ..errors import ConfigurationError

#: Of Toree 0.5.0, and of the class beside it; its releases are for no other.
SCALA_VERSION = "2.12"


def scala_jars() -> list[str]:
    """The two jars, found without importing what holds them.

    Raises
    ------
    ConfigurationError
        One is missing; says which, and how to get it.
    """
    return [str(toree_assembly()), str(host_jar())]


def toree_assembly() -> Path:
    """The assembly in the package ``toree``."""
    directory = _directory("toree")
    found = sorted(directory.glob("lib/toree-assembly-*.jar")) if directory else []
    if not found:
        where = f"{directory} holds no lib/toree-assembly-*.jar" if directory else "it is not installed"
        raise ConfigurationError(
            f"Apache Toree, which Scala kernels are made of, is missing beside this command: {where}.",
            hint="Install it: `pip install 'sparkkernels[scala]'`.",
        )
    return found[-1]


def host_jar() -> Path:
    """The jar of our own class, which is built with the package."""
    directory = _directory("sparkkernels_scala")
    jar = directory / "host.jar" if directory else None
    if jar is None or not jar.is_file():
        raise ConfigurationError(
            "This installation of sparkkernels was built without Maven, so the class that runs Toree is"
            f" missing: {jar or 'sparkkernels_scala'}.",
            hint="Install Maven and a JDK 17, and then sparkkernels again.",
        )
    return jar


def _directory(package: str) -> Path | None:
    """A package's directory, None when it is not installed."""
    found = importlib.util.find_spec(package)
    locations = list(found.submodule_search_locations or ()) if found else []
    return Path(locations[0]) if locations else None
