"""What one server process leaves to the next for taking over a kernel: secret, its owner's alone."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .errors import ConfigurationError, SparkKernelError
from .record import LaunchRecord, records
from .relay.tls import Certificate

NAME = "handover.json"
VERSION = 1
#: Bytes of a handover at most; it has some thousands.
MOST = 1048576


@dataclass(frozen=True)
class Handover:
    """One kernel, as the process that started it has it.

    Attributes
    ----------
    kernel_id, kernel_name : str
        The kernel's id, and its kernelspec's name.
    application_id : str
    number : int
        Of the kernel process.
    generation : int
        Of the launch.
    session : str
        The supervisor's session secret.
    begun_at : float
        When the application was submitted, in seconds since 1970.
    host : str
    port : int
    certificate, key, certificate_path : str
        The relay's, at which the supervisor dials and which it has pinned; PEM.
    connection_info : dict
        As Jupyter knows it, with texts for bytes.
    requester, starter, proxy_user : str or None
        Who asked for it, who may touch it, and whom it runs as.
    wish : dict
        Settings that its user wants in addition to the kernelspec's: ``spark_conf`` and ``queue``.
    note : dict
        The backend's, :meth:`sparkkernels.cluster.base.Backend.note`.
    """

    kernel_id: str
    kernel_name: str
    application_id: str
    number: int
    generation: int
    session: str = field(repr=False)
    begun_at: float
    host: str
    port: int
    certificate: str
    key: str = field(repr=False)
    certificate_path: str
    connection_info: dict[str, Any] = field(repr=False)
    requester: str | None
    starter: str | None
    proxy_user: str | None
    wish: dict[str, Any]
    note: dict[str, str]

    @property
    def relay_certificate(self) -> Certificate:
        """The relay's certificate and key."""
        return Certificate(self.certificate.encode(), self.key.encode(), self.certificate_path)

    def to_json(self) -> dict[str, Any]:
        """What is written; secret."""
        return {"version": VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Handover:
        """The handover that was written.

        Raises
        ------
        ConfigurationError
            It is none, or another version's.
        """
        given = dict(content)
        version = given.pop("version", None)
        if version != VERSION:
            raise ConfigurationError(f"A kernel was left by another version ({version!r}) of sparkkernels.")
        try:
            handover = cls(**given)
            numbers = handover.number, handover.generation, handover.port
            whole = all(type(number) is int and number > 0 for number in numbers)
            secrets = len(handover.session) >= 64 and isinstance(handover.connection_info["key"], str)
            if (
                not whole
                or not secrets
                or not (isinstance(handover.note, dict) and isinstance(handover.wish, dict))
            ):
                raise TypeError("a value of a wrong type")
        except (TypeError, KeyError) as error:
            raise ConfigurationError("What a server left of a kernel can't be read.") from error
        return handover


def save(record: LaunchRecord, handover: Handover) -> None:
    """Leave a kernel to whoever holds its record next."""
    record.write_file(NAME, handover.to_json())


def is_left(directory: Path) -> bool:
    """Whether a record's kernel was left to the next server."""
    return (directory / NAME).exists()


def read(record: LaunchRecord) -> Handover:
    """What was left of this record's kernel.

    Raises
    ------
    ConfigurationError
        It can't be read, or is not ours alone.
    """
    path = record.directory / NAME
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
                raise ConfigurationError(
                    f"{path} is not this account's alone, so nobody knows who wrote it.",
                    hint="Remove it if you have not moved it there.",
                )
            content = json.loads(file.read(MOST))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} can't be read: {error}.") from error
    handover = Handover.from_json(content if isinstance(content, dict) else {})
    if handover.kernel_id != record.kernel_id:
        raise ConfigurationError(f"{path} is that of another kernel.")
    return handover


@dataclass(frozen=True)
class Left:
    """A kernel that was left and that nobody holds any more, but we.

    Attributes
    ----------
    record : LaunchRecord
        Locked.
    handover : Handover
    """

    record: LaunchRecord
    handover: Handover


def take_all(warn: Any) -> list[Left]:
    """Lock and read all that was left in this account's runtime directory.

    Parameters
    ----------
    warn : callable
        Told what can't be taken over and why.
    """
    found = []
    for kernel_id in records():
        record = LaunchRecord(kernel_id)
        if not is_left(record.directory) or not record.lock():
            continue
        try:
            found.append(Left(record, read(record)))
        except SparkKernelError as error:
            warn(f"Kernel {kernel_id} is not taken over. {error}")
            record.leave()
    return found
