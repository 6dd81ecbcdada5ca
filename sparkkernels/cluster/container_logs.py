"""The last output of an application master's container: from its NodeManager, else from aggregated logs."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import requests

from ..errors import SparkKernelError
from .hadoop_cli import LOGS_CLI, HadoopCli
from .resource_manager import Json, ResourceManagerClient

FILES = ("stdout", "stderr")
LOGS_CLI_TIMEOUT_S = 60.0
#: ``http://node:8042/node/containerlogs/container_…/user``, the report's ``amContainerLogs``.
CONTAINER_LOGS = re.compile(r"/node/containerlogs/(container_[\w]+)/")
#: What ``org.apache.hadoop.yarn.server.nodemanager.webapp.NMWebServices`` puts around a file.
CONTENTS = re.compile(r"^LogContents:\n(.*?)\n?^End of LogType:", re.S | re.M)


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


def node_logs(client: ResourceManagerClient, application: Json, tail_bytes: int) -> str:
    """What the NodeManager still has, also for some hours after the end; "" when it has nothing.

    Source: ``GET /ws/v1/node/containers/{id}/logs/{file}?size=-N`` (Hadoop 2.9 and newer).
    """
    where = node_and_container(application)
    if where is None:
        return ""
    parts = []
    for name in FILES:
        url = f"{where[0]}/ws/v1/node/containers/{where[1]}/logs/{name}"
        try:
            answer = client.get(url, params={"size": str(-tail_bytes // len(FILES))})
        except requests.RequestException:
            return ""
        if answer.ok:
            answer.encoding = "utf-8"
            parts.append(headed(name, contents(answer.text)))
    return "\n".join(part for part in parts if part)


def aggregated_logs(cli: HadoopCli, application_id: str, user: str, tail_bytes: int) -> str:
    """What log aggregation put on the file system, "" when there is nothing."""
    arguments = ["-applicationId", application_id, "-am", "1", "-log_files", ",".join(FILES)]
    arguments += ["-size", str(-tail_bytes // len(FILES)), "-appOwner", user]
    try:
        done = cli.run(LOGS_CLI, arguments, LOGS_CLI_TIMEOUT_S)
    except SparkKernelError:
        return ""
    if done.returncode:
        return ""
    pieces = re.split(r"^LogType:\s*(\w+)$", done.stdout, flags=re.M)
    parts = [
        headed(name, contents(f"LogType:{name}{text}"))
        for name, text in zip(pieces[1::2], pieces[2::2], strict=False)
    ]
    return "\n".join(part for part in parts if part)[-tail_bytes:]
