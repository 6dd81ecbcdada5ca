"""What R is told of Spark: a file that always holds the latest, so that R never waits before it must."""

from __future__ import annotations

import json
import os
import socket
import threading
from typing import Any, Dict


class News:
    """The file that R reads when it needs Spark.

    Parameters
    ----------
    path : str
        JSON with ``state`` and ``text`` as in PROTOCOL.md (``ready`` once there is a backend), ``port`` and
        ``secret``.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._closed = False
        self._content = {"state": "starting", "text": "the supervisor has not said anything yet"}

    def hear(self, message: Dict[str, Any]) -> bool:
        """Take what the supervisor says; whether a backend is to be asked for."""
        kind = message.get("type")
        if kind == "context" and message["state"] != "ready":
            self._content = {"state": message["state"], "text": message["text"]}
        elif kind == "backend" and "port" in message:
            self._content = {
                "state": "ready",
                "text": "",
                "port": message["port"],
                "secret": message["secret"],
            }
        elif kind == "backend":
            self._content = {"state": "failed", "text": message["text"]}
        else:
            return kind == "gateway"
        self.write()
        return False

    def write(self) -> None:
        """Replace the file by one with the latest."""
        draft = self.path + ".new"
        with self._lock:
            if self._closed:
                return
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(self._content, file)
            os.replace(draft, self.path)

    def close(self) -> None:
        """Write nothing more."""
        with self._lock:
            self._closed = True


def listen(supervisor: socket.socket, news: News) -> None:
    """Write down what the supervisor says, and ask for a backend once the context is ready."""
    with supervisor.makefile("rb") as lines:
        for line in lines:
            if news.hear(json.loads(line)):
                supervisor.sendall(b'{"type": "backend"}\n')
