"""One Jupyter server with the service's keytab, for several people: each kernel runs as who asked for it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.contract.server import Server, WebSocketClient
from tests.contract.shared import OWN_LISTS, REPOSITORY, SHARED, Person

from .conftest import FINAL, LIMIT_S, install, service
from .harness import Cluster

pytestmark = [pytest.mark.timeout(300)]

WHO = "print(sc._jvm.org.apache.hadoop.security.UserGroupInformation.getCurrentUser().getUserName())"
#: On the driver alone, since executors take their time and are asked for by the same user.
WRITE = """
hdfs = sc._jvm.org.apache.hadoop.fs
files = hdfs.FileSystem.get(sc._jsc.hadoopConfiguration())
files.create(hdfs.Path("mine.txt")).close()
"""
READ = """
try:
    files.open(hdfs.Path("/user/{}/mine.txt")).close()
    print("read")
except Exception as error:
    print(str(error.java_exception.getMessage()).splitlines()[0])
"""


class SharedServer:
    """The server, its kernelspec, and who is at it."""

    def __init__(self, server: Server, kernel: str) -> None:
        self.server = server
        self.kernel = kernel

    def person(self, name: str) -> Person:
        return Person(self.server, name)

    def open(self, person: Person) -> Any:
        """A session of somebody; all of them have the same notebook open."""
        return person.post(
            "sessions", LIMIT_S, path="a.ipynb", name="a", type="notebook", kernel={"name": self.kernel}
        )

    def refusal(self, name: str) -> str:
        """What somebody is told whose kernel does not start."""
        person = self.person(name)
        answer = person.request(
            "POST", "sessions", LIMIT_S, path="a.ipynb", type="notebook", kernel={"name": self.kernel}
        )
        assert answer.status_code == 500, answer.text
        return str(answer.json()["message"])


def last_line(tab: WebSocketClient, code: str) -> str:
    """The last line that a cell prints: before it there may be words on the SparkContext that starts."""
    return tab.run(code, LIMIT_S).splitlines()[-1]


@pytest.fixture
def shared(secured: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SharedServer]:
    """A jupyter server that starts kernels as its users."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    (tmp_path / "notebooks").mkdir()
    kernel = install(tmp_path, None, {})
    settings = {"identity": "jupyter", **service(secured), "user_name_case": "lower"}
    options = [f"--ServerApp.cookie_secret_file={tmp_path / 'cookie_secret'}"]
    options += [f"--SparkProvisioner.{name}={value}" for name, value in settings.items()]
    server = Server(tmp_path, *options, *SHARED, *OWN_LISTS, root=tmp_path / "notebooks")
    try:
        yield SharedServer(server, kernel)
    finally:
        server.stop()


def test_each_kernel_is_who_asked_for_it(secured: Cluster, shared: SharedServer) -> None:
    people = [shared.person("Alice"), shared.person("bob")]
    with ThreadPoolExecutor() as pool:
        alice, bob = sessions = list(pool.map(shared.open, people))
    tabs = [person.connect(session["kernel"]["id"]) for person, session in zip(people, sessions, strict=True)]
    for tab, name in zip(tabs, ("alice", "bob"), strict=True):
        assert last_line(tab, WHO) == name
        tab.run(WRITE, LIMIT_S)
        status = secured.hdfs_status(f"/user/{name}/mine.txt")
        assert status is not None and status["owner"] == name
    for tab, name, other in zip(tabs, ("alice", "bob"), ("bob", "alice"), strict=True):
        assert last_line(tab, READ.format(name)) == "read"
        assert last_line(tab, READ.format(other)).startswith(f"Permission denied: user={name}, access=")
    users = {
        app["applicationTags"]: app["user"] for app in secured.applications() if app["state"] not in FINAL
    }
    for session, name in ((alice, "alice"), (bob, "bob")):
        assert [users[tags] for tags in users if session["kernel"]["id"] in tags] == [name]

    kernel = f"kernels/{alice['kernel']['id']}"
    assert people[1].status("POST", f"{kernel}/restart") == people[1].status("DELETE", kernel) == 403
    assert people[1].socket_status(alice["kernel"]["id"]) == 403
    people[0].post(f"{kernel}/restart", LIMIT_S)
    tabs[0].settle()
    assert last_line(tabs[0], WHO) == "alice"
    tabs[0].execute("import os; os.kill(os.getpid(), 9)")  # what follows has no request at all
    tabs[0].receive(lambda message: message["content"].get("execution_state") == "restarting", LIMIT_S)
    tabs[0].settle()
    assert last_line(tabs[0], WHO) == "alice"
    for tab, person, session in zip(tabs, people, sessions, strict=True):
        tab.close()
        assert person.request("DELETE", f"sessions/{session['id']}", LIMIT_S).status_code == 204
    assert [app["id"] for app in secured.applications() if app["state"] not in FINAL] == []


def test_who_may_not_is_told_why_before_anything_is_submitted(secured: Cluster, shared: SharedServer) -> None:
    before = len(secured.applications())
    service_name = secured.principal("jupyter")
    said = shared.refusal("carol")
    assert f"does not allow {service_name} to act for carol." in said.splitlines()[0]
    for name in ("hdfs", "YARN", "jupyter", "root"):
        assert shared.refusal(name).startswith(f"Kernels do not run as {name.lower()} here")
    for name in ("alice@EVIL.ORG", "../bob", "ålice"):
        assert "is not one that a cluster knows" in shared.refusal(name)
    secured.hdfs_delete("/user/bob")
    try:
        said = shared.refusal("bob")
        assert said.startswith("The user bob has no home directory on the cluster's file system")
        assert "jupyter sparkkernels homes create bob" in said
    finally:
        secured.hdfs_mkdir("/user/bob", "700", "bob")
    assert len(secured.applications()) == before
