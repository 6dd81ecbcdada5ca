"""What a kernelspec of ours holds, and how it is written: completely or not at all."""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, SparkKernelError
from .languages import Language

PROVISIONER = "spark-provisioner"

#: jupyter_client's ``kernelspec._kernel_name_pat``, which only warns at the wrong moment.
KERNEL_NAME = re.compile(r"[a-z0-9._\-]+\Z")


def kernel_json(
    language: Language,
    *,
    master: str,
    python: str,
    display_name: str,
    spark_conf: Mapping[str, str],
    env: Mapping[str, str],
    queue: str | None = None,
    jars: Sequence[str] = (),
) -> dict[str, Any]:
    """The content of a kernel.json.

    Parameters
    ----------
    language : Language
    master : str
        ``yarn``, ``local[*]`` or ``local[N]``.
    python : str
        The interpreter that runs the launchers where the kernel lives.
    display_name : str
        What a person sees in the launcher.
    spark_conf : mapping of str to str
        Spark settings of every kernel started from this spec.
    env : mapping of str to str
        The kernel's environment.
    queue : str, optional
        YARN queue.
    jars : sequence of str
        Files of this machine that every kernel gets.
    """
    config: dict[str, Any] = {"master": master, "python": python, "spark_conf": dict(spark_conf)}
    if queue is not None:
        config["queue"] = queue
    if jars:
        config |= {"jars": list(jars), "scala_version": language.scala_version}
    return {
        "argv": language.argv(python),
        "display_name": display_name,
        "language": language.jupyter_name,
        "interrupt_mode": "signal",
        "kernel_protocol_version": "5.5",
        "env": dict(env),
        "metadata": {
            **language.metadata,
            "kernel_provisioner": {"provisioner_name": PROVISIONER, "config": config},
        },
    }


def check_name(name: str) -> None:
    """Refuse a name that Jupyter would not find, or that leaves the kernels directory."""
    if not KERNEL_NAME.match(name) or name.startswith("."):
        raise ConfigurationError(
            f"The kernel name {name!r} is not one: only lower-case ASCII letters, digits, hyphen, period and"
            " underscore, not beginning with a period."
        )


def check_replaceable(directory: Path) -> None:
    """Refuse to overwrite a kernelspec that this package did not write."""
    path = directory / "kernel.json"
    try:
        spec = json.loads(path.read_text(encoding="utf-8"))
        stanza = spec["metadata"]["kernel_provisioner"]["provisioner_name"]
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise SparkKernelError(f"{path} can't be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError):
        stanza = None
    if stanza != PROVISIONER:
        raise ConfigurationError(
            f"{directory} holds the spec of another kind of kernel.",
            hint="Choose another --name, or remove it first with `jupyter kernelspec remove`.",
        )


def write(directory: Path, spec: Mapping[str, Any]) -> Path:
    """Put the spec in place with one rename, which replaces an older one of this name.

    A directory without kernel.json is no kernel to Jupyter, so there is no moment with half a spec.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    SparkKernelError
        It can't be written there; nothing was changed.
    """
    content = json.dumps(spec, indent=1, ensure_ascii=False) + "\n"
    target = directory / "kernel.json"
    draft = directory / f".kernel.json.{uuid.uuid4().hex}"
    made = False
    try:
        made = not directory.exists()
        directory.mkdir(parents=True, exist_ok=True)
        try:
            with draft.open("x", encoding="utf-8") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(target)
        except BaseException:
            draft.unlink(missing_ok=True)
            if made:
                directory.rmdir()
            raise
    except OSError as error:
        raise SparkKernelError(
            f"The kernelspec can't be written to {directory}: {error.strerror}.",
            hint="Choose a place you can write to: --user, --sys-prefix or --prefix.",
        ) from error
    return target
