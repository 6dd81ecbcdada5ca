"""`jupyter sparkkernels homes`: people's home directories on the cluster's file system."""

from __future__ import annotations

import argparse
import grp
import pwd
from collections.abc import Iterator

from ..cluster.hadoop_site import HadoopSite
from ..cluster.homes import Done, Homes, parse_size
from ..errors import ConfigurationError, NotAllowed, SparkKernelError
from ..spec import USER_NAME
from .access import add_cluster_arguments, read_access

NAME = "homes"
SUMMARY = "create and check the users' home directories on HDFS"
DESCRIPTION = (
    "Create home directories (/user/NAME, mode 0700, owned by the user), or list those that are missing or"
    " too open. Needs the rights of an HDFS superuser: its ticket (kinit), or a principal and keytab."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="create or correct homes; safe to repeat", allow_abbrev=False)
    check = actions.add_parser(
        "check",
        help="list homes that are missing or too open; by default of all there are",
        allow_abbrev=False,
    )
    for action in (create, check):
        add = action.add_argument
        add("users", nargs="*", metavar="USER")
        add("--from-group", metavar="GROUP", help="the members of this group of this host as well")
        add_cluster_arguments(action)
    create.add_argument("--quota", metavar="SIZE", help="bytes that a home may take, replicas counted: 500G")


def run(options: argparse.Namespace) -> None:
    """Create or check, telling each home."""
    users = list(dict.fromkeys([*options.users, *members(options.from_group)]))
    for user in users:
        if not USER_NAME.match(user):
            raise ConfigurationError(f"{user[:80]!r} is not a user's name.")
    quota = getattr(options, "quota", None)
    quota_bytes = None if quota is None else parse_size(quota)
    site = site_of(options)
    homes = Homes(
        site.file_system(), site.user, site.conf.get("dfs.user.home.dir.prefix", "/user") or "/user"
    )
    if options.action == "check":
        check(homes, users)
    elif not users:
        raise ConfigurationError("Nobody was named.", hint="Name users, or a group with --from-group.")
    else:
        create(homes, users, quota_bytes)


def site_of(options: argparse.Namespace) -> HadoopSite:
    """The cluster as the administrator has it, with credentials that are good."""
    settings, access = read_access(options)
    site = HadoopSite(settings.hadoop_conf_dir, settings.spark_home, access=access)
    site.ensure_credentials()
    return site


def create(homes: Homes, users: list[str], quota_bytes: int | None) -> None:
    """Create each; the first that can't be ends it."""
    for user in users:
        try:
            done = homes.create(user, quota_bytes)
        except NotAllowed as error:
            if error.hint:
                raise
            raise NotAllowed(
                f"The home of {user} can't be created: only a superuser of HDFS may do that.",
                diagnostics=error.diagnostics,
                hint="Run it with the superuser's ticket (kinit hdfs), or its --principal and --keytab.",
            ) from error
        print(f"{user}: {'home ' if done is not Done.UNCHANGED else ''}{done.value}", flush=True)


def check(homes: Homes, users: list[str]) -> None:
    """Print each fault.

    Raises
    ------
    SparkKernelError
        There are some.
    """
    faults = list(homes.faults(users))
    for fault in faults:
        print(fault)
    if faults:
        some = "One home needs" if len(faults) == 1 else f"{len(faults)} homes need"
        raise SparkKernelError(f"{some} attention.", hint="See `jupyter sparkkernels homes create`.")
    print("All homes are as they should be.")


def members(group: str | None) -> Iterator[str]:
    """The names in a group of this host: those listed, and those whose primary group it is."""
    if group is None:
        return
    try:
        found = grp.getgrnam(group)
    except KeyError as error:
        raise ConfigurationError(f"This host knows no group {group[:80]!r}.") from error
    yield from found.gr_mem
    yield from (account.pw_name for account in pwd.getpwall() if account.pw_gid == found.gr_gid)
