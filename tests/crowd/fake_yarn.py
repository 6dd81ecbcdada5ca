"""A YARN without containers: the services that a server asks, which count what they are asked, and a submit.

ResourceManager and WebHDFS are an HTTP server; spark-submit is a script that leaves the registration file to
whoever plays the containers (``fleet``).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

SUBMIT = """#!/bin/sh
# What of spark-submit a launch needs: it takes the files, and names the application.
id=application_1700000000000_$(printf %05d $$)
place="{inbox}/.$id"
mkdir "$place"
printf '%s\\n' "$@" > "$place/arguments"
while [ $# -gt 0 ]; do
    if [ "$1" = --files ]; then
        cp "$(echo "$2" | tr , "\\n" | grep registration.json)" "$place/registration.json"
    fi
    shift
done
echo "INFO yarn.Client: Submitting application $id to ResourceManager"
mv "$place" "{inbox}/$id"
echo "INFO yarn.Client: Submitted application $id"
"""
SITE = """<?xml version="1.0"?>
<configuration>
{properties}
</configuration>
"""
#: What a ResourceManager says of an application besides what tells it from others.
COMMON = {
    "queue": "root.default", "progress": 10.0, "trackingUI": "ApplicationMaster", "clusterId": 1700000000000,
    "applicationType": "SPARK", "priority": 0, "startedTime": 1700000000000, "launchTime": 1700000000100,
    "finishedTime": 0, "elapsedTime": 100000, "allocatedMB": 2048, "allocatedVCores": 1, "reservedMB": 0,
    "reservedVCores": 0, "runningContainers": 1, "memorySeconds": 204800, "vcoreSeconds": 100,
    "queueUsagePercentage": 1.0, "clusterUsagePercentage": 1.0, "resourceSecondsMap": {
        "entry": {"key": "memory-mb", "value": "204800"}}, "preemptedResourceMB": 0,
    "preemptedResourceVCores": 0, "numNonAMContainerPreempted": 0, "numAMContainerPreempted": 0,
    "preemptedMemorySeconds": 0, "preemptedVcoreSeconds": 0, "preemptedResourceSecondsMap": {},
    "logAggregationStatus": "DISABLED", "unmanagedApplication": False, "amNodeLabelExpression": "",
    "timeouts": {"timeout": [{"type": "LIFETIME", "expiryTime": "UNLIMITED", "remainingTimeInSeconds": -1}]},
    "user": "root", "diagnostics": "", "amHostHttpAddress": "worker:8042", "amRPCAddress": "worker:40000",
    "masterNodeId": "worker:45454",
}  # fmt: skip
SCHEDULER = {
    "type": "capacityScheduler",
    "queueName": "root",
    "queues": {
        "queue": [
            {
                "queueName": "default",
                "queuePath": "root.default",
                "state": "RUNNING",
                "type": "capacitySchedulerLeafQueueInfo",
            }
        ]
    },
}
#: Shorter words for what is asked, for counting.
RESOURCE_MANAGER = "/ws/v1/cluster/"


class FakeYarn:
    """The services, and the installation that leads to them.

    Parameters
    ----------
    directory : Path
        Becomes SPARK_HOME, JAVA_HOME and HADOOP_CONF_DIR, each in a directory of its own.
    end : callable
        Called from another thread with the id of an application that is to be killed.

    Attributes
    ----------
    applications : dict
        By id, as ``/ws/v1/cluster/apps`` describes them.
    calls : list
        Time of the clock and path of each call to the ResourceManager.
    """

    def __init__(self, directory: Path, end: Callable[[str], None]) -> None:
        self.inbox = directory / "inbox"
        self.applications: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[float, str]] = []
        self.end = end
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._install(directory)

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()

    def accept(self, application_id: str, arguments: list[str]) -> None:
        """What spark-submit does last."""
        conf = dict(part.split("=", 1) for part in arguments if part.startswith("spark."))
        self.applications[application_id] = {
            **COMMON,
            "id": application_id,
            "name": arguments[arguments.index("--name") + 1],
            "applicationTags": conf["spark.yarn.tags"],
            "trackingUrl": f"http://{self.address}/proxy/{application_id}/",
            "amContainerLogs": f"http://worker:8042/node/containerlogs/{application_id}/root",
            "state": "RUNNING",
            "finalStatus": "UNDEFINED",
        }

    def finish(self, application_id: str) -> None:
        """It has ended well."""
        self.applications[application_id] |= {"state": "FINISHED", "finalStatus": "SUCCEEDED"}

    def answer(self, method: str, path: str, query: dict[str, list[str]]) -> Any:
        """The answer to a request, None for what is not there."""
        if path == "/calls":
            return self.calls
        if path.startswith("/webhdfs/v1"):
            return hdfs(query["op"][0].upper())
        if not path.startswith(RESOURCE_MANAGER):
            return None
        what = path.removeprefix(RESOURCE_MANAGER)
        self.calls.append((time.time(), f"{method} {what}"))
        if what == "scheduler":
            return {"scheduler": {"schedulerInfo": SCHEDULER}}
        if what == "apps":
            tag = query.get("applicationTags", [""])[0]
            found = [app for app in list(self.applications.values()) if tag in app["applicationTags"]]
            return {"apps": {"app": found}}
        if what.startswith("apps/"):
            application_id = what.split("/")[1]
            if method == "PUT":
                self.end(application_id)
            found_one = self.applications.get(application_id)
            return {"app": found_one} if found_one else None
        return None

    def _install(self, directory: Path) -> None:
        """Spark, Java and Hadoop's configuration as a server looks for them."""
        for name in ("spark/bin", "spark/jars", "java/bin", "conf", "inbox"):
            (directory / name).mkdir(parents=True)
        (directory / "spark" / "RELEASE").write_text("Spark 3.5.9 of the tests\n")
        for path, text in (
            ("spark/bin/spark-submit", SUBMIT.format(inbox=self.inbox)),
            ("java/bin/java", "#!/bin/sh\nexit 0\n"),
        ):
            (directory / path).write_text(text)
            (directory / path).chmod(0o755)
        for name, settings in {
            "core-site.xml": {"fs.defaultFS": "hdfs://127.0.0.1:1"},
            "hdfs-site.xml": {"dfs.namenode.http-address": self.address},
            "yarn-site.xml": {"yarn.resourcemanager.webapp.address": self.address},
        }.items():
            properties = "\n".join(
                f"<property><name>{key}</name><value>{value}</value></property>"
                for key, value in settings.items()
            )
            (directory / "conf" / name).write_text(SITE.format(properties=properties))


def environment(directory: Path) -> dict[str, str]:
    """What leads a server to the services of this directory."""
    return {
        "SPARK_HOME": str(directory / "spark"),
        "JAVA_HOME": str(directory / "java"),
        "HADOOP_CONF_DIR": str(directory / "conf"),
        "HADOOP_USER_NAME": "root",
    }


def hdfs(operation: str) -> Any:
    """A file system with homes and nothing in them."""
    if operation == "GETHOMEDIRECTORY":
        return {"Path": "/user/root"}
    if operation == "LISTSTATUS":
        return {"FileStatuses": {"FileStatus": []}}
    if operation == "GETFILESTATUS":
        return {"FileStatus": {"owner": "root", "permission": "700", "type": "DIRECTORY", "pathSuffix": ""}}
    return {"boolean": True}


def handler(yarn: FakeYarn) -> type[BaseHTTPRequestHandler]:
    """The class that answers for these services."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._answer()

        def do_DELETE(self) -> None:
            self._answer()

        def _answer(self) -> None:
            url = urlsplit(self.path)
            found = yarn.answer(self.command, url.path, parse_qs(url.query))
            missing = {"RemoteException": {"exception": "NotFoundException", "message": "not found"}}
            body = json.dumps(missing if found is None else found).encode()
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody reads it."""

    return Handler
