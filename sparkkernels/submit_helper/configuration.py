"""The administrator's settings: one file of root's that nobody else can write."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from ..limits import Limits, quoted

DEFAULT_PATH = "/etc/sparkkernels/helper.json"
LONGEST_FILE = 1048576
OTHERS_MAY_WRITE, ALL_MAY_READ = 0o022, 0o004
#: Services of a cluster; impersonating them would be everything.
SERVICES = ("root", "hdfs", "yarn", "mapred", "hive", "hbase", "spark")


@dataclass(frozen=True)
class Users:
    """For whom the helper works.

    Attributes
    ----------
    allow : tuple of str or None
        Nobody else; None for everybody whom sudo lets through.
    deny : tuple of str
    minimum_uid : int
        Accounts with smaller numbers are services.
    """

    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = SERVICES
    minimum_uid: int = 1000


@dataclass(frozen=True)
class Configuration:
    """The helper's settings.

    Attributes
    ----------
    hadoop_conf_dir, spark_home : str
    pythons : tuple of str
        Interpreters on the workers that kernels may use.
    jars : tuple of str
        Files of this host that kernels may have as jars; the helper reads no others.
    principal, keytab, krb5_config : str
        "" on a cluster without Kerberos, the last one for the system's.
    java_home, ca_file, staging_dir : str
    staging_admins : tuple of str
    state_dir : str
        Directory for the service's ticket; "" for ``.cache/sparkkernels`` in the service's home.
    helpers_per_user : int
        How many may run for one person at the same time.
    users : Users
    limits : Limits
    """

    hadoop_conf_dir: str
    spark_home: str
    pythons: tuple[str, ...]
    jars: tuple[str, ...] = ()
    principal: str = ""
    keytab: str = ""
    krb5_config: str = ""
    java_home: str = ""
    ca_file: str = ""
    staging_dir: str = ""
    staging_admins: tuple[str, ...] = ("root", "hdfs")
    state_dir: str = ""
    helpers_per_user: int = 32
    users: Users = field(default_factory=Users)
    limits: Limits = field(default_factory=lambda: Limits({}))


#: Settings that name something on this host.
PATHS = ("hadoop_conf_dir", "spark_home", "keytab", "krb5_config", "java_home", "ca_file", "state_dir")


def read_configuration(path: str) -> Configuration:
    """Read the settings of a file that only root could have written.

    Raises
    ------
    ConfigurationError
    """
    if os.path.normpath(path) != path or not os.path.isabs(path):
        raise ConfigurationError("The path of the helper's settings must be absolute and have no detours.")
    return parse_configuration(_trusted_text(Path(path)), path)


def parse_configuration(text: str, path: str) -> Configuration:
    """The settings in a text; unknown ones are refused.

    Raises
    ------
    ConfigurationError
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"The helper's settings in {path} are not JSON: {error}.") from error
    values = _read(Configuration, content, path)
    users = _read(Users, values.pop("users", {}), f"{path} (users)")
    limits = Limits.parse(values.pop("limits", {}))
    configuration = Configuration(users=Users(**users), limits=limits, **values)
    for name in PATHS:
        value = getattr(configuration, name)
        if value and not os.path.isabs(value):
            raise ConfigurationError(f"{name} in {path} must be an absolute path, not {quoted(value)}.")
    if bool(configuration.principal) != bool(configuration.keytab):
        raise ConfigurationError(f"{path} must have both principal and keytab, or neither.")
    return configuration


def check_keytab(keytab: str) -> None:
    """Refuse a keytab that others can read: whoever has it can be anybody on the cluster.

    Raises
    ------
    ConfigurationError
    """
    try:
        status = os.stat(keytab)
    except OSError:
        return  # said better by who reads it
    if status.st_mode & (ALL_MAY_READ | OTHERS_MAY_WRITE):
        raise ConfigurationError(
            f"The keytab {keytab} can be read by everybody, or written by others.",
            hint=f"Correct it with: chmod 400 {keytab}",
        )


def environment(configuration: Configuration, home: str, user: str, cache: str) -> dict[str, str]:
    """The helper's whole environment; nothing of what came through sudo is in it.

    Parameters
    ----------
    configuration : Configuration
    home, user : str
        Of the service's account.
    cache : str
        The Kerberos credential cache, "" on a cluster without Kerberos.
    """
    found = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": home,
        "USER": user,
        "LOGNAME": user,
        "LC_ALL": "C.UTF-8",
        "HADOOP_CONF_DIR": configuration.hadoop_conf_dir,
        "SPARK_HOME": configuration.spark_home,
        "JAVA_HOME": configuration.java_home,
        "KRB5_CONFIG": configuration.krb5_config,
        "KRB5CCNAME": cache,
    }
    if configuration.krb5_config:
        # Java knows nothing of KRB5_CONFIG.
        found["SPARK_SUBMIT_OPTS"] = f"-Djava.security.krb5.conf={configuration.krb5_config}"
    return {name: value for name, value in found.items() if value}


def _trusted_text(path: Path) -> str:
    """The content of a file, if it and all above it are root's and not writable by others."""
    for parent in reversed(path.parents):
        status = _status(parent)
        if not stat.S_ISDIR(status.st_mode) or not _is_trusted(status):
            raise _distrust(parent)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or not _is_trusted(status):
            raise _distrust(path)
        content = os.read(descriptor, LONGEST_FILE)
    finally:
        os.close(descriptor)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"The helper's settings in {path} are not UTF-8.") from error


def _status(path: Path) -> os.stat_result:
    try:
        return path.lstat()
    except OSError as error:
        raise _unreadable(path, error) from error


def _is_trusted(status: os.stat_result) -> bool:
    """Root's, and nobody else's to change; in a sticky directory nobody can change what is root's."""
    sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
    return status.st_uid == 0 and (not status.st_mode & OTHERS_MAY_WRITE or bool(sticky))


def _distrust(path: Path) -> ConfigurationError:
    return ConfigurationError(
        f"The helper's settings can't be trusted: {path} is not root's alone to write.",
        hint=f"Correct it with: chown root {path} && chmod go-w {path}",
    )


def _unreadable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"The helper's settings can't be read: {path}: {error.strerror}.",
        hint="An administrator writes them; see spark-conf/helper.json.",
    )


def _read(kind: type, content: Any, where: str) -> dict[str, Any]:
    """The fields of a dataclass from an object: texts, whole numbers, lists of texts; all else as it is."""
    if not isinstance(content, Mapping):
        raise ConfigurationError(f"The helper's settings in {where} are no JSON object.")
    known = {entry.name: entry for entry in fields(kind)}
    unknown = content.keys() - known.keys()
    if unknown:
        raise ConfigurationError(f"The helper knows no setting {quoted(min(unknown))}, which {where} has.")
    missing = [
        name
        for name, entry in known.items()
        if entry.default is MISSING and entry.default_factory is MISSING and not content.get(name)
    ]
    if missing:
        raise ConfigurationError(f"{where} must have {', '.join(missing)}.")
    found = {}
    for name, value in content.items():
        wanted = str(known[name].type)
        good = {
            "str": isinstance(value, str),
            "int": isinstance(value, int) and not isinstance(value, bool) and value > 0,
        }.get(wanted, wanted in ("Users", "Limits") or _are_texts(value))
        if not good:
            raise ConfigurationError(f"{name} in {where} must be {_WORDS.get(wanted, 'a list of texts')}.")
        found[name] = tuple(value) if isinstance(value, list) else value
    return found


_WORDS = {"str": "a text", "int": "a whole number above 0"}


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
