"""`jupyter sparkkernels install`: write a kernelspec."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import uuid
from collections.abc import Iterable
from pathlib import Path

from jupyter_core.paths import ENV_JUPYTER_PATH, jupyter_data_dir

from ..cluster.command import refuse_forced
from ..cluster.spark_home import check_scala, inspect_spark_home
from ..errors import ConfigurationError
from ..settings import Settings
from ..spec import MASTER, LaunchSpec
from . import kernelspec
from .languages import LANGUAGES, check_python, language

NAME = "install"
SUMMARY = "install a kernelspec"
DESCRIPTION = (
    "Write a kernelspec whose kernels run as Spark applications. Everything is checked first; a spec of the"
    " same name is replaced."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command."""
    add = parser.add_argument
    add(
        "--language",
        default="python",
        help=f"the kernel's language: {' or '.join(LANGUAGES)} (default: python)",
    )
    add("--master", required=True, help="yarn, or local[*] or local[N] for Spark on this machine")
    add(
        "--python",
        default=sys.executable,
        metavar="PATH",
        help="the interpreter where the kernel runs, which for yarn is on the workers and can't be checked"
        " here; a Python kernel's and Spark's executors' alike (default: this one, %(default)s)",
    )
    add("--name", help="the kernel's name (default: spark-LANGUAGE-yarn or spark-LANGUAGE-local)")
    add("--display-name", help="what the launcher shows")
    add("--queue", help="YARN queue (default: the cluster's)")
    add(
        "--conf",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a Spark setting of every kernel started from this spec; may be repeated",
    )
    add(
        "--env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an environment variable of the kernel; may be repeated; no place for secrets",
    )
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--user", action="store_true", help="for this user (default)")
    place.add_argument("--sys-prefix", action="store_true", help="into this Python's environment")
    place.add_argument("--prefix", metavar="DIR", help="into DIR/share/jupyter/kernels")


def run(options: argparse.Namespace) -> None:
    """Check everything, then write the spec and say where it is."""
    kernel = language(options.language)
    if not MASTER.match(options.master):
        raise ConfigurationError(f"--master {options.master!r} is not one of yarn, local[*] and local[N].")
    spark_conf = {**kernel.spark_conf, **pairs(options.conf, "--conf")}
    env = pairs(options.env, "--env")
    launch = LaunchSpec(
        kernel_id=str(uuid.uuid4()),
        generation=1,
        master=options.master,
        argv=tuple(kernel.argv(options.python)),
        python=options.python,
        env=env,
        spark_conf=spark_conf,
        queue=options.queue,
        scala_version=kernel.scala_version,
    )
    refuse_forced(launch)
    kind = "yarn" if launch.is_yarn else "local"
    if launch.queue is not None and not launch.is_yarn:
        raise ConfigurationError("--queue is a YARN queue and means nothing with a local master.")
    name = options.name if options.name is not None else f"spark-{kernel.name}-{kind}"
    kernelspec.check_name(name)
    display_name = options.display_name
    if display_name is None:
        display_name = (
            f"{kernel.jupyter_name.capitalize()} (Spark on {'YARN' if launch.is_yarn else 'this machine'})"
        )
    if not display_name.strip() or not display_name.isprintable():
        raise ConfigurationError("--display-name must be one line of text and not empty.")
    python = check_python(options.python, local=not launch.is_yarn)
    if not launch.is_yarn:
        kernel.check_local(python)
    check_scala_here(launch.scala_version)
    # What is given here is checked by now; what is missing of this machine's is said last.
    jars = dataclasses.replace(launch, jars=tuple(kernel.jars())).jars

    directory = destination(options, name)
    kernelspec.check_replaceable(directory)
    path = kernelspec.write(
        directory,
        kernelspec.kernel_json(
            kernel,
            master=launch.master,
            python=python,
            display_name=display_name,
            spark_conf=spark_conf,
            env=env,
            queue=launch.queue,
            jars=jars,
        ),
    )
    print(f"Installed {name} ({display_name}): {path}")
    for line in next_steps(name, on_yarn=launch.is_yarn):
        print(line)


def check_scala_here(wanted: str) -> None:
    """Refuse what this machine's Spark can't run; where there is none yet, a kernel's start looks again.

    Raises
    ------
    ConfigurationError
    """
    if not wanted:
        return
    try:
        home = inspect_spark_home(Settings().spark_home)
    except ConfigurationError:
        return
    check_scala(home, wanted)


def next_steps(name: str, *, on_yarn: bool) -> list[str]:
    """What a person does after this."""
    steps = []
    if on_yarn:
        steps.append(
            "Next: `jupyter sparkkernels stage` once per Spark version, so that kernels start sooner."
        )
    steps.append(f"Try it: `jupyter console --kernel {name}`, or choose it in JupyterLab (`jupyter lab`).")
    return steps


def pairs(items: Iterable[str], option: str) -> dict[str, str]:
    """Parse NAME=VALUE items; the names themselves are checked by :class:`LaunchSpec`.

    Raises
    ------
    ConfigurationError
        No ``=``, an empty name, or the same name twice.
    """
    result: dict[str, str] = {}
    for item in items:
        name, separator, value = item.partition("=")
        if not separator or not name:
            raise ConfigurationError(f"{option} {item!r} is not of the form NAME=VALUE.")
        if name in result:
            raise ConfigurationError(f"{option} {name} is given twice.")
        if "\0" in value or "\n" in value or "\r" in value:
            raise ConfigurationError(f"{option} {name} has a line break in its value.")
        result[name] = value
    return result


def destination(options: argparse.Namespace, name: str) -> Path:
    """The directory of the kernelspec."""
    if options.sys_prefix:
        data_dir = Path(ENV_JUPYTER_PATH[0])
    elif options.prefix is not None:
        if not options.prefix:
            raise ConfigurationError("--prefix must name a directory.")
        data_dir = Path(options.prefix).absolute() / "share" / "jupyter"
    else:
        data_dir = Path(jupyter_data_dir())
    return data_dir / "kernels" / name
