"""The cluster harness with Kerberos and two ResourceManagers."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import gssapi
import pytest

from sparkkernels.cluster.access import Access
from sparkkernels.cluster.delegation_tokens import Token, decode, fetch, write_token
from sparkkernels.cluster.yarn import YarnBackend
from sparkkernels.errors import NotAllowed, SparkKernelError
from tests.cluster.harness import Cluster, HarnessError
from tests.cluster.harness.kerberos import Realm
from tests.cluster.harness.web import Answer, WebError, ask
from tests.cluster.people import people

from .conftest import LIFE_S


@pytest.fixture(scope="module")
def secure(short_lived_cluster: Cluster) -> Cluster:
    """The cluster."""
    return short_lived_cluster


def test_nobody_is_believed_without_a_ticket(secure: Cluster) -> None:
    node = f"http://{secure.nodes()[0]['nodeHTTPAddress']}"
    for url in (
        f"{secure.resource_manager_url}/ws/v1/cluster/apps?user.name=yarn",
        f"{secure.webhdfs_url}/user/alice?op=LISTSTATUS&user.name=alice",
        f"{node}/ws/v1/node/apps?user.name=yarn",
    ):
        with pytest.raises(WebError) as refused:
            ask("GET", url)
        assert refused.value.status == 401


def test_a_ticket_opens_the_own_home_only(secure: Cluster) -> None:
    secure.hdfs_put("/user/alice/a file", b"hers", user="alice")
    assert secure.hdfs_get("/user/alice/a file") == b"hers"
    assert (secure.hdfs_status("/user/alice/a file") or {})["owner"] == "alice"
    with pytest.raises(WebError, match="Permission denied"):
        secure.hdfs_put("/user/bob/intrusion", b"", user="alice")
    assert secure.hdfs_list("/user") == ["alice", "bob", "jupyter"]
    assert secure.hdfs_delete("/user/alice/a file")


def test_the_service_speaks_for_those_it_may(secure: Cluster) -> None:
    manager, node = secure.resource_manager_url, f"http://{secure.nodes()[0]['nodeHTTPAddress']}"
    tries = (
        ("POST", f"{manager}/ws/v1/cluster/apps/new-application?doAs="),
        ("GET", f"{secure.webhdfs_url}/user/alice?op=GETFILESTATUS&doas="),
        ("GET", f"{node}/ws/v1/node/info?doAs="),
    )
    for method, url in tries:
        assert send(secure, "jupyter", method, f"{url}alice").status == 200
        for other in ("carol", "hdfs"):
            with pytest.raises(WebError, match="not allowed to impersonate") as refused:
                send(secure, "jupyter", method, f"{url}{other}")
            assert refused.value.status == 403


def test_settings_of_the_caller_reach_the_daemons(secure: Cluster) -> None:
    url = f"{secure.webhdfs_url}/?op=GETDELEGATIONTOKEN&doas=alice&renewer=jupyter"
    token = send(secure, "jupyter", "GET", url).json()["Token"]["urlString"]
    renewed = send(secure, "jupyter", "PUT", f"{secure.webhdfs_url}/?op=RENEWDELEGATIONTOKEN&token={token}")
    assert 0 < renewed.json()["long"] / 1000 - time.time() <= LIFE_S


def test_without_its_kdc_the_cluster_lives_on_and_nobody_gets_in(secure: Cluster, tmp_path: Path) -> None:
    secure.kinit("alice", tmp_path / "alice", lifetime="30s")
    kdc = secure.daemon("kdc")
    kdc.kill()
    assert not kdc.alive
    with pytest.raises(HarnessError, match="Cannot contact any KDC"):
        secure.kinit("bob", tmp_path / "bob")
    assert len(secure.nodes()) == 1
    kdc.start()
    secure.kinit("bob", tmp_path / "bob")
    assert remaining_s(tmp_path / "alice") <= 30
    assert remaining_s(tmp_path / "bob") > 3600
    with pytest.raises(HarnessError, match="mallory"):
        secure.kinit("mallory", tmp_path / "mallory")


def test_an_application_of_somebody_else_outlives_the_resourcemanager(secure: Cluster) -> None:
    assert secure.active_resource_manager == "rm1"
    before = secure.resource_manager_url
    application_id = submit(secure, "alice", "echo $JAVA_TOOL_OPTIONS > <LOG_DIR>/stdout; exec sleep 600")
    try:
        until(lambda: secure.processes())
        secure.transition("rm2")
        assert secure.active_resource_manager == "rm2"
        assert secure.resource_manager_url != before
        secure.daemon("resourcemanager-rm2").kill()
        assert secure.active_resource_manager is None
        with pytest.raises(WebError, match="none is active"):
            secure.applications()
        secure.transition("rm1")
        assert secure.resource_manager_url == before
        (application,) = secure.applications(["RUNNING", "ACCEPTED"])
        assert application["id"] == application_id and application["user"] == "alice"
        (logs,) = secure.log_directories(application_id)
        assert (logs / "stdout").read_text().strip() == f"-Djava.security.krb5.conf={secure.krb5_conf}"
    finally:
        secure.daemon("resourcemanager-rm2").start()
        secure.kill_application(application_id)
    until(lambda: not secure.applications(["RUNNING", "ACCEPTED"]) and not secure.processes())


def test_a_log_that_its_user_owns_is_read_on_its_node_and_later_from_hdfs(
    secure: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in secure.environment().items():
        monkeypatch.setenv(name, value)
    alice, bob = (as_user(secure, name) for name in ("alice", "bob"))
    [token] = decode(fetch(alice.site, None).credentials).values()
    with people(("alice",), "jupyter", tmp_path / "home"):
        # As with the setuid container executor; the default one leaves it to the NodeManager's account.
        own = "echo kept > <LOG_DIR>/stdout; chown alice <LOG_DIR>/*; chmod 640 <LOG_DIR>/*"
        application_id = submit(secure, "alice", f"{own}; exec sleep 600", token)
        try:
            until(lambda: "kept" in last_output(alice, application_id))
            with pytest.raises(NotAllowed, match="let bob see the log"):
                bob.logs(application_id)
        finally:
            secure.kill_application(application_id)
        until(lambda: not secure.log_directories(application_id))
        until(lambda: last_output(alice, application_id))
        assert alice.logs(application_id) == "Last lines of stdout:\nkept\n"
        with pytest.raises(NotAllowed, match="let bob see the log"):
            bob.logs(application_id)


def test_workers_on_other_hosts_have_no_kerberos_yet() -> None:
    with pytest.raises(HarnessError, match="--kerberos and --hosts"):
        Cluster.up("refused", hosts=1, kerberos=True)


def send(cluster: Cluster, user: str, method: str, url: str, document: Any = None) -> Answer:
    """Send a request with somebody's ticket."""
    url, headers = Realm(cluster.directory).negotiate(url, user)
    body = None if document is None else json.dumps(document).encode()
    return ask(method, url, body=body, content_type="application/json", headers=headers)


def as_user(cluster: Cluster, name: str) -> YarnBackend:
    """The product's backend, with somebody's keytab."""
    access = Access(cluster.principal(name), str(cluster.keytab(name)))
    return YarnBackend(str(cluster.conf_dir), access=access)


def last_output(backend: YarnBackend, application_id: str) -> str:
    """What there is of a log, which may not be its user's yet."""
    try:
        return backend.logs(application_id)
    except SparkKernelError:
        return ""


def submit(cluster: Cluster, user: str, command: str, token: Token | None = None) -> str:
    """Submit a shell command as an application master, as the service for somebody else."""
    root = f"{cluster.resource_manager_url}/ws/v1/cluster/apps"
    entries = []
    if token is not None:
        entries = [{"key": token.service, "value": base64.urlsafe_b64encode(write_token(token)).decode()}]
    tokens = {"entry": entries}
    application_id = send(cluster, "jupyter", "POST", f"{root}/new-application?doAs={user}").json()[
        "application-id"
    ]
    send(
        cluster,
        "jupyter",
        "POST",
        f"{root}?doAs={user}",
        {
            "application-id": application_id,
            "application-name": "sleep",
            "application-type": "YARN",
            "max-app-attempts": 1,
            "resource": {"memory": 128, "vCores": 1},
            "am-container-spec": {"commands": {"command": command}, "credentials": {"tokens": tokens}},
        },
    )
    return str(application_id)


def remaining_s(cache: Path) -> int:
    """Tell how much longer the ticket in a credential cache is good."""
    return int(gssapi.Credentials(usage="initiate", store={"ccache": f"FILE:{cache}"}).lifetime or 0)


def until(condition: Any, limit_s: float = 30) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
