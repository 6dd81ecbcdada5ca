"""The last output of an application master's container: from its NodeManager, else from aggregated logs."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import requests

from ..errors import NotAllowed, SparkKernelError
from . import tfile
from .authority import refused_certificate
from .filesystem import FileSystem
from .hadoop_cli import LOGS_CLI, HadoopCli
from .hadoop_conf import HadoopConf
from .resource_manager import Json, ResourceManagerClient

FILES = ("stdout", "stderr")
LOGS_CLI_TIMEOUT_S = 60.0
#: Of the file with the logs of all of an application's containers on one node.
MOST_BYTES = 256 << 20
#: ``http://node:8042/node/containerlogs/container_…/user``, the report's ``amContainerLogs``.
CONTAINER_LOGS = re.compile(r"/node/containerlogs/(container_[\w]+)/")
#: What ``org.apache.hadoop.yarn.server.nodemanager.webapp.NMWebServices`` puts around a file.
CONTENTS = re.compile(r"^LogContents:\n(.*?)\n?^End of LogType:", re.S | re.M)

#: What a NodeManager says that gives out no log for want of Hadoop's native library
#: (``org.apache.hadoop.io.SecureIOUtils``; the second time Java only says that the class is not there).
NO_NATIVE_LIBRARY = re.compile(r"Secure IO is not possible|Could not initialize class \S+SecureIOUtils")
#: What it says of somebody else's log, and of files that do not belong to the application's user
#: (``org.apache.hadoop.yarn.server.nodemanager.webapp.ContainerLogsUtils``).
NOT_AUTHORIZED = "is not authorized to view the logs"
NOT_THE_OWNERS = "doesn't own requested log file"
ON_THE_WORKER = "Until then it is on the worker only, below yarn.nodemanager.log-dirs."


def node_and_container(application: Json) -> tuple[str, str] | None:
    """The NodeManager's web address and the container's id, None before there is a container."""
    url = str(application.get("amContainerLogs") or "")
    found = CONTAINER_LOGS.search(url)
    parts = urlsplit(url)
    return (f"{parts.scheme}://{parts.netloc}", found[1]) if found else None


def contents(answer: str) -> str:
    """The file's own lines in an answer of the NodeManager."""
    return "".join(found[1] for found in CONTENTS.finditer(answer)) if "LogContents:" in answer else answer


def headed(name: str, text: str) -> str:
    """A file's last lines under a heading, "" when it is empty."""
    return f"Last lines of {name}:\n{text.strip()}\n" if text.strip() else ""


def node_logs(client: ResourceManagerClient, application: Json, tail_bytes: int, user: str) -> str:
    """What the NodeManager still has, also for some hours after the end; "" when it has nothing.

    Source: ``GET /ws/v1/node/containers/{id}/logs/{file}?size=-N`` (Hadoop 2.9 and newer). ``user`` is who
    asks, for messages.

    Raises
    ------
    NotAllowed
        The log is somebody else's.
    SparkKernelError
        The NodeManager has it and can't give it out, or is not the one that it should be.
    """
    where = node_and_container(application)
    if where is None:
        return ""
    parts = []
    for name in FILES:
        url = f"{where[0]}/ws/v1/node/containers/{where[1]}/logs/{name}"
        try:
            answer = client.get(url, params={"size": str(-tail_bytes // len(FILES))})
        except requests.RequestException as error:
            if refused := refused_certificate(error):
                raise SparkKernelError(
                    f"The HTTPS certificate of the NodeManager {where[0]} is not trusted: {refused.reason}.",
                    hint=refused.hint,
                ) from error
            return ""
        if answer.ok:
            answer.encoding = "utf-8"
            parts.append(headed(name, contents(answer.text)))
        elif withheld := why_withheld(answer.text, application, user):
            raise withheld
    return "\n".join(part for part in parts if part)


def why_withheld(said: str, application: Json, user: str) -> SparkKernelError | None:
    """Why a NodeManager gives no log to whoever asks, None when it may only have none."""
    name, owner = application["id"], application["user"]
    if NOT_AUTHORIZED in said:
        return not_allowed(application, user)
    if NOT_THE_OWNERS in said:
        return SparkKernelError(
            f"YARN does not give out the log of {name}: its files do not belong to the account {owner}.",
            hint="With Kerberos logs can be read where containers run as their users, with YARN's"
            f" LinuxContainerExecutor. {ON_THE_WORKER}",
        )
    if NO_NATIVE_LIBRARY.search(said):
        return SparkKernelError(
            f"YARN does not give out the log of {name}: its NodeManager lacks Hadoop's native library.",
            hint=f"With Kerberos NodeManagers need it (libhadoop.so, `hadoop checknative`). {ON_THE_WORKER}",
        )
    return None


def not_allowed(application: Json, user: str) -> NotAllowed:
    """The error for a log that is somebody else's."""
    return NotAllowed(
        f"YARN does not let {user} see the log of {application['id']}, which is {application['user']}'s.",
        hint="Ask as its user, as the service that started it, or as an administrator of YARN.",
    )


def is_hidden(application: Json) -> bool:
    """Whether the ResourceManager keeps from whoever asks what only those see who may view the application.

    Source: ``org.apache.hadoop.yarn.server.resourcemanager.webapp.dao.AppInfo``, without access.
    """
    return not application.get("startedTime") and "amContainerLogs" not in application


def aggregated_logs(files: FileSystem, conf: HadoopConf, application: Json, tail_bytes: int) -> str:
    """What log aggregation put on the file system, "" when there is nothing.

    Raises
    ------
    NotAllowed
        The log is somebody else's.
    ValueError, FileSystemUnreachable
        It can't be read with what Python has.
    """
    where = node_and_container(application)
    if where is None:
        return ""
    host, container_id = urlsplit(where[0]).hostname, where[1]
    for directory in tfile.directories(conf, str(application["user"]), str(application["id"])):
        for node in files.entries(directory):
            if not node.path.rpartition("/")[2].startswith(f"{host}_"):
                continue
            found = tfile.read(files.read(node.path, MOST_BYTES), container_id)
            parts = [headed(name, found.get(name, "")[-tail_bytes // len(FILES) :]) for name in FILES]
            if any(parts):
                return "\n".join(part for part in parts if part)
    return ""


def logs_by_cli(cli: HadoopCli, application_id: str, user: str, tail_bytes: int) -> str:
    """The same through Hadoop's ``LogsCLI``, which knows every format.

    Raises
    ------
    SparkKernelError
        It does not run: it needs ``org.codehaus.jettison``, of which Spark 3.5.9 with its Hadoop 3.3.4 has
        nothing.
    """
    arguments = ["-applicationId", application_id, "-am", "1", "-log_files", ",".join(FILES)]
    arguments += ["-size", str(-tail_bytes // len(FILES)), "-appOwner", user]
    done = cli.run(LOGS_CLI, arguments, LOGS_CLI_TIMEOUT_S)
    if done.returncode:
        raise SparkKernelError(
            f"The log of {application_id} is on the cluster's file system, and Spark's own copy of Hadoop"
            " can't read it there.",
            diagnostics="\n".join((done.stderr or done.stdout).strip().splitlines()[-3:]),
            hint="Where Hadoop is installed, run:"
            f" yarn logs -applicationId {application_id} -am 1 -appOwner {user}",
        )
    pieces = re.split(r"^LogType:\s*(\w+)$", done.stdout, flags=re.M)
    parts = [
        headed(name, contents(f"LogType:{name}{text}"))
        for name, text in zip(pieces[1::2], pieces[2::2], strict=False)
    ]
    return "\n".join(part for part in parts if part)[-tail_bytes:]
