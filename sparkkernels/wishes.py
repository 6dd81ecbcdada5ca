"""What the user of a running kernel wants for its next application (``%spark restart``), and may want."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import ConfigurationError
from .limits import Limits
from .spec import LaunchSpec

#: Without an administrator's limits, what the owner of a server may set: all that is not refused to all.
OWN_LIMITS: dict[str, Any] = {"spark.*": {}, "queue": {}}


@dataclass(frozen=True)
class Wish:
    """Settings in addition to the kernelspec's.

    Attributes
    ----------
    spark_conf : mapping of str to str
    queue : str or None
    """

    spark_conf: Mapping[str, str] = field(default_factory=dict)
    queue: str | None = None

    @classmethod
    def read(cls, message: Mapping[str, Any]) -> Wish:
        """From a ``restart`` message (PROTOCOL.md, section 5), which a kernel's user may have made up.

        Raises
        ------
        ConfigurationError
        """
        conf, queue = message.get("spark_conf"), message.get("queue")
        texts = [*conf, *conf.values()] if isinstance(conf, dict) else [None]
        if not all(isinstance(text, str) for text in texts) or not isinstance(queue, str | None):
            raise ConfigurationError("The wish for a restart is malformed: settings are names and texts.")
        return cls(dict(conf or {}), queue or None)

    def check(self, limits: Mapping[str, Any], is_own: bool) -> None:
        """Refuse what may not be set here.

        Parameters
        ----------
        limits : mapping of str to object
            The setting ``limits``; empty when the administrator has none.
        is_own : bool
            Whether kernels run as this server's own account, which may set what it could submit anyway.

        Raises
        ------
        NotAllowed, ConfigurationError
        """
        Limits.parse(limits or (OWN_LIMITS if is_own else {})).check(self.queue, self.spark_conf)

    def applied(self, spec: LaunchSpec) -> LaunchSpec:
        """The spec with these settings in it."""
        conf = {**spec.spark_conf, **self.spark_conf}
        return dataclasses.replace(spec, spark_conf=conf, queue=self.queue or spec.queue)

    def __str__(self) -> str:
        words = [f"{name}={value}" for name, value in self.spark_conf.items()]
        words += [f"queue {self.queue}"] if self.queue else []
        return ", ".join(words) or "the kernelspec's settings"


class Wishes:
    """The wishes of one kernel's user: the one in force, and the one for the next start."""

    def __init__(self) -> None:
        self.current = Wish()
        self.next: Wish | None = None

    def begin(self) -> Wish:
        """A new application starts: the wish for it, in force from now on; what was in force before."""
        former = self.current
        if self.next is not None:
            self.current, self.next = self.next, None
        return former
