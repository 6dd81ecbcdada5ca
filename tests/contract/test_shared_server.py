"""A stock jupyter server with several users: a kernel belongs to who started it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.leaks import Leaks

from .kernels import write_kernelspec
from .server import TOKEN, Server
from .shared import OWN_LISTS, REPOSITORY, SHARED, SURVIVING_LISTS, Person

StartServer = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path, leaks: Leaks, monkeypatch: pytest.MonkeyPatch) -> Iterator[StartServer]:
    """Starts servers with these options, whose notebooks are in a directory of their own."""
    servers: list[Server] = []
    leaks.excused.append("jupyter_cookie_secret")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    for name in ("HADOOP_CONF_DIR", "YARN_CONF_DIR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "notebooks").mkdir()

    def start_server(*options: str, root: Path = tmp_path / "notebooks") -> Server:
        servers.append(Server(tmp_path, *options, root=root))
        return servers[-1]

    yield start_server
    for server in servers:
        server.stop()


def test_nobody_touches_the_kernel_of_somebody_else(start: StartServer) -> None:
    write_kernelspec()
    server = start(*SHARED)
    alice, bob = Person(server, "alice"), Person(server, "bob")
    session = alice.post("sessions", path="a.ipynb", name="a", type="notebook", kernel={"name": "spark"})
    session_path, kernel_id = f"sessions/{session['id']}", session["kernel"]["id"]
    kernel = f"kernels/{kernel_id}"
    own = bob.post("sessions", path="b.ipynb", name="b", type="notebook", kernel={"name": "spark"})
    tab = alice.connect(kernel_id)
    pid = tab.run("import os; print(os.getpid())")

    refused = [
        bob.status("GET", kernel),
        bob.status("GET", f"kernels/{kernel_id.upper()}"),
        bob.status("POST", f"{kernel}/interrupt"),
        bob.status("POST", f"{kernel}/restart"),
        bob.status("DELETE", kernel),
        bob.status("DELETE", f"kernels/{kernel_id.upper()}"),
        bob.status("POST", "kernels", name="spark", kernel_id=kernel_id),
        bob.status("POST", "kernels", name="spark", kernel_id=kernel_id.upper()),
        bob.status("GET", session_path),
        bob.status("DELETE", session_path),
        bob.status("PATCH", session_path, path="b2.ipynb"),
        bob.status("PATCH", session_path, kernel={"id": own["kernel"]["id"]}),
        bob.status("PATCH", session_path, kernel={"name": "spark"}),
        bob.status("PATCH", f"sessions/{own['id']}", kernel={"id": kernel_id}),
        bob.status("PATCH", f"sessions/{own['id']}", path="a.ipynb"),
        bob.status("POST", "sessions", path="c.ipynb", type="notebook", kernel={"id": kernel_id}),
        bob.status("POST", "sessions", path="a.ipynb", type="notebook", kernel={"name": "spark"}),
        bob.status(
            "POST", "sessions", notebook={"name": "a.ipynb"}, kernel={"name": "spark"}, path="d.ipynb"
        ),
        bob.status("POST", "sessions", path=["a.ipynb"], type="notebook", kernel={"name": "spark"}),
        bob.status("POST", "sessions", path="c.ipynb", type="notebook", kernel=[kernel_id]),
        bob.status("POST", "kernels", name="spark", kernel_id=[kernel_id]),
        bob.socket_status(kernel_id),
        bob.socket_status(kernel_id.upper()),
        bob.status("GET", "terminals"),
        bob.status("POST", "shutdown"),
    ]
    assert [status for status in refused if status not in (403, 404)] == []
    assert refused.count(404) <= 1  # of terminals, which this server does not have
    for unknown in (str(uuid.uuid4()), "a-b-c-d-e"):
        assert bob.status("GET", f"kernels/{unknown}") == bob.status("DELETE", f"kernels/{unknown}") == 404
        assert bob.socket_status(unknown) == 404
    assert bob.status("GET", f"sessions/{uuid.uuid4()}") == 404

    assert tab.run("import os; print(os.getpid())") == pid
    assert alice.request("GET", session_path).json()["kernel"]["id"] == kernel_id
    alice.post(f"{kernel}/restart")
    tab.settle()
    assert tab.run("import os; print(os.getpid())") != pid
    assert (bob.status("GET", kernel), bob.socket_status(kernel_id)) == (403, 403)
    assert alice.status("POST", f"{kernel}/interrupt") == 204
    assert alice.post("sessions", path="c.ipynb", type="notebook", kernel={"id": kernel_id})["id"]
    assert alice.status("PATCH", session_path, path="a2.ipynb") == 200
    tab.close()
    assert alice.status("DELETE", session_path) == 204
    assert bob.status("DELETE", f"sessions/{own['id']}") == 204


@pytest.mark.parametrize("lists", [OWN_LISTS, SURVIVING_LISTS], ids=["own", "own and surviving"])
def test_lists_have_ones_own_and_two_people_may_open_one_notebook(
    start: StartServer, lists: tuple[str, ...]
) -> None:
    write_kernelspec()
    server = start(*SHARED, *lists)
    alice, bob = Person(server, "alice"), Person(server, "bob")
    sessions = [
        person.post("sessions", path="a.ipynb", name="a", type="notebook", kernel={"name": "spark"})
        for person in (alice, bob, alice)
    ]
    assert sessions[0]["id"] == sessions[2]["id"] != sessions[1]["id"]
    for person, session in zip((alice, bob), sessions, strict=False):
        assert [found["id"] for found in person.request("GET", "sessions").json()] == [session["id"]]
        assert [found["id"] for found in person.request("GET", "kernels").json()] == [session["kernel"]["id"]]
    assert Person(server, "carol").request("GET", "kernels").json() == []
    assert bob.status("DELETE", f"sessions/{sessions[0]['id']}") == 403
    assert bob.status("DELETE", f"sessions/{sessions[1]['id']}") == 204
    assert alice.request("GET", "kernels").json() != []


def refusal(person: Person) -> str:
    """What a person is told whose kernel does not start."""
    response = person.request("POST", "sessions", path="a.ipynb", type="notebook", kernel={"name": "spark"})
    assert response.status_code == 500, response.text
    assert person.request("GET", "kernels").json() == []
    return str(response.json()["message"])


def test_a_server_that_anybody_could_take_over_starts_no_kernels_for_its_users(
    start: StartServer, tmp_path: Path
) -> None:
    write_kernelspec(master="yarn", spark_context="eager")
    server = start(
        "--SparkProvisioner.identity=jupyter",
        "--ServerApp.identity_provider_class=tests.contract.header_users.HeaderUsers",
        f"--HeaderUsers.token={TOKEN}",
        root=tmp_path,
    )
    message = refusal(Person(server, "alice"))
    assert message.startswith(
        "This Jupyter server may not start kernels as its users: it offers terminals, which run as the"
        " server's account."
    )
    for said in (
        "it answers requests of nobody in particular",
        "its authorizer lets everybody use every kernel",
        "it starts kernels that run as the server's account (",  # Debian's IRkernel installs one
        "python3)",
        f"its users can write to {tmp_path}",
        "c.ServerApp.terminals_enabled = False",
        "c.ServerApp.authorizer_class = 'sparkkernels.authorizer.KernelOwnerAuthorizer'",
        "c.ServerApp.kernel_spec_manager_class = 'sparkkernels.kernelspecs.SparkKernelSpecManager'",
        "allow_shared_server = ['anonymous_users', 'local_kernels', 'open_authorizer', 'terminals',"
        " 'users_files']",
    ):
        assert said in message


def test_a_token_is_nobody(start: StartServer) -> None:
    write_kernelspec(master="yarn", spark_context="eager")
    options = [option for option in SHARED if "HeaderUsers" not in option]
    server = start("--SparkProvisioner.identity=jupyter", *options)
    response = server.request("POST", "sessions", path="a.ipynb", type="notebook", kernel={"name": "spark"})
    assert response.json()["message"].startswith(
        "This Jupyter server may not start kernels as its users: its users are anonymous: a token or a shared"
        " password does not say who somebody is."
    )


def test_waived_checks_are_not_made_and_local_kernels_are_refused(start: StartServer, tmp_path: Path) -> None:
    write_kernelspec()
    waived = ("local_kernels", "terminals", "users_files", "anonymous_users", "open_authorizer")
    server = start(
        "--SparkProvisioner.identity=jupyter",
        *(f"--SparkProvisioner.allow_shared_server={name}" for name in waived),
        "--ServerApp.identity_provider_class=tests.contract.header_users.HeaderUsers",
        f"--HeaderUsers.token={TOKEN}",
        root=tmp_path,
    )
    assert refusal(Person(server, "alice")).startswith("A kernel with a local master would run as the server")


def test_who_is_denied_and_what_a_kernelspec_may_not_set(start: StartServer) -> None:
    write_kernelspec(master="yarn", spark_context="eager")
    server = start("--SparkProvisioner.identity=jupyter", *SHARED)
    for name, said in (
        ("hdfs", "Kernels do not run as hdfs here: that account is denied."),
        ("../alice", "The user's name ../alice is not one that a cluster knows"),
        ("0123456789abcdef0123456789abcdef", "Nobody knows who asks for this kernel"),
        ("alice", "HADOOP_CONF_DIR is not set"),  # which is asked for when all that is well
    ):
        assert refusal(Person(server, name)).startswith(said)
    stanza: dict[str, Any] = {
        "identity": "os",
        "keytab": "/etc/jupyter.keytab",
        "hadoop_conf_dir": "/tmp/mine",
        "spark_home": "/tmp/mine",
        "relay_addresses": ["10.0.0.1"],
        "allow_shared_server": ["terminals"],
        "config": {"SparkProvisioner": {"identity": "os"}},
    }
    for setting, value in stanza.items():
        write_kernelspec(master="yarn", spark_context="eager", **{setting: value})
        message = refusal(Person(server, "alice"))
        assert message.startswith(f"The kernelspec sets {setting}, which is "), message


@pytest.mark.parametrize("manager", ["sparkkernels.kernelspecs.SparkKernelSpecManager"])
def test_only_spark_kernels_are_offered_and_started(start: StartServer, manager: str) -> None:
    write_kernelspec()
    server = start(f"--ServerApp.kernel_spec_manager_class={manager}")
    assert list(server.get("kernelspecs").json()["kernelspecs"]) == ["spark"]
    assert (
        server.request("POST", "sessions", path="a", type="x", kernel={"name": "python3"}).status_code == 501
    )
    assert server.request("POST", "kernels", name="python3").status_code == 500
    assert server.kernels() == []
