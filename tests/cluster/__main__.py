"""``python -m tests.cluster``: a Hadoop cluster to work with by hand."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from tests.cluster.harness import Cluster, Daemon, HarnessError
from tests.cluster.harness.layout import MANAGER_IDS
from tests.cluster.harness.resource_manager import UNFINISHED
from tests.cluster.harness.web import WebError


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : list of str, optional
        The command line; by default this process's.

    Returns
    -------
    int
        The exit code.
    """
    options = _parser().parse_args(arguments)
    _interrupt_once()
    try:
        if options.command == "up":
            _up(options)
        elif options.command == "down":
            print("The cluster is gone." if Cluster.remove(options.name) else "There is no cluster.")
        elif options.command == "env":
            _env(Cluster.attach(options.name))
        elif options.command == "transition":
            Cluster.attach(options.name).transition(options.to)
        elif options.command == "status":
            _status(Cluster.attach(options.name))
        else:
            getattr(Cluster.attach(options.name).daemon(options.daemon), options.command)()
    except HarnessError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster", description="A Hadoop cluster for tests."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--name", default="default", help="which cluster (default: %(default)s)")
    up = commands.add_parser("up", parents=[common], help="bring a cluster up")
    up.add_argument(
        "--hosts",
        type=int,
        default=0,
        metavar="N",
        help="give N workers network namespaces of their own; needs root (default: one worker, no namespace)",
    )
    up.add_argument(
        "--kerberos", action="store_true", help="with a KDC, and nobody believed without a ticket"
    )
    up.add_argument("--ha", action="store_true", help="with two ResourceManagers, rm1 and rm2")
    up.add_argument("--https", action="store_true", help="with web servers that speak HTTPS only")
    up.add_argument("--directory", type=Path, metavar="DIR", help="a new or empty directory for everything")
    commands.add_parser("down", parents=[common], help="end it and remove everything of it")
    commands.add_parser("env", parents=[common], help="print shell exports to use it by hand")
    transition = commands.add_parser("transition", parents=[common], help="change the active ResourceManager")
    transition.add_argument("to", choices=MANAGER_IDS, help="which one shall be active")
    commands.add_parser("status", parents=[common], help="print what runs and what is on it")
    for verb, text in (
        ("stop", "end a daemon with SIGTERM, after 10 s with SIGKILL"),
        ("kill", "end a daemon with SIGKILL"),
        ("start", "start a daemon and wait until it serves"),
        ("restart", "stop and start a daemon"),
    ):
        command = commands.add_parser(verb, parents=[common], help=text)
        command.add_argument("daemon", help="namenode, datanode, ...: as `status` calls it")
    return parser


def _up(options: argparse.Namespace) -> None:
    """Bring a cluster up and say how to use it."""
    started = time.monotonic()
    cluster = Cluster.up(
        options.name,
        options.hosts,
        directory=options.directory,
        kerberos=options.kerberos,
        ha=options.ha,
        https=options.https,
    )
    print(f"The cluster is up after {time.monotonic() - started:.1f} s, in {cluster.directory}.")
    option = "" if options.name == "default" else f" --name {options.name}"
    print(f'Use it:  eval "$(python -m tests.cluster env{option})"')
    print(f"End it:  python -m tests.cluster down{option}")


def _env(cluster: Cluster) -> None:
    """Print shell exports, and what a person may want to open as comments."""
    for name, value in cluster.environment().items():
        print(f"export {name}={shlex.quote(value)}")
    print(f"# ResourceManager: {cluster.resource_manager_url}")
    print(f"# HDFS: {cluster.default_fs}, {cluster.webhdfs_url}")
    if cluster.is_secure:
        print("# A ticket, for example:")
        print("# export KRB5CCNAME=FILE:$(mktemp)  # then one of")
        for name in ("jupyter", "alice"):
            print(f"# kinit -k -t {cluster.keytab(name)} {cluster.principal(name)}")


def _status(cluster: Cluster) -> None:
    """Print the daemons, the nodes and the applications."""
    print(f"directory: {cluster.directory}")
    for daemon in cluster.daemons:
        print(_line(daemon))
    for worker in cluster.workers:
        print(f"worker {worker.name}: {worker.address}, network namespace {worker.namespace}")
    try:
        nodes = cluster.nodes()
        applications = cluster.applications(UNFINISHED)
    except WebError as error:
        print(f"nodes and applications: unknown ({error})")
        return
    print(f"nodes registered: {len(nodes)} ({', '.join(str(node['id']) for node in nodes)})")
    print(f"applications not finished: {len(applications)}")
    for application in applications:
        print(f"  {application['id']} {application['state']} {application['user']} {application['name']}")


def _line(daemon: Daemon) -> str:
    """Describe a daemon in one line."""
    pid = daemon.pid
    state = f"running, pid {pid}" if pid is not None else "not running"
    ports = ", ".join(f"{name} {port}" for name, port in daemon.ports.items())
    return f"{daemon.name}: {state}; ports: {ports}"


def _interrupt_once() -> None:
    """Turn SIGTERM and SIGINT into one KeyboardInterrupt: a second must not stop the cleaning up."""

    def interrupt(_: int, __: FrameType | None) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, interrupt)


if __name__ == "__main__":
    sys.exit(main())
