"""Puts Spark's jars and the launchers on the cluster's file system once; found again by their content's hash.

What is staged is run by everybody who uses the same root, so a root outside the user's own home is used only
if nobody but the administrators named for it could have put something there (:func:`distrust`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import posixpath
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import NotAllowed, SparkKernelError
from .bundle import Bundle
from .filesystem import FileStatus, FileSystem
from .jars import Jar, digest_of, staged_name
from .spark_home import SparkHome

log = logging.getLogger(__name__)

OWN_ROOT = ".sparkkernels"
STAGE_COMMAND = "jupyter sparkkernels stage"
OTHERS_MAY_WRITE, STICKY = 0o022, 0o1000


@dataclass(frozen=True)
class Staged:
    """What of the needed files is on the cluster.

    Attributes
    ----------
    archive : str or None
        URI of Spark's jars.
    bundle : str or None
        URI of the launchers.
    jars : dict of Path to str
        URIs of the kernel's own jars, by their paths here.
    own_root : str
        The root, when it is in the user's own home; "" for another's.
    warnings : list of str
        What to tell the user: starts will be slow, or a root was not used.
    """

    archive: str | None = None
    bundle: str | None = None
    jars: dict[Path, str] = field(default_factory=dict)
    own_root: str = ""
    warnings: list[str] = field(default_factory=list)


def jars_name(version: str, jars: Collection[tuple[str, int]]) -> str:
    """File name of Spark's staged jars.

    Parameters
    ----------
    version : str
        Spark's.
    jars : collection of (str, int)
        Name and size of each; reading 300 MB to hash them would take longer than it is worth.
    """
    text = "".join(f"{name}\0{size}\n" for name, size in sorted(jars))
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"spark-jars-{version}-{digest[:12]}.zip"


def spark_jars(home: SparkHome) -> list[Path]:
    """Spark's jars on this host, in order."""
    return sorted(path for path in home.jars.iterdir() if path.suffix == ".jar")


def zip_jars(jars: Sequence[Path], target: Path) -> None:
    """Zip jars without compressing them again, as ``spark.yarn.archive`` wants them: at the root."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for jar in jars:
            archive.write(jar, jar.name)


def components(path: str) -> list[str]:
    """A path's ancestors and the path itself, from the root on."""
    parts = [part for part in path.split("/") if part]
    return ["/"] + ["/" + "/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def distrust(statuses: Sequence[FileStatus], admins: Collection[str]) -> str:
    """Why code in a shared place is not to be trusted, "" when it is.

    Parameters
    ----------
    statuses : sequence of FileStatus
        Of every component of the path, from the file system's root on.
    admins : collection of str
        Users who may own them.

    Notes
    -----
    In a sticky directory everybody may add something but nobody may rename or remove what is another's.
    """
    for status in statuses:
        if status.owner not in admins:
            return f"{status.path} belongs to {status.owner}, who is not one of {', '.join(sorted(admins))}"
        if status.mode & OTHERS_MAY_WRITE and not (status.is_directory and status.mode & STICKY):
            return f"{status.path} may be written by others than its owner (mode {status.mode:o})"
    return ""


class Staging:
    """One staging root.

    Parameters
    ----------
    file_system : FileSystem
    default_fs : str
        What a path is a path of, like ``hdfs://namenode:8020``.
    root : str
        Directory or URI; "" for the one in the user's own home.
    admins : collection of str
        Who may own a root outside the user's home, and its parents.
    """

    def __init__(self, file_system: FileSystem, default_fs: str, root: str, admins: Collection[str]) -> None:
        self._fs = file_system
        self._default_fs = default_fs
        self._admins = admins
        self._configured = root.removeprefix(default_fs).rstrip("/")

    def find(self, home: SparkHome, bundle: Bundle, jars: Sequence[Jar] = ()) -> Staged:
        """Look for what is needed; missing files make a start slower, not impossible."""
        warnings: list[str] = []
        root = self._root(warnings)
        files = {posixpath.basename(status.path): status for status in self._fs.entries(root)}
        shared = root == self._configured and not self._is_own(root)
        found: dict[str, str] = {}
        for name in (self._jars_name(home), bundle.name, *(jar.name for jar in jars)):
            status = files.get(name)
            reason = distrust([status], self._admins) if status and shared else ""
            if reason:
                warnings.append(f"A staged file is not used: {reason}.")
            elif status:
                found[name] = f"{self._default_fs}{root}/{name}"
        archive = found.get(self._jars_name(home))
        if archive is None:
            warnings.append(
                f"Spark's jars are not staged in {root}, so every start uploads them and takes several"
                f" seconds longer. Run once: {STAGE_COMMAND}"
            )
        if shared:
            warnings += [
                f"The jar {jar.path} is not staged in {root}, so every start uploads it. Run once:"
                f" {STAGE_COMMAND}"
                for jar in jars
                if jar.name not in found
            ]
        return Staged(
            archive,
            found.get(bundle.name),
            {jar.path: found[jar.name] for jar in jars if jar.name in found},
            "" if shared else root,
            warnings,
        )

    def complete(self, staged: Staged, jars: Sequence[Jar]) -> Staged:
        """Put jars that are missing into a root in the user's own home; what is others' is left to them."""
        missing = [jar for jar in jars if jar.path not in staged.jars]
        if not missing or not staged.own_root:
            return staged
        try:
            self._fs.make_directory(staged.own_root, 0o700)
            added = self._add(staged.own_root, (), missing, log.info)
        except (SparkKernelError, OSError) as error:
            warning = f"The kernel's jars can't be staged in {staged.own_root}: {error}"
            return dataclasses.replace(staged, warnings=[*staged.warnings, warning])
        return dataclasses.replace(staged, jars={**staged.jars, **added})

    def stage(
        self,
        home: SparkHome,
        bundle: Bundle,
        jars: Sequence[Jar] = (),
        tell: Callable[[str], None] = log.info,
    ) -> Staged:
        """Put there what is missing.

        Parameters
        ----------
        home : SparkHome
        bundle : Bundle
        jars : sequence of Jar
            Kernels' own.
        tell : callable
            Told each step in words.

        Raises
        ------
        NotAllowed, SparkKernelError
        """
        root = self._configured or self._own_root()
        own = self._is_own(root)
        self._fs.make_directory(root, 0o700 if own else 0o755)
        if not own and (reason := distrust(self._statuses(root), self._admins)):
            raise NotAllowed(
                f"The staging directory {root} can't be used: {reason}.",
                hint="Correct its owner and mode, or name its owner in staging_admins.",
            )
        there = {posixpath.basename(status.path) for status in self._fs.entries(root)}
        name = self._jars_name(home)
        with tempfile.TemporaryDirectory(prefix="sparkkernels-stage-") as scratch:
            if name not in there:
                packed = spark_jars(home)
                tell(f"Packing {len(packed)} jars of Spark {home.version}.")
                local = Path(scratch) / name
                zip_jars(packed, local)
                tell(f"Uploading {local.stat().st_size / 1e6:.0f} MB to {root}/{name}.")
                self._fs.upload(local, f"{root}/{name}", 0o644)
            if bundle.name not in there:
                tell(f"Uploading {root}/{bundle.name}.")
                self._fs.upload(bundle.write_to(Path(scratch)), f"{root}/{bundle.name}", 0o644)
        uri = f"{self._default_fs}{root}"
        return Staged(
            f"{uri}/{name}",
            f"{uri}/{bundle.name}",
            self._add(root, there, jars, tell),
            root if own else "",
        )

    def _add(
        self, root: str, there: Collection[str], jars: Sequence[Jar], tell: Callable[[str], None]
    ) -> dict[Path, str]:
        """Upload the jars that are not there, each named by what is uploaded: it may change meanwhile."""
        uris = {}
        for jar in jars:
            name = jar.name
            if name not in there:
                with tempfile.TemporaryDirectory(prefix="sparkkernels-stage-") as scratch:
                    copy = Path(shutil.copyfile(jar.path, Path(scratch) / jar.path.name))
                    name = staged_name(jar.path, digest_of(copy))
                    tell(f"Uploading {root}/{name}.")
                    self._fs.upload(copy, f"{root}/{name}", 0o644)
            uris[jar.path] = f"{self._default_fs}{root}/{name}"
        return uris

    def _root(self, warnings: list[str]) -> str:
        """The root to use: the configured one if it can be trusted, else the user's own."""
        if not self._configured or self._is_own(self._configured):
            return self._configured or self._own_root()
        try:
            reason = distrust(self._statuses(self._configured), self._admins)
        except SparkKernelError as error:
            reason = f"it can't be looked at ({error.message})"
        if not reason:
            return self._configured
        own = self._own_root()
        warnings.append(f"The staging directory {self._configured} is not used: {reason}. Using {own}.")
        return own

    def _statuses(self, path: str) -> list[FileStatus]:
        found = []
        for component in components(path):
            status = self._fs.status(component)
            if status is None:
                raise SparkKernelError(f"{component} does not exist")
            found.append(status)
        return found

    def _own_root(self) -> str:
        return f"{self._fs.home()}/{OWN_ROOT}"

    def _is_own(self, path: str) -> bool:
        return path.startswith(f"{self._fs.home()}/")

    def _jars_name(self, home: SparkHome) -> str:
        return jars_name(home.version, [(jar.name, jar.stat().st_size) for jar in spark_jars(home)])
