"""A real jupyter_server in a process of its own, spoken to over REST and WebSocket."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
import websocket

from tests.free_ports import free_port

from .kernels import HANG_S

TOKEN = "a-token-of-the-tests"


class Server:
    """One `jupyter server`.

    Parameters
    ----------
    directory : Path
        Where notebooks and the server's log are.
    options : str
        More of its command line.
    root : Path or None
        Where notebooks are, when they are elsewhere.
    """

    def __init__(self, directory: Path, *options: str, root: Path | None = None) -> None:
        self.log = directory / f"server-{uuid.uuid4().hex}.log"
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._socket_url = f"ws://127.0.0.1:{port}"
        self._process = self._start(directory, port, root or directory, options)
        wait_until(lambda: self._process.poll() is not None or self._answers())
        assert self._process.poll() is None, self.log.read_text()

    def _start(
        self, directory: Path, port: int, root: Path, options: tuple[str, ...]
    ) -> subprocess.Popen[bytes]:
        command = [
            *(sys.executable, "-m", "jupyter_server", "--no-browser", f"--port={port}", "--port-retries=0"),
            *(f"--ServerApp.root_dir={root}", f"--IdentityProvider.token={TOKEN}", *options),
        ]
        if os.getuid() == 0:
            command.append("--allow-root")
        with self.log.open("wb") as output:
            return subprocess.Popen(
                command, cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def _answers(self) -> bool:
        try:
            return self.get("status", timeout=2).status_code < 500  # 403 where this token names nobody
        except (requests.ConnectionError, requests.Timeout):
            return False

    def request(
        self, method: str, path: str, /, timeout: float = HANG_S, **content: Any
    ) -> requests.Response:
        """One REST request."""
        return requests.request(
            method,
            f"{self.url}/api/{path}",
            headers={"Authorization": f"token {TOKEN}"},
            json=content or None,
            timeout=timeout,
        )

    def get(self, path: str, timeout: float = HANG_S) -> requests.Response:
        """GET."""
        return self.request("GET", path, timeout=timeout)

    def post(self, path: str, /, **content: Any) -> Any:
        """POST, whose answer's JSON is returned."""
        response = self.request("POST", path, **content)
        assert response.ok, f"{response.status_code}: {response.text}"
        return response.json() if response.text else None

    def kernels(self) -> list[Any]:
        """The server's kernels."""
        return list(self.get("kernels").json())

    def connect(self, kernel_id: str, session: str = "") -> WebSocketClient:
        """A WebSocket on a kernel; of a tab that was there before, when it has a session already."""
        session = session or uuid.uuid4().hex
        url = f"{self._socket_url}/api/kernels/{kernel_id}/channels?session_id={session}&token={TOKEN}"
        return WebSocketClient(websocket.create_connection(url, timeout=HANG_S), session)

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._process.pid

    def signal(self, signum: int) -> None:
        """Signal the server process alone."""
        self._process.send_signal(signum)

    def wait(self) -> int:
        """The exit code of a server that was told to end."""
        return self._process.wait(timeout=HANG_S)

    def stop(self) -> None:
        """End it in good order."""
        if self._process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
                raise


class WebSocketClient:
    """One browser tab's connection to a kernel."""

    def __init__(self, connection: websocket.WebSocket, session: str) -> None:
        self._connection = connection
        self._session = session

    def execute(self, code: str) -> str:
        """Send a cell; returns the request's id."""
        return self.send("execute_request", code=code, silent=False, store_history=False, allow_stdin=False)

    def send(self, kind: str, channel: str = "shell", **content: Any) -> str:
        """Send a message; returns its id."""
        header = {
            "msg_id": uuid.uuid4().hex,
            "msg_type": kind,
            "username": "",
            "session": self._session,
            "version": "5.3",
        }
        message = {
            "header": header,
            "parent_header": {},
            "metadata": {},
            "content": content,
            "channel": channel,
        }
        self._connection.send(json.dumps(message))
        return header["msg_id"]

    def receive(self, wanted: Callable[[dict[str, Any]], Any], timeout_s: float = HANG_S) -> dict[str, Any]:
        """The next message that is wanted; others are dropped."""
        deadline = time.monotonic() + timeout_s
        while True:
            assert time.monotonic() < deadline, "the message never came"
            self._connection.settimeout(max(deadline - time.monotonic(), 0.01))
            message: dict[str, Any] = json.loads(self._connection.recv())
            if wanted(message):
                return message

    def run(self, code: str, timeout_s: float = HANG_S) -> str:
        """Run a cell; returns what it printed."""
        request = self.execute(code)
        text: list[str] = []

        def hear(message: dict[str, Any]) -> bool:
            if message["parent_header"].get("msg_id") != request:
                return False
            if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
                text.append(message["content"]["text"])
            idle: bool = message["content"].get("execution_state") == "idle"
            return message["msg_type"] == "status" and idle

        self.receive(hear, timeout_s)
        return "".join(text)

    def hear(self, text: str) -> None:
        """Wait until something is printed in the kernel, by whomever."""
        self.receive(lambda message: text in message["content"].get("text", ""))

    def settle(self) -> None:
        """Return once the kernel answers on shell and iopub."""
        deadline = time.monotonic() + HANG_S
        while time.monotonic() < deadline:
            request = self.send("kernel_info_request")
            try:
                self.receive(
                    lambda message, request=request: (  # type: ignore[misc]
                        message["parent_header"].get("msg_id") == request and message["channel"] == "iopub"
                    ),
                    timeout_s=1,
                )
            except (AssertionError, websocket.WebSocketTimeoutException):
                continue
            return
        raise AssertionError("the kernel never answered")

    def close(self) -> None:
        """Close it."""
        self._connection.close()


def wait_until(condition: Callable[[], Any], timeout_s: float = HANG_S) -> None:
    """Return when the condition holds; fail when it never does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)
