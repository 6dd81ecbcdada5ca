"""A jupyter server with several users, and each of them at it."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import requests
import websocket

from .header_users import HEADER
from .kernels import HANG_S
from .server import TOKEN, Server, WebSocketClient

REPOSITORY = Path(__file__).resolve().parents[2]
#: A server with users that it knows by name, with nothing that a check would refuse.
SHARED = (
    "--ServerApp.identity_provider_class=tests.contract.header_users.HeaderUsers",
    "--ServerApp.authorizer_class=sparkkernels.authorizer.KernelOwnerAuthorizer",
    "--ServerApp.kernel_spec_manager_class=sparkkernels.kernelspecs.SparkKernelSpecManager",
    "--ServerApp.allow_unauthenticated_access=False",
    "--ServerApp.terminals_enabled=False",
    f"--HeaderUsers.token={TOKEN}",
)
#: Lists that tell everybody of their own kernels only.
OWN_LISTS = (
    "--ServerApp.kernel_manager_class=sparkkernels.own_kernels.OwnKernels",
    "--ServerApp.session_manager_class=sparkkernels.own_kernels.OwnSessions",
)
#: The same of a server whose Spark kernels outlive it.
SURVIVING_LISTS = (
    "--ServerApp.kernel_manager_class=sparkkernels.surviving.OwnSurvivingKernels",
    "--ServerApp.session_manager_class=sparkkernels.surviving.OwnSurvivingSessions",
)


class Person:
    """One user of a server.

    Parameters
    ----------
    server : Server
    name : str
        As authentication has it.
    """

    def __init__(self, server: Server, name: str) -> None:
        self._server = server
        self.name = name
        self._headers = {"Authorization": f"token {TOKEN}", HEADER: name}

    def request(
        self, method: str, path: str, /, timeout: float = HANG_S, **content: Any
    ) -> requests.Response:
        """One REST request."""
        url = f"{self._server.url}/api/{path}"
        return requests.request(method, url, headers=self._headers, json=content or None, timeout=timeout)

    def post(self, path: str, /, timeout: float = HANG_S, **content: Any) -> Any:
        """POST that must succeed; returns the answer's JSON."""
        response = self.request("POST", path, timeout, **content)
        assert response.ok, f"{response.status_code}: {response.text}"
        return response.json() if response.text else None

    def status(self, method: str, path: str, /, **content: Any) -> int:
        """The HTTP status of a request."""
        return self.request(method, path, **content).status_code

    def connect(self, kernel_id: str) -> WebSocketClient:
        """A WebSocket on a kernel."""
        session = uuid.uuid4().hex
        url = f"{self._server.url.replace('http', 'ws', 1)}/api/kernels/{kernel_id}/channels"
        connection = websocket.create_connection(
            f"{url}?session_id={session}", timeout=HANG_S, header=self._headers
        )
        return WebSocketClient(connection, session)

    def socket_status(self, kernel_id: str) -> int:
        """The HTTP status with which a WebSocket is refused."""
        try:
            self.connect(kernel_id).close()
        except websocket.WebSocketBadStatusException as error:
            return int(error.status_code)
        return 101
