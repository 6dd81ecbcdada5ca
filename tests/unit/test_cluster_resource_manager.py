"""The ResourceManager's client against answers that real ones gave."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
import requests
from requests.adapters import BaseAdapter

from sparkkernels.cluster.resource_manager import NotFound, ResourceManagerClient, error_for, remote_message
from sparkkernels.errors import CredentialsError, NotAllowed, ResourceManagerUnavailable, SparkKernelError
from sparkkernels.states import ApplicationState

Answer = tuple[int, Any]
ACTIVE: Answer = (200, {"clusterInfo": {"haState": "ACTIVE"}})
STANDBY: Answer = (200, {"clusterInfo": {"haState": "STANDBY"}})
MISSING = {
    "RemoteException": {
        "exception": "NotFoundException",
        "message": "app with id: application_1_0001 not found",
        "javaClassName": "org.apache.hadoop.yarn.webapp.NotFoundException",
    }
}


class Fake(BaseAdapter):
    """Answers by host and path instead of a network; a host without answers is down."""

    def __init__(self) -> None:
        super().__init__()
        self.hosts: dict[str, Callable[[requests.PreparedRequest], Answer]] = {}
        self.asked: list[tuple[str, str]] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        assert request.url is not None
        host, _, path = request.url.removeprefix("http://").partition("/")
        self.asked.append((host, f"{request.method} /{path}"))
        if host not in self.hosts:
            raise requests.ConnectionError("Connection refused")
        status, body = self.hosts[host](request)
        response = requests.Response()
        response.status_code = status
        response.request = request
        response.url = request.url
        response.raw = BytesIO((body if isinstance(body, str) else json.dumps(body)).encode())
        if status == 307:
            response.headers["Location"] = "http://rm2/elsewhere"
        return response

    def close(self) -> None:
        pass


@pytest.fixture
def fake() -> Fake:
    return Fake()


def client_of(fake: Fake, *hosts: str) -> ResourceManagerClient:
    def session() -> requests.Session:
        made = requests.Session()
        made.mount("http://", fake)
        made.params = {"user.name": "alice"}
        return made

    return ResourceManagerClient(
        [f"http://{host}" for host in hosts], hadoop_conf_dir="/etc/hadoop", session_factory=session
    )


def resource_manager(info: Answer, rest: Answer) -> Callable[[requests.PreparedRequest], Answer]:
    return lambda request: info if "/cluster/info" in str(request.url) else rest


def test_applications_by_tag_and_state(fake: Fake) -> None:
    fake.hosts["rm"] = lambda request: (200, {"apps": {"app": [{"id": "application_1_0001"}]}})
    found = client_of(fake, "rm").applications("server-1", [ApplicationState.RUNNING])
    assert [app["id"] for app in found] == ["application_1_0001"]
    assert "applicationTags=server-1" in fake.asked[0][1]
    assert "states=RUNNING" in fake.asked[0][1]
    assert "user.name=alice" in fake.asked[0][1]


@pytest.mark.parametrize("body", [{"apps": None}, {"apps": {}}])
def test_no_applications(fake: Fake, body: Any) -> None:
    fake.hosts["rm"] = lambda request: (200, body)
    assert client_of(fake, "rm").applications("server-1") == []


def test_an_unknown_application_is_none_and_killing_it_no_error(fake: Fake) -> None:
    fake.hosts["rm"] = lambda request: (404, MISSING)
    client = client_of(fake, "rm")
    assert client.application("application_1_0001") is None
    client.kill("application_1_0001")


def test_a_404_of_something_else_is_an_error(fake: Fake) -> None:
    fake.hosts["rm"] = lambda request: (404, "<html>Not here</html>")
    with pytest.raises(SparkKernelError, match="HTTP 404"):
        client_of(fake, "rm").application("application_1_0001")


def test_kill_puts_the_state(fake: Fake) -> None:
    bodies: list[Any] = []

    def answer(request: requests.PreparedRequest) -> Answer:
        bodies.append(
            json.loads(str(request.body, "utf-8") if isinstance(request.body, bytes) else str(request.body))
        )
        return 202, {"state": "RUNNING"}

    fake.hosts["rm"] = answer
    client_of(fake, "rm").kill("application_1_0001")
    assert fake.asked[0][1].startswith("PUT /ws/v1/cluster/apps/application_1_0001/state")
    assert bodies == [{"state": "KILLED"}]


def test_the_active_one_is_found_behind_a_standby_and_kept(fake: Fake) -> None:
    fake.hosts["rm1"] = resource_manager(STANDBY, (307, ""))
    fake.hosts["rm2"] = resource_manager(ACTIVE, (200, {"apps": {}}))
    client = client_of(fake, "rm1", "rm2")
    client.applications()
    first = len(fake.asked)
    client.applications()
    assert [host for host, _ in fake.asked[first:]] == ["rm2"]


def test_failover_while_in_use(fake: Fake) -> None:
    fake.hosts["rm1"] = resource_manager(ACTIVE, (200, {"apps": {}}))
    fake.hosts["rm2"] = resource_manager(STANDBY, (307, ""))
    client = client_of(fake, "rm1", "rm2")
    client.applications()
    fake.hosts["rm1"] = resource_manager(STANDBY, (307, ""))
    fake.hosts["rm2"] = resource_manager(ACTIVE, (200, {"apps": {"app": [{"id": "x"}]}}))
    assert [app["id"] for app in client.applications()] == ["x"]


def test_no_active_one_names_all_that_were_tried_and_the_directory(fake: Fake) -> None:
    fake.hosts["rm1"] = resource_manager(STANDBY, (307, ""))
    with pytest.raises(ResourceManagerUnavailable) as raised:
        client_of(fake, "rm1", "rm2").check()
    text = str(raised.value)
    assert "http://rm1, http://rm2" in raised.value.message
    assert "HADOOP_CONF_DIR=/etc/hadoop" in raised.value.message
    assert "http://rm1: it is standby" in text
    assert "http://rm2: connection refused" in text


def test_a_page_instead_of_json_is_not_a_resource_manager(fake: Fake) -> None:
    fake.hosts["rm"] = lambda request: (200, "<html>welcome</html>")
    with pytest.raises(ResourceManagerUnavailable, match="does not answer in JSON"):
        client_of(fake, "rm").check()


@pytest.mark.parametrize(
    ("status", "body", "kind", "says"),
    [
        (401, "<html>Authentication required</html>", CredentialsError, "kinit"),
        (
            403,
            "Unauthorized attempt to kill appid application_1_0004 by remote user dr.who",
            NotAllowed,
            "remote user dr.who",
        ),
        (404, json.dumps(MISSING), NotFound, "application_1_0001 not found"),
        (
            400,
            '{"RemoteException":{"exception":"BadRequestException","message":"Invalid ApplicationId: x"}}',
            SparkKernelError,
            "Invalid ApplicationId: x",
        ),
    ],
)
def test_answers_become_our_errors(status: int, body: str, kind: type[Exception], says: str) -> None:
    error = error_for(status, body)
    assert type(error) is kind
    assert says in str(error)


def test_a_failing_resource_manager_is_unavailable_not_dead(fake: Fake) -> None:
    fake.hosts["rm"] = lambda request: (503, "restarting")
    with pytest.raises(ResourceManagerUnavailable, match="HTTP 503: restarting"):
        client_of(fake, "rm").applications()


def test_words_of_a_page_are_not_quoted() -> None:
    assert remote_message("<!DOCTYPE html><html><body>much</body></html>") == ""
